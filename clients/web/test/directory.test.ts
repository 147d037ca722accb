import { type DirectoryChannel } from "@parlance/client/directory";
import type { Client } from "@parlance/client";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { Directory } from "../src/lib/directory.svelte";
import { LOOKS } from "./axe.js";
import { composer, entry, open, until } from "./browser.js";
import { button, check, client, dialog, page, unique } from "./persons.js";
import { server } from "./stage.js";

const channels = (page: Page) => dialog(page).getByRole("list", { name: "Channels" }).getByRole("listitem");
const titles = (page: Page) => channels(page).locator("strong").allTextContents();
const finds = (page: Page, ...expected: string[]) => until(`it finds ${expected}`, () => titles(page), (all) => String(all) === String(expected));
const search = (page: Page) => dialog(page).getByRole("searchbox", { name: "How the title begins" });

test.each(LOOKS)("channels are put into the directory, found, and joined with the keyboard, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const [name, other] = [unique("Garden"), unique("Boats")];
  const owner = await client(ann);
  const quiet = await owner.createRoom({ kind: "channel", title: `${name} tools`, topic: "Spades, rakes, and where to borrow a wheelbarrow over the weekend without asking twice" });
  const boats = await owner.createRoom({ kind: "channel", title: other });
  await boats.update({ listed: true });
  const [ofAnn, ofBob] = (await Promise.all([ann, bob].map((userId) => page(userId, options)))) as [Page, Page];

  // One is listed when it is created, the other later.
  await button(ofAnn, "New conversation").click();
  await dialog(ofAnn).getByRole("radio", { name: "Channel" }).check();
  await dialog(ofAnn).getByRole("textbox", { name: "Title" }).fill(`${name} seeds`);
  await dialog(ofAnn).getByRole("checkbox", { name: "In the directory" }).check();
  await check(ofAnn, look, "a new channel");
  await button(ofAnn, "Create").click();
  await ofAnn.getByRole("heading", { level: 2, name: `${name} seeds` }).waitFor();
  if (look === "a phone") await ofAnn.getByRole("link", { name: "Back to conversations" }).click();
  await open(ofAnn, quiet.title);
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Title, topic and picture").click();
  await dialog(ofAnn).getByRole("checkbox", { name: "In the directory" }).check();
  await check(ofAnn, look, "settings of a channel");
  await button(ofAnn, "Save").click();
  await until("it is listed", () => owner.room(quiet.id)!.isListed, Boolean);

  await button(ofBob, "Browse channels").press("Enter");
  await until("there are all", () => titles(ofBob), (all) => [other, `${name} seeds`, quiet.title].every((title) => all.includes(title)));
  await search(ofBob).fill(`  ${name.toUpperCase()}`);
  await finds(ofBob, `${name} seeds`, quiet.title);
  await dialog(ofBob).getByText("2 channels").waitFor();
  await check(ofBob, look, "the directory");
  await search(ofBob).press("Tab");
  expect(await ofBob.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe(`Join ${name} seeds`);
  await ofBob.keyboard.press("Enter");
  await dialog(ofBob).waitFor({ state: "detached" });
  await ofBob.getByRole("heading", { level: 2, name: `${name} seeds` }).waitFor();
  await composer(ofBob).waitFor();
  if (look === "a phone") await ofBob.getByRole("link", { name: "Back to conversations" }).click();
  await entry(ofBob, `${name} seeds`).waitFor();

  await button(ofBob, "Browse channels").click();
  await search(ofBob).fill(`${name} s`);
  await button(ofBob, `Open ${name} seeds`).waitFor();
  await search(ofBob).fill(unique("nothing"));
  await dialog(ofBob).getByText("No channel with such a title.").waitFor();
  await check(ofBob, look, "nothing in the directory");
});

test("more channels than fit are shown when they are asked for, and whoever is banned is told", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const name = unique("many");
  const owner = await client(ann);
  const ofBob = await page(bob);
  const wanted = Array.from({ length: 32 }, (_, at) => `${name} ${at + 10}`);
  // One before them tells what is shown at first from what is found.
  for (const title of [`! ${name}`, ...wanted]) await owner.call("createRoom", { kind: 3, settings: { title, listed: true } });
  await button(ofBob, "Browse channels").click();
  await search(ofBob).fill(name);
  await finds(ofBob, ...wanted.slice(0, 30));
  await dialog(ofBob).getByText("30 channels, and more").waitFor();
  await button(ofBob, "More").click();
  await finds(ofBob, ...wanted);
  await button(ofBob, "More").waitFor({ state: "detached" });

  const first = owner.rooms.find(({ title }) => title === wanted[0])!;
  await first.banMember(bob).catch(() => {});
  await first.addMembers([bob]);
  await first.banMember(bob);
  await button(ofBob, `Join ${wanted[0]}`).click();
  await ofBob.getByRole("alert").getByText("You are banned from this channel.").waitFor();
  await dialog(ofBob).waitFor();
  // A channel that everybody has lost by now.
  const second = owner.rooms.find(({ title }) => title === wanted[1])!;
  await second.update({ archived: true });
  await button(ofBob, `Join ${wanted[1]}`).click();
  await ofBob.getByRole("alert").getByText("This conversation is archived or frozen").waitFor();
  await ofBob.goto(`${server.url}/#/room/${second.id}`);
  await ofBob.getByText("This channel is archived: nobody can join it for now.").waitFor();
  expect(await button(ofBob, "Join").count()).toBe(0);
});

test("of two searches at once only the later one is shown, and one that failed is tried again", async () => {
  const asked: { prefix: string; answer: (titles: string[]) => void; fail: () => void }[] = [];
  const call = (_name: string, { titlePrefix: prefix }: { titlePrefix: string }, signal: AbortSignal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      const answer = (titles: string[]) => resolve({ rooms: titles.map((title) => ({ roomId: title, title, memberCount: 1n })), nextPageToken: "" });
      asked.push({ prefix, answer, fail: () => reject(new Error("away")) });
    });
  const directory = new Directory({ call } as unknown as Client, 2);
  const shown = () => directory.channels.map(({ title }: DirectoryChannel) => title);
  const first = directory.search("a");
  const second = directory.search("ab");
  asked[0]!.answer(["a"]);
  asked[1]!.answer(["ab", "abc", "abd"]);
  await Promise.all([first, second]);
  expect([shown(), directory.hasMore, directory.isLoading]).toEqual([["ab", "abc"], true, false]);
  await directory.more();
  expect([shown(), directory.hasMore]).toEqual([["ab", "abc", "abd"], false]);
  const third = directory.search("x");
  asked[2]!.fail();
  await third;
  expect([shown(), directory.error]).toEqual([["ab", "abc", "abd"], new Error("away")]);
  const again = directory.search("x");
  asked[3]!.answer([]);
  await again;
  expect([shown(), directory.error, directory.isLoading]).toEqual([[], undefined, false]);
});
