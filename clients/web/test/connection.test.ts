import type { Page } from "playwright-core";
import { beforeEach, expect, test } from "vitest";

import { composer, message, open, say, texts, until } from "./browser.js";
import { people, server } from "./stage.js";

let number = 0;
let alice: Page;
let bob: Page;
beforeEach(async () => {
  number += 1;
  [alice, bob] = await Promise.all([people.named(server.url, `Alice ${number}`), people.named(server.url, `Bob ${number}`)]);
  await open(alice, `Bob ${number}`);
  await say(alice, "hello");
  await open(bob, `Alice ${number}`);
  await message(bob, "hello").waitFor();
});

const status = (page: Page) => page.getByTestId("connection").textContent();
const isOffline = (text: string | null) => /^ *Offline/.test(text ?? "");
const isOnline = (text: string | null) => /^ *Online/.test(text ?? "");

function cut(): void {
  server.cut = true;
  server.breakAll();
}

test("what is written without a connection is sent when it is back, once and in order", async () => {
  cut();
  await until("it says so", () => status(alice), isOffline);
  await alice.getByText("No connection. What you write is sent when it is back.").waitFor();
  for (const text of ["one", "two", "three"]) await say(alice, text);
  await message(alice, "three").locator("[data-state=sending]").waitFor();
  expect(await texts(alice)).toEqual(["hello", "one", "two", "three"]);
  server.cut = false;
  await until("it is back", () => status(alice), isOnline);
  await message(bob, "three").waitFor();
  expect(await texts(bob)).toEqual(["hello", "one", "two", "three"]);
  await until("all are sent", () => alice.locator("[data-state=sending]").count(), (count) => count === 0);
  expect(await texts(alice)).toEqual(["hello", "one", "two", "three"]);
});

test("and also when the page was closed meanwhile", async () => {
  cut();
  await until("it says so", () => status(alice), isOffline);
  await say(alice, "before the reload");
  await message(alice, "before the reload").locator("[data-state=sending]").waitFor();
  server.cut = false;
  await alice.reload();
  await message(bob, "before the reload").waitFor();
  await message(alice, "before the reload").locator("[data-state=sent], [data-state=delivered], [data-state=read]").waitFor();
  expect(await texts(bob)).toEqual(["hello", "before the reload"]);
  expect(await texts(alice)).toEqual(["hello", "before the reload"]);
});

test.each(["SIGKILL", "SIGTERM"] as const)("the server is ended by %s under their hands, and comes back", async (signal) => {
  const said: string[] = [];
  const talk = async (count: number) => {
    for (let spoken = 0; spoken < count; spoken += 1) {
      const speaker = said.length % 2 === 0 ? alice : bob;
      const text = `line ${said.length}`;
      said.push(text);
      await say(speaker, text);
      // One after the other, or nobody knows the order.
      if (!server.cut) await message(speaker === alice ? bob : alice, text).waitFor();
    }
  };
  await talk(6);
  await composer(alice).fill("half a sentence");
  await server.end(signal);
  await until("both see it", async () => [await status(alice), await status(bob)], (both) => both.every(isOffline));
  expect(await composer(alice).inputValue()).toBe("half a sentence");
  await composer(alice).fill("while it was away");
  await composer(alice).press("Enter");
  await server.launch();
  await message(bob, "while it was away").waitFor({ timeout: 60_000 });
  await until("both are back", async () => [await status(alice), await status(bob)], (both) => both.every(isOnline));
  await talk(4);
  const all = ["hello", ...said.slice(0, 6), "while it was away", ...said.slice(6)];
  for (const page of [alice, bob]) await until("all is there, once and in order", () => texts(page), (now) => String(now) === String(all));
});

test("a server that is asked for by name, and gone for good, is no blank page", async () => {
  cut();
  await until("it says so", () => status(bob), isOffline);
  // What was there can still be read, and one can still move about.
  await open(bob, "Lobby");
  await open(bob, `Alice ${number}`);
  await message(bob, "hello").waitFor();
  server.cut = false;
  await until("it is back", () => status(bob), isOnline);
});
