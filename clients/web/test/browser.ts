import path from "node:path";

import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
  type Route,
} from "playwright-core";
import { onTestFinished } from "vitest";
import { getCurrentTest } from "vitest/suite";

import { CHROMIUM } from "../../ts/test/chromium.js";

// A page served by a test has another origin than the server: Chromium would block it.
const ARGUMENTS = [...CHROMIUM.args, "--disable-features=LocalNetworkAccessChecks"];

/** The folder of a build to test instead of the one built into the server. */
const WEB_APP = process.env["WEB_APP"];
const FILES = /^\/(|icon[^/]*|manifest\.webmanifest|assets\/[^/]+)$/;

/** Serves the files of {@link WEB_APP} like the server. */
async function serve(route: Route): Promise<void> {
  const { pathname } = new URL(route.request().url());
  const headers: Record<string, string> = {};
  if (pathname === "/") {
    // An unavailable server serves nothing; and its policy applies.
    const answer = await route.fetch().catch(() => undefined);
    if (!answer) return route.abort("connectionrefused");
    headers["content-security-policy"] = answer.headers()["content-security-policy"] ?? "";
  }
  await route.fulfill({ path: path.join(WEB_APP!, pathname === "/" ? "index.html" : pathname), headers });
}

/** Console errors that are expected while a server is unavailable, or a test blocks something. */
const EXPECTED = /Service Worker registration blocked|net::ERR_|WebSocket connection|Failed to load resource|Autofocus processing/;

/** A browser with several users, each in a window with its own storage. */
export class People {
  readonly #browser: Browser;
  /** Unexpected console errors. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<People> {
    return new People(await chromium.launch({ ...CHROMIUM, args: ARGUMENTS }));
  }

  /** A window that shares nothing with others, and is closed after the test: otherwise it would take part in all later ones. */
  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    // A service worker would cache the build of the server, and bypass the routes of a test.
    const serviceWorkers = "block" as const;
    const context = await this.#browser.newContext({ viewport: { width: 1180, height: 760 }, locale: "en-GB", serviceWorkers, ...options });
    context.setDefaultTimeout(30_000);
    if (getCurrentTest()) onTestFinished(() => context.close());
    if (WEB_APP && options.serviceWorkers !== "allow") await context.route(({ pathname }) => FILES.test(pathname), serve);
    context.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (!EXPECTED.test(message.text())) this.complaints.push(message.text());
    });
    context.on("weberror", (error) => this.complaints.push(String(error.error().stack)));
    return context;
  }

  /** A user who has opened the page and typed a name. */
  async named(url: string, name: string, options?: BrowserContextOptions | BrowserContext): Promise<Page> {
    const context = options && "newPage" in options ? options : await this.context(options);
    const page = await context.newPage();
    await page.goto(url);
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Start chatting" }).click();
    // Attached, not visible: on a phone the opened room hides it.
    await page.getByTestId("connection").getByText("Online").waitFor({ state: "attached" });
    return page;
  }

  /** A user with a token. */
  async withToken(url: string, token: string): Promise<Page> {
    const page = await (await this.context()).newPage();
    await page.goto(`${url}/#token=${token}`);
    await page.getByTestId("connection").getByText("Online").waitFor();
    return page;
  }

  async stop(): Promise<void> {
    await this.#browser.close();
  }
}

/** Where one writes. */
export const composer = (page: Page): Locator => page.getByRole("textbox", { name: /^Message / });

export async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  // On a touch screen the return key inserts a line break.
  if (await page.evaluate(() => matchMedia("(pointer: coarse)").matches)) await page.getByRole("button", { name: /^(Send|Save)$/ }).click();
  else await composer(page).press("Enter");
}

/** Confirms a question. */
export const confirm = (page: Page, action: string): Promise<void> =>
  page.getByRole("alertdialog").getByRole("button", { name: action }).click();

/** The message with this text. */
export const message = (page: Page, text: string): Locator =>
  page.locator("article").filter({ has: page.locator(".text", { hasText: text }) }).last();

/** A room or a user in the list. */
export const entry = (page: Page, title: string): Locator =>
  page.getByRole("navigation").getByRole("link").filter({ has: page.getByText(title, { exact: true }) });

/** How often {@link entry} is in the document; scrolls on if it is not: rows far out of sight are left out. */
async function search(page: Page, title: string): Promise<number> {
  const count = await entry(page, title).count();
  if (count === 0) {
    await page.getByTestId("lists").evaluate((list) => {
      const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
      list.scrollTo(0, isAtEnd ? 0 : list.scrollTop + list.clientHeight / 2);
    });
  }
  return count;
}

/** Like {@link entry}, scrolled into view. */
export async function reveal(page: Page, title: string): Promise<Locator> {
  await until(`${title} is in the lists`, () => search(page, title), (count) => count > 0);
  return entry(page, title);
}

/** Opens a conversation from the list. */
export async function open(page: Page, title: string): Promise<void> {
  const heading = page.getByRole("heading", { level: 2, name: title, exact: true });
  // While others sign in, the row may move out of sight in between. On a phone, a click that was reported too late has
  // taken the list away.
  const click = async () => {
    if (await heading.isVisible()) return true;
    if ((await search(page, title)) === 0) return false;
    return entry(page, title).click({ timeout: 2_000 }).then(
      () => true,
      () => false,
    );
  };
  await until(`${title} is clicked`, click, Boolean);
  // The previously open place has a composer, too.
  await heading.waitFor();
  await composer(page).waitFor();
}

/** The visible texts, from the top. */
export function texts(page: Page): Promise<string[]> {
  // Rows are positioned absolutely: sorted by their position.
  return page.locator("article").evaluateAll((rows) =>
    rows
      .map((row) => ({ top: row.getBoundingClientRect().top, text: row.querySelector(".text")?.textContent ?? "" }))
      .sort((a, b) => a.top - b.top)
      .map(({ text }) => text),
  );
}

/** Waits until a page is in the expected state, and reports its state on a timeout. */
export async function until<T>(what: string, look: () => Promise<T> | T, isRight: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await look();
    if (isRight(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
