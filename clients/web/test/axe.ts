import axe from "axe-core";
import type { BrowserContextOptions, Page } from "playwright-core";

/** Violations found by axe of the rules of WCAG 2.2 AA and best practices. */
export async function faults(page: Page): Promise<string[]> {
  // Not by a script element, which the page would not run.
  await page.evaluate(axe.source.replace(/^/, "window.module = undefined;"));
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run(document, {
      // Otherwise it inspects style sheets by adding one, which the page does not allow.
      preload: false,
      // Menus are at the end of the page, outside of any landmark, and have the focus while they are open.
      rules: { region: { enabled: false } },
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
}

/** How people look at the page. */
export const LOOKS: [string, BrowserContextOptions][] = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["a phone", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }],
];
