import { existsSync } from "node:fs";
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

const CHROMIUM = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync) ?? "chromium";
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  // A page that a test hands out is none of the server's address: Chromium would keep it from that.
  "--disable-features=LocalNetworkAccessChecks",
];

/** The folder of a build to be tested instead of the one that is built into the server. */
const WEB_APP = process.env["WEB_APP"];
const FILES = /^\/(|icon[^/]*|manifest\.webmanifest|assets\/[^/]+)$/;

/** Hands out the files of {@link WEB_APP} as the server does its own. */
async function serve(route: Route): Promise<void> {
  const { pathname } = new URL(route.request().url());
  const headers: Record<string, string> = {};
  if (pathname === "/") {
    // From a server that is away nothing comes; and its policy counts.
    const answer = await route.fetch().catch(() => undefined);
    if (!answer) return route.abort("connectionrefused");
    headers["content-security-policy"] = answer.headers()["content-security-policy"] ?? "";
  }
  await route.fulfill({ path: path.join(WEB_APP!, pathname === "/" ? "index.html" : pathname), headers });
}

/** What a page complained of, that is no fault of its own while a server is away, or a test keeps it from something. */
const EXPECTED = /Service Worker registration blocked|net::ERR_|WebSocket connection|Failed to load resource|Autofocus processing/;

/** A browser with people in it, each in a window with a storage of its own. */
export class People {
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];
  /** What pages said that they should not have. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<People> {
    return new People(await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS }));
  }

  /** A window: nothing is shared with others. */
  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    // A service worker keeps the build of the server, and asks past the routes of a test.
    const serviceWorkers = "block" as const;
    const context = await this.#browser.newContext({ viewport: { width: 1180, height: 760 }, locale: "en-GB", serviceWorkers, ...options });
    context.setDefaultTimeout(30_000);
    this.#contexts.push(context);
    if (WEB_APP && options.serviceWorkers !== "allow") await context.route(({ pathname }) => FILES.test(pathname), serve);
    context.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (!EXPECTED.test(message.text())) this.complaints.push(message.text());
    });
    context.on("weberror", (error) => this.complaints.push(String(error.error().stack)));
    return context;
  }

  /** Someone who has opened the page and typed a name. */
  async named(url: string, name: string, options?: BrowserContextOptions | BrowserContext): Promise<Page> {
    const context = options && "newPage" in options ? options : await this.context(options);
    const page = await context.newPage();
    await page.goto(url);
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Start chatting" }).click();
    await page.getByTestId("connection").getByText("Online").waitFor();
    return page;
  }

  /** Someone with a token. */
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
  // On a touch screen the return key makes a line.
  if (await page.evaluate(() => matchMedia("(pointer: coarse)").matches)) await page.getByRole("button", { name: /^(Send|Save)$/ }).click();
  else await composer(page).press("Enter");
}

/** Says yes to what is asked. */
export const confirm = (page: Page, action: string): Promise<void> =>
  page.getByRole("alertdialog").getByRole("button", { name: action }).click();

/** The message with this text. */
export const message = (page: Page, text: string): Locator =>
  page.locator("article").filter({ has: page.locator(".text", { hasText: text }) }).last();

/** A room or a person in the list. */
export const entry = (page: Page, title: string): Locator =>
  page.getByRole("navigation").getByRole("link").filter({ has: page.getByText(title, { exact: true }) });

/** The same, scrolled to: what is far out of sight is not in the document. */
export async function reveal(page: Page, title: string): Promise<Locator> {
  const found = entry(page, title);
  const search = async () => {
    const count = await found.count();
    if (count === 0) {
      await page.getByTestId("lists").evaluate((list) => {
        const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
        list.scrollTo(0, isAtEnd ? 0 : list.scrollTop + list.clientHeight / 2);
      });
    }
    return count;
  };
  await until(`${title} is in the lists`, search, (count) => count > 0);
  return found;
}

/** Opens a conversation of the list. */
export async function open(page: Page, title: string): Promise<void> {
  await (await reveal(page, title)).click();
  // What is open before has a place to write too.
  await page.getByRole("heading", { level: 2, name: title, exact: true }).waitFor();
  await composer(page).waitFor();
}

/** The texts that are on the screen, from above. */
export function texts(page: Page): Promise<string[]> {
  // An absolute place is none in the document: sorted by where they stand.
  return page.locator("article").evaluateAll((rows) =>
    rows
      .map((row) => ({ top: row.getBoundingClientRect().top, text: row.querySelector(".text")?.textContent ?? "" }))
      .sort((a, b) => a.top - b.top)
      .map(({ text }) => text),
  );
}

/** Waits until a page is as it should be, and says what it is like where it never is. */
export async function until<T>(what: string, look: () => Promise<T> | T, isRight: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await look();
    if (isRight(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
