import { isDeepStrictEqual } from "node:util";

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
  await alice.getByText("No connection. Your messages are sent when it is back.").waitFor();
  for (const text of ["one", "two", "three"]) await say(alice, text);
  await message(alice, "three").locator("[data-state=sending]").waitFor();
  const all = ["hello", "one", "two", "three"];
  await until("all are there in order", () => texts(alice), (shown) => isDeepStrictEqual(shown, all));
  server.cut = false;
  await until("it is back", () => status(alice), isOnline);
  await message(bob, "three").waitFor();
  expect(await texts(bob)).toEqual(all);
  await until("all are sent", () => alice.locator("[data-state=sending]").count(), (count) => count === 0);
  expect(await texts(alice)).toEqual(all);
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
      // One after the other, since their order would be undefined.
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
  // Earlier messages can still be read, and navigation works.
  await open(bob, "Lobby");
  await open(bob, `Alice ${number}`);
  await message(bob, "hello").waitFor();
  server.cut = false;
  await until("it is back", () => status(bob), isOnline);
});

test("a first message is kept until there is a conversation, and so is one to nobody", async () => {
  const carol = await people.named(server.url, `Carol ${number}`);
  // Opened in the lobby, before she navigates elsewhere.
  await open(carol, "Lobby");
  await open(carol, `Bob ${number}`);
  cut();
  await until("it says so", () => status(carol), isOffline);
  // The same text twice is two messages.
  for (let time = 0; time < 2; time += 1) await say(carol, "hi");
  await carol.getByRole("article").filter({ hasText: "hi" }).nth(1).getByText("Sending").waitFor();
  await open(carol, "Lobby");
  await open(carol, `Bob ${number}`);
  await carol.getByRole("article").filter({ hasText: "hi" }).nth(1).getByText("Sending").waitFor();
  server.cut = false;
  await open(bob, `Carol ${number}`);
  await until("both have come", () => texts(bob), (all) => String(all) === "hi,hi");

  await carol.goto(`${server.url}/#/person/nobody-at-all`);
  await say(carol, "anyone?");
  await carol.getByRole("article").getByText("Not sent:").waitFor();
  await carol.getByRole("article").getByRole("button", { name: "Discard" }).click();
  await carol.getByRole("article").waitFor({ state: "detached" });
});

test("nobody is shown as there while one is not", async () => {
  await alice.getByRole("heading", { level: 2, name: `Bob ${number}` }).waitFor();
  const header = alice.getByRole("region", { name: `Bob ${number}` }).locator("header");
  await header.getByText("online").waitFor();
  cut();
  await header.getByText("offline").waitFor();
  server.cut = false;
  await header.getByText("online").waitFor();
});

test("a change that is made without a connection is seen at once, and carried out after a reload", async () => {
  cut();
  await until("it says so", () => status(alice), isOffline);
  await composer(alice).press("ArrowUp");
  await until("the text is there to be changed", () => composer(alice).inputValue(), (text) => text === "hello");
  await say(alice, "hello, Bob");
  await message(alice, "hello, Bob").getByTestId("saving").waitFor();
  server.cut = false;
  await alice.reload();
  await message(bob, "hello, Bob").getByText("(edited)").waitFor();
  await message(alice, "hello, Bob").getByTestId("saving").waitFor({ state: "detached" });
});

test("without a network that is what it says", async () => {
  await alice.context().setOffline(true);
  await until("it says so", () => status(alice), (text) => text!.trim() === "Offline: no network");
  // Next to the menu, not under it.
  const [told, menu] = await Promise.all([alice.getByTestId("connection").boundingBox(), alice.getByRole("button", { name: "Account and settings" }).boundingBox()]);
  expect(told!.x + told!.width).toBeLessThanOrEqual(menu!.x);
  await say(alice, "from a tunnel");
  await message(alice, "from a tunnel").locator("[data-state=sending]").waitFor();
  await alice.context().setOffline(false);
  await until("it is back", () => status(alice), isOnline);
  await message(bob, "from a tunnel").waitFor();
});
