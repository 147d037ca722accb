import axe, { type RunOptions } from "axe-core";
import type { BrowserContextOptions, Page } from "playwright-core";

type Axe = { axe?: typeof axe };

const EVERYTHING: RunOptions = {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  // Menus are at the end of the page, outside of any landmark, and have the focus while they are open.
  rules: { region: { enabled: false } },
};
/** The rules that depend on colours: what the others find is the same in all of them. */
const COLOURS: RunOptions = { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] } };

/**
 * Violations found by axe of the rules of WCAG 2.2 AA and best practices, in light colours and in dark ones.
 *
 * @param shown is called once the page has these colours.
 */
export async function faults(page: Page, shown = async (_colours: string) => {}): Promise<string[]> {
  // Not by a script element, which the page would not run.
  if (!(await page.evaluate(() => (globalThis as Axe).axe !== undefined))) await page.evaluate(axe.source.replace(/^/, "window.module = undefined;"));
  const found: string[] = [];
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    await shown(colorScheme);
    const options = {
      ...(colorScheme === "light" ? EVERYTHING : COLOURS),
      // Otherwise it inspects style sheets by adding one, which the page does not allow.
      preload: false,
    };
    const { violations } = await page.evaluate((options) => (globalThis as Axe).axe!.run(document, options), options);
    found.push(...violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}, ${colorScheme}: ${html}\n${failureSummary}`)));
  }
  return found;
}

/** How people look at the page: each in light colours and in dark ones. */
export const LOOKS: [string, BrowserContextOptions][] = [
  ["a window", {}],
  ["a phone", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }],
];
