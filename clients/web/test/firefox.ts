import { afterAll, beforeAll, expect, test } from "vitest";

import { Server } from "../../ts/test/server.js";
import { until } from "./browser.js";
import { Firefox, type FirefoxPage } from "./firefox-driver.js";

/** The main scenarios in Firefox: `npm run firefox`. */
let firefox: Firefox;
let server: Server;
beforeAll(async () => {
  [server, firefox] = await Promise.all([Server.start(), Firefox.start()]);
});
afterAll(async () => void (await Promise.all([firefox?.stop(), server?.stop()])));

/** Clicks the element with this text, once it exists. */
const click = (page: FirefoxPage, selector: string, text: string) =>
  until(
    `${text} is clicked`,
    () => page.value<boolean>(`(() => {
      const found = [...document.querySelectorAll(${JSON.stringify(selector)})].find(({ textContent }) => textContent.includes(${JSON.stringify(text)}));
      found?.click();
      return found !== undefined;
    })()`),
    (is) => is,
  );

const status = (page: FirefoxPage, wanted: RegExp) =>
  until(`it is ${wanted}`, () => page.value<string>(`document.querySelector('[data-testid="connection"]')?.textContent.trim() ?? ""`), (text) => wanted.test(text));

const texts = (page: FirefoxPage) => page.value<string[]>(`[...document.querySelectorAll("article .text")].map(({ textContent }) => textContent.trim())`);
const shows = (page: FirefoxPage, all: readonly string[]) => until("all is there, once and in order", () => texts(page), (now) => String(now) === String(all));

/** Focuses a field, and types into it. */
async function type(page: FirefoxPage, selector: string, text: string): Promise<void> {
  const focus = `(() => { const field = document.querySelector(${JSON.stringify(selector)}); field?.focus(); return field !== null; })()`;
  await until(`${selector} is there`, () => page.value<boolean>(focus), (is) => is);
  await page.type(text);
}

async function named(name: string): Promise<FirefoxPage> {
  const page = await firefox.open(server.url);
  await type(page, "#name", name);
  await status(page, /^Online/);
  await click(page, "nav a", "Lobby");
  return page;
}

const say = (page: FirefoxPage, text: string) => type(page, "textarea", text);

/** Number of stored messages of the conversation; they are written a second after they arrive. */
const stored = (page: FirefoxPage) =>
  page.value<number>(`(async () => {
    const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await done(indexedDB.open("parlance:alice"));
    const records = await done(database.transaction("messages").objectStore("messages").getAll());
    database.close();
    return records.reduce((sum, { events }) => sum + events.length, 0);
  })()`);

test("one sends, receives, reloads, and writes without the server", async () => {
  const [alice, bob] = [await named("Alice"), await named("Bob")];
  await say(alice, "hello");
  await shows(bob, ["hello"]);
  await say(bob, "hello, Alice");
  await shows(alice, ["hello", "hello, Alice"]);
  await alice.reload();
  await status(alice, /^Online/);
  await shows(alice, ["hello", "hello, Alice"]);
  await until("the app is kept", () => alice.value(`navigator.serviceWorker.controller?.state`), (state) => state === "activated");

  await until("both are stored", () => stored(alice), (count) => count === 2);
  await server.end("SIGKILL");
  await status(alice, /^(Offline|Connecting)/);
  const all = ["hello", "hello, Alice", "written without a server"];
  await say(alice, "written without a server");
  await shows(alice, all);
  await alice.goto("about:blank");
  await alice.goto(server.url);
  await click(alice, "nav a", "Lobby");
  await shows(alice, all);
  await server.launch();
  await status(alice, /^Online/);
  for (const page of [alice, bob]) await shows(page, all);
  await until("it is sent", () => alice.value<number>(`document.querySelectorAll("[data-state=sending]").length`), (count) => count === 0);
  expect(await texts(bob)).toEqual(all);
});
