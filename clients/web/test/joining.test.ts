import { v1 } from "@parlance/client";
import { listLinks } from "@parlance/client/links";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { LOOKS } from "./axe.js";
import { composer, entry, open, until } from "./browser.js";
import { button, check, client, dialog, noted, page, unique } from "./persons.js";
import { server } from "./stage.js";

const { BY_REQUEST } = v1.RoomJoining;

test.each(LOOKS)("a link is made, opened by somebody else, who joins by it, and is taken back, in %s", async (look, options) => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const owner = await client(ann);
  const room = await owner.createRoom({ kind: "group", title: "Harbour party" });
  const [ofAnn, ofBob, ofCarol] = (await Promise.all([ann, bob, carol].map((userId) => page(userId, options)))) as [Page, Page, Page];
  await open(ofAnn, "Harbour party");
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Links to join").press("Enter");
  await dialog(ofAnn).getByText("No links so far.").waitFor();
  await dialog(ofAnn).getByLabel("Valid for").selectOption("A day");
  await dialog(ofAnn).getByLabel("Can be used").selectOption("Once");
  await button(ofAnn, "Make a link").click();
  const url = await dialog(ofAnn).getByLabel("Link", { exact: true }).inputValue();
  expect(url).toMatch(new RegExp(`/#/join/${room.id}/[0-9a-f]{32}$`));
  await dialog(ofAnn).getByText("0 of 1 joined").waitFor();
  await check(ofAnn, look, "links to join");

  await ofBob.goto(url);
  await ofBob.getByText("Group with 1 member").waitFor();
  await check(ofBob, look, "a link that was opened");
  await button(ofBob, "Join").press("Enter");
  await ofBob.getByRole("heading", { level: 2, name: "Harbour party" }).waitFor();
  await composer(ofBob).waitFor();
  expect(new URL(ofBob.url()).hash).toBe(`#/room/${room.id}`);
  await noted(ofBob, `${bob} joined by a link`);
  // Whoever is in the room by now goes there.
  await ofBob.goto(url);
  await composer(ofBob).waitFor();

  await ofCarol.goto(url);
  await ofCarol.getByRole("alert").getByText("This link is no longer valid").waitFor();
  // A link that has lost a part on its way does not work, either.
  for (const mangled of [`#/join/${room.id}`, `#/join/${room.id}/`, "#/join/no%20room/0", `${new URL(url).hash}/`]) {
    await ofCarol.goto("about:blank");
    await ofCarol.goto(`${server.url}/${mangled}`);
    await ofCarol.getByRole("alert").getByText("This link is no longer valid").waitFor();
  }
  await check(ofCarol, look, "a link that was used up");
  await ofCarol.getByRole("link", { name: "To your conversations" }).click();
  await until("nothing is open", () => new URL(ofCarol.url()).hash, (hash) => hash === "#/");

  await button(ofAnn, "Make a link").click();
  await until("there are two links to copy", () => dialog(ofAnn).getByLabel("Link", { exact: true }).inputValue().catch(() => url), (second) => second !== url);
  await dialog(ofAnn).getByRole("button", { name: /^Take back the link of/ }).first().click();
  await until("it is taken back", () => listLinks(owner, room.id), (links) => links.length === 0);
  await dialog(ofAnn).getByText("No links so far.").waitFor();
});

test.each(LOOKS)("somebody finds a channel that is joined by request, asks, and is let in, in %s", async (look, options) => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const owner = await client(ann);
  const title = unique("Garden");
  const room = await owner.createRoom({ kind: "channel", title });
  const [ofAnn, ofBob, ofCarol] = (await Promise.all([ann, bob, carol].map((userId) => page(userId, options)))) as [Page, Page, Page];
  await open(ofAnn, title);
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Title, topic and picture").click();
  await dialog(ofAnn).getByLabel("Who can join").selectOption("Everyone can ask to join");
  await dialog(ofAnn).getByRole("checkbox", { name: "In the directory" }).check();
  await check(ofAnn, look, "who can join a channel");
  await button(ofAnn, "Save").click();
  await until("it is so", () => owner.room(room.id)!.joining, (joining) => joining === BY_REQUEST);

  for (const [one, note] of [[ofBob, "I live next door"], [ofCarol, ""]] as const) {
    await button(one, "Browse channels").click();
    await dialog(one).getByRole("searchbox").fill(title);
    await button(one, `Ask to join ${title}`).click();
    await one.getByLabel("A note to those who answer").fill(note);
    await check(one, look, "asking to join");
    await button(one, "Ask to join").click();
    await one.getByText("You have asked to join.").waitFor();
  }
  await check(ofBob, look, "a request that waits");
  const asking = ofAnn.getByRole("list", { name: "Asking to join" });
  await asking.getByText("I live next door").waitFor();
  await check(ofAnn, look, "details with requests to join");
  await button(ofAnn, `Approve the request of ${bob}`).press("Enter");
  await composer(ofBob).waitFor();
  await button(ofAnn, `Reject the request of ${carol}`).click();
  await ofCarol.getByText("Your request was rejected. You can ask again from").waitFor();
  await asking.waitFor({ state: "detached" });
  await button(ofAnn, "Close details").click();
  for (const text of [`${bob} and ${carol} ask to join`, `${ann} added ${bob}`, `${ann} rejected the request of ${carol}`]) await noted(ofAnn, text);
  if (look === "a phone") await ofBob.getByRole("link", { name: "Back to conversations" }).click();
  await entry(ofBob, title).waitFor();
});

test("a group is asked at its address, if it takes requests, and a request is withdrawn", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const ofBob = await page(bob);
  const room = await owner.createRoom({ kind: "group", title: "Plans" });
  await ofBob.goto(`${server.url}/#/room/${room.id}`);
  await button(ofBob, "Ask to join").click();
  await ofBob.getByRole("alert").getByText("This conversation takes no requests.").waitFor();
  await room.update({ joining: BY_REQUEST });
  await button(ofBob, "Ask to join").click();
  await button(ofBob, "Withdraw the request").click();
  await button(ofBob, "Ask to join").waitFor();
  await ofBob.goto(`${server.url}/#/room/nowhere`);
  await ofBob.getByText("This conversation does not exist").waitFor();
});
