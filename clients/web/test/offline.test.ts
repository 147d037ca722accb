import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { composer, entry, message, open, say, texts, until } from "./browser.js";
import { people, server } from "./stage.js";

const status = (page: Page) => page.getByTestId("connection").textContent();

/** Reopens the app in the tab that is signed in by name. */
async function openAnew(page: Page): Promise<void> {
  await page.goto("about:blank");
  await page.goto(server.url);
}

/** Number of stored messages of the conversation; they are written a second after they arrive. */
function stored(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const opening = indexedDB.open("parlance:alice");
    const database = await new Promise<IDBDatabase>((resolve) => (opening.onsuccess = () => resolve(opening.result)));
    const reading = database.transaction("messages").objectStore("messages").getAll();
    const records = await new Promise<{ events: unknown[] }[]>((resolve) => (reading.onsuccess = () => resolve(reading.result)));
    database.close();
    return records.reduce((sum, { events }) => sum + events.length, 0);
  });
}

/** The browser has cached the app. */
async function isKept(page: Page): Promise<void> {
  const isControlled = () => page.evaluate(() => navigator.serviceWorker.controller?.state === "activated");
  await until("the app is kept", isControlled, (is) => is);
}

test("without its server the app opens with its last state, and sends what is written then once the server is back", async () => {
  const context = await people.context({ serviceWorkers: "allow" });
  const [alice, bob] = await Promise.all([people.named(server.url, "Alice", context), people.named(server.url, "Bob")]);
  await open(alice, "Bob");
  await say(alice, "hello");
  await open(bob, "Alice");
  await message(bob, "hello").waitFor();
  await say(bob, "hello, Alice");
  await message(alice, "hello, Alice").waitFor();
  await until("both are stored", () => stored(alice), (count) => count === 2);
  await isKept(alice);
  await alice.goto("about:blank");
  await server.end("SIGKILL");

  await openAnew(alice);
  await until("it says that it is offline", () => status(alice), (text) => /^ *(Offline|Connecting)/.test(text ?? ""));
  await entry(alice, "Lobby").waitFor();
  await open(alice, "Bob");
  await message(alice, "hello, Alice").waitFor();
  expect(await texts(alice)).toEqual(["hello", "hello, Alice"]);
  await alice.getByText("No connection. Your messages are sent when it is back.").waitFor();
  await say(alice, "written without a server");
  await message(alice, "written without a server").locator("[data-state=sending]").waitFor();

  await openAnew(alice);
  await open(alice, "Bob");
  await message(alice, "written without a server").locator("[data-state=sending]").waitFor();
  await composer(alice).fill("half a sentence");
  await server.launch();
  await message(bob, "written without a server").waitFor({ timeout: 60_000 });
  await until("she is back", () => status(alice), (text) => /^ *Online/.test(text ?? ""));
  await until("it is sent", () => alice.locator("[data-state=sending]").count(), (count) => count === 0);
  const all = ["hello", "hello, Alice", "written without a server"];
  for (const page of [alice, bob]) await until("all is there, once and in order", () => texts(page), (now) => String(now) === String(all));
  expect(await composer(alice).inputValue()).toBe("half a sentence");
});
