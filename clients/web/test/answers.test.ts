import { v1 } from "@parlance/client";
import { createLink, listLinks } from "@parlance/client/links";
import { answerJoinRequest, requestToJoin } from "@parlance/client/join-requests";
import { listReports } from "@parlance/client/reports";
import type { BrowserContextOptions, Page } from "playwright-core";
import { expect, test } from "vitest";

import { LOOKS } from "./axe.js";
import { message, open, until } from "./browser.js";
import { button, check, client, dialog, page, unique } from "./persons.js";
import { people, server } from "./stage.js";

/** A page whose requests can be held back, and whose connection can be cut. */
async function slowPage(userId: string, options: BrowserContextOptions = {}) {
  const context = await people.context({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  let held: string | undefined;
  let heldAnswer: string | undefined;
  let isCut = false;
  const waiting: (() => void)[] = [];
  const answers: (() => void)[] = [];
  const lines = new Set<{ close: () => void }>();
  await page.routeWebSocket(/\/ws/, (line) => {
    if (isCut) return void line.close();
    lines.add(line);
    const to = line.connectToServer();
    line.onMessage((frame) => {
      if (held && String(frame).includes(held)) waiting.push(() => to.send(frame));
      else to.send(frame);
    });
    to.onMessage((frame) => {
      if (heldAnswer && String(frame).includes(heldAnswer)) answers.push(() => line.send(frame));
      else line.send(frame);
    });
  });
  await page.goto(`${server.url}/#token=${await server.token(userId)}`);
  await page.getByTestId("connection").getByText("Online").waitFor({ state: "attached" });
  return {
    page,
    /** Holds requests of this name back until the function that is returned is called. */
    hold: (name: string) => {
      held = name;
      return async () => {
        await until(`${name} is held`, () => waiting.length, (count) => count > 0);
        held = undefined;
        for (const send of waiting.splice(0)) send();
      };
    },
    /** Holds answers with this name back: they are in what is returned, to be sent one by one. */
    holdAnswers: (name: string) => {
      heldAnswer = `"${name}":`;
      return answers;
    },
    cut: () => {
      isCut = true;
      for (const line of lines) line.close();
    },
    mend: () => void (isCut = false),
  };
}

const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim() ?? "");
const closed = (page: Page) => dialog(page).waitFor({ state: "detached" });

test("a list that was read before a request to join was rejected does not bring it back", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const room = await owner.createRoom({ kind: "channel", title: unique("Garden") });
  await room.update({ joining: v1.RoomJoining.BY_REQUEST });
  const { page: ofBob, holdAnswers } = await slowPage(bob);
  await ofBob.goto(`${server.url}/#/room/${room.id}`);
  await ofBob.getByLabel("A note to those who answer").waitFor();
  const answers = holdAnswers("listJoinRequests");
  await button(ofBob, "Ask to join").click();
  const waits = ofBob.getByText("You have asked to join.");
  await waits.waitFor();
  await until("a list with the request is on its way", () => answers.length, (count) => count === 1);
  await answerJoinRequest(owner, { roomId: room.id, userId: bob }, "reject");
  const rejected = ofBob.getByText("Your request was rejected.");
  await rejected.waitFor();
  answers[0]!();
  // It is read again once that list was taken.
  await until("the next list is on its way", () => answers.length, (count) => count === 2);
  await rejected.waitFor();
  expect(await waits.count()).toBe(0);
  answers[1]!();
  await rejected.waitFor();
});

test("a setting that somebody else has changed meanwhile is not written back, and what was refused stays to be corrected", async () => {
  const ann = unique("ann");
  const owner = await client(ann);
  const room = await owner.createRoom({ kind: "channel", title: unique("Garden") });
  const ofAnn = await page(ann);
  await open(ofAnn, room.title);
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Title, topic and picture").click();
  await room.update({ topic: "spades", listed: true });
  await until("it is known", () => owner.room(room.id)!.isListed, Boolean);
  const title = unique("Orchard");
  await dialog(ofAnn).getByRole("textbox", { name: "Title" }).fill(title);
  await dialog(ofAnn).getByLabel("Picture").fill("https://a b/x.png");
  await button(ofAnn, "Save").click();
  await dialog(ofAnn).getByRole("alert").getByText("Could not change it").waitFor();
  expect(await dialog(ofAnn).getByRole("textbox", { name: "Title" }).inputValue()).toBe(title);
  await dialog(ofAnn).getByLabel("Picture").fill("");
  await button(ofAnn, "Save").click();
  await closed(ofAnn);
  await until("it has the title", () => owner.room(room.id)!.title, (now) => now === title);
  expect([owner.room(room.id)!.topic, owner.room(room.id)!.isListed]).toEqual(["spades", true]);

  // What is typed stays, whatever arrives.
  await button(ofAnn, "Account and settings").click();
  await ofAnn.getByRole("menuitem", { name: "Profile" }).click();
  await dialog(ofAnn).getByLabel("Name").fill("half typed na");
  await owner.call("updateUser", { userId: "me", imageUrl: `${server.url}/icon.svg` });
  await owner.call("updateUser", { userId: "me", name: "Ann Lee" });
  await ofAnn.getByRole("navigation").getByText("Ann Lee").waitFor();
  expect(await dialog(ofAnn).getByLabel("Name").inputValue()).toBe("half typed na");
  await button(ofAnn, "Save").click();
  await closed(ofAnn);
  await until("name and picture are both there", () => owner.call("getUser", { userId: ann }), ({ user }) => user?.name === "half typed na");
  expect((await owner.call("getUser", { userId: ann })).user?.imageUrl).toBe(`${server.url}/icon.svg`);
});

test("a late answer belongs to what was asked: it neither answers another report nor closes another dialog", async () => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const owner = await client(ann);
  const [, writer] = await Promise.all([client(bob), client(carol)]);
  const room = await owner.createRoom({ kind: "group", title: unique("Talk") });
  await room.addMembers([bob, carol]);
  for (const text of ["first bad", "second bad"]) await writer!.send({ roomId: room.id, text });
  const { page: ofBob, hold } = await slowPage(bob);
  await open(ofBob, room.title);
  const report = async (text: string) => {
    await message(ofBob, text).hover();
    await message(ofBob, text).getByRole("button", { name: "More" }).click();
    await ofBob.getByRole("menuitem", { name: "Report" }).click();
    await dialog(ofBob).getByText(text).waitFor();
    await dialog(ofBob).getByLabel("Spam").check();
  };
  const letMembers = hold("listMembers");
  await report("first bad");
  await dialog(ofBob).getByText(`Those of the owner and admins of ${room.title} who could ban ${carol} see a copy`).waitFor();
  await letMembers();
  await dialog(ofBob).getByText(`The owner and admins of ${room.title} see a copy`).waitFor();
  const letReport = hold("reportMessage");
  await button(ofBob, "Send report").press("Enter");
  expect(await focused(ofBob)).toBe("Send report");
  await ofBob.keyboard.press("Escape");
  await closed(ofBob);
  await report("second bad");
  await letReport();
  await ofBob.getByRole("status").getByText("The report was sent.").waitFor();
  expect(await dialog(ofBob).getByText("The report was sent.").count()).toBe(0);
  await button(ofBob, "Send report").click();
  await dialog(ofBob).getByText("The report was sent.").waitFor();
  expect(await focused(ofBob)).toContain("The report was sent.");
  await button(ofBob, "Done").click();
  const reported = async () => {
    const all: string[] = [];
    for await (const { message } of listReports(owner, { roomId: room.id })) all.push(message?.text ?? "");
    return all.sort().join();
  };
  await until("both are reported", reported, (all) => all === "first bad,second bad");

  await button(ofBob, "Account and settings").click();
  await ofBob.getByRole("menuitem", { name: "Profile" }).click();
  await dialog(ofBob).getByLabel("Name").fill("One");
  const letSave = hold("updateUser");
  await button(ofBob, "Save").click();
  await ofBob.keyboard.press("Escape");
  await button(ofBob, "New conversation").click();
  await dialog(ofBob).getByRole("radio", { name: "Group" }).check();
  await dialog(ofBob).getByRole("textbox", { name: "Title" }).fill("First");
  await letSave();
  await ofBob.getByRole("navigation").getByText("One", { exact: true }).waitFor();
  const letCreate = hold("createRoom");
  await button(ofBob, "Create").click();
  await ofBob.keyboard.press("Escape");
  await button(ofBob, "New conversation").click();
  await dialog(ofBob).getByRole("radio", { name: "Group" }).check();
  await dialog(ofBob).getByRole("textbox", { name: "Title" }).fill("Second, half typed");
  await letCreate();
  await ofBob.getByRole("navigation").getByText("First").waitFor();
  expect(await dialog(ofBob).getByRole("textbox", { name: "Title" }).inputValue()).toBe("Second, half typed");
  expect(new URL(ofBob.url()).hash).toBe(`#/room/${room.id}`);
  // Keys of the page do nothing to a dialog.
  await dialog(ofBob).getByRole("button", { name: "Close" }).focus();
  await ofBob.keyboard.press("?");
  await ofBob.keyboard.press("Alt+ArrowDown");
  expect(await dialog(ofBob).getByRole("textbox", { name: "Title" }).inputValue()).toBe("Second, half typed");
  expect(new URL(ofBob.url()).hash).toBe(`#/room/${room.id}`);
});

test("a link that is taken back is no longer there to copy; who cannot be invited keeps nobody else from it; archived rooms leave no dead step back", async () => {
  const [ann, bob, carol, dora] = [unique("ann"), unique("bob"), unique("carol"), unique("dora")];
  const owner = await client(ann);
  const others = await Promise.all([bob, carol, dora].map((userId) => client(userId)));
  await others[1]!.blockUser(ann);
  const room = await owner.createRoom({ kind: "group", title: unique("Plans") });
  const old = await owner.createRoom({ kind: "group", title: unique("Old") });
  await old.update({ archived: true });
  const ofAnn = await page(ann);
  await open(ofAnn, room.title);
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Links to join").click();
  await button(ofAnn, "Make a link").press("Enter");
  await dialog(ofAnn).getByText("The new link.").waitFor();
  expect(await focused(ofAnn)).toBe("Make a link");
  await dialog(ofAnn).getByRole("button", { name: /^Take back the link of/ }).press("Enter");
  await dialog(ofAnn).getByText("No links so far.").waitFor();
  expect(await dialog(ofAnn).getByText("The new link.").count()).toBe(0);
  expect(await listLinks(owner, room.id)).toEqual([]);
  await ofAnn.keyboard.press("Escape");

  await button(ofAnn, "Add people").click();
  for (const userId of [bob, carol, dora]) {
    await dialog(ofAnn).getByPlaceholder("Name or id").fill(userId);
    await dialog(ofAnn).getByRole("checkbox", { name: userId }).check();
  }
  await dialog(ofAnn).getByLabel("Ask them first").check();
  await button(ofAnn, "Invite").click();
  await dialog(ofAnn).getByRole("alert").getByText(`Could not invite them: ${carol}: `).waitFor();
  await ofAnn.getByRole("status").getByText(`${bob} and ${dora} were invited`).waitFor();
  await ofAnn.keyboard.press("Escape");
  await closed(ofAnn);

  await ofAnn.getByRole("button", { name: /^Archived/ }).click();
  await dialog(ofAnn).getByRole("link", { name: old.title }).click();
  await ofAnn.getByRole("heading", { level: 2, name: old.title }).waitFor();
  expect(await ofAnn.evaluate(() => history.state)).toBeNull();
  await ofAnn.goBack();
  await ofAnn.getByRole("heading", { level: 2, name: room.title }).waitFor();
});

test("more of the directory is read past a channel that was renamed, and what was offered and is refused is looked at again", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const name = unique("moves");
  const owner = await client(ann);
  const wanted = Array.from({ length: 33 }, (_, at) => `${name} ${at + 10}`);
  const first = `! ${name}`;
  for (const title of [first, ...wanted]) await owner.call("createRoom", { kind: 3, settings: { title, listed: true } });
  const ofBob = await page(bob);
  const rows = dialog(ofBob).getByRole("list", { name: "Channels" }).getByRole("listitem");
  await button(ofBob, "Browse channels").click();
  await rows.getByText(first).waitFor();
  await dialog(ofBob).getByRole("searchbox").fill(name);
  // What was found before is shown until there is an answer.
  await rows.getByText(first).waitFor({ state: "detached" });
  await dialog(ofBob).getByText("30 channels, and more").waitFor();
  await until("the owner knows the rooms", () => owner.rooms.length, (count) => count === 34);
  await owner.rooms.find(({ title }) => title === wanted[3])!.update({ title: `${name} 99` });
  await button(ofBob, "More").press("Enter");
  await until("all are there", () => dialog(ofBob).getByRole("status").textContent(), (text) => text === "33 channels");
  expect(await rows.count()).toBe(33);
  await until("the focus is at the first of the further ones", () => focused(ofBob), (text) => text.includes(wanted[30]!));
  await ofBob.keyboard.press("Tab");
  expect(await focused(ofBob)).toBe(`Join ${wanted[30]}`);
  // Who joins is decided anew.
  await owner.rooms.find(({ title }) => title === wanted[30])!.update({ joining: v1.RoomJoining.BY_REQUEST });
  await ofBob.keyboard.press("Enter");
  await button(ofBob, `Ask to join ${wanted[30]}`).click();
  await ofBob.getByLabel("A note to those who answer").waitFor();

  const open = owner.rooms.find(({ title }) => title === wanted[31])!;
  await ofBob.goto(`${server.url}/#/room/${open.id}`);
  await button(ofBob, "Join").waitFor();
  await open.update({ joining: v1.RoomJoining.BY_REQUEST });
  await button(ofBob, "Join").click();
  await ofBob.getByRole("alert").getByText("Joining takes a request by now.").waitFor();
  await ofBob.getByLabel("A note to those who answer").fill("я".repeat(151));
  await ofBob.getByText("Too long by 2 bytes").waitFor();
  await ofBob.getByLabel("A note to those who answer").fill("я".repeat(150));
  await open.update({ joining: v1.RoomJoining.BY_INVITATION });
  await button(ofBob, "Ask to join").click();
  await ofBob.getByText("Only people who are added or invited").waitFor();
});

test.each(LOOKS)("long and right-to-left titles, and people of one name, in %s", async (look, options) => {
  const [ann, bob, one, two] = [unique("ann"), unique("bob"), unique("miller"), unique("miller")];
  const owner = await client(ann);
  const long = `${unique("long")}${"w".repeat(60)}`;
  const room = await owner.createRoom({ kind: "channel", title: long, topic: "שלום עולם." });
  await room.update({ joining: v1.RoomJoining.BY_REQUEST });
  const asking = await Promise.all([one, two].map((userId) => client(userId)));
  const note = "I live next door, and would like to help with the beds behind the shed, on most weekends, with my own tools.";
  for (const each of asking) {
    await each.call("updateUser", { userId: "me", name: "أحمد بن محمد الطويل" });
    await requestToJoin(each, room.id, { note });
  }
  const hebrew = await owner.createRoom({ kind: "channel", title: "שלום עולם: הקבוצה עם שם ארוך מאוד שאינו נגמר באמצע השורה" });
  const [ofAnn, ofBob] = (await Promise.all([ann, bob].map((userId) => page(userId, options)))) as [Page, Page];
  const begins = (page: Page, text: string) =>
    page.getByRole("navigation").getByText(text).first().evaluate((element) => [getComputedStyle(element).direction, getComputedStyle(element).textOverflow]);
  expect(await begins(ofAnn, hebrew.title)).toEqual(["rtl", "ellipsis"]);
  await check(ofAnn, look, "a list with a title from right to left");
  await open(ofAnn, long);
  await button(ofAnn, "Details").click();
  const list = ofAnn.getByRole("list", { name: "Asking to join" });
  await list.getByText(one).waitFor();
  await check(ofAnn, look, "two people of one name ask to join");
  await button(ofAnn, `Approve the request of أحمد بن محمد الطويل (${one})`).press("Enter");
  await until("one is left", () => list.getByRole("listitem").count(), (count) => count === 1);
  await until("the focus is nearby", () => focused(ofAnn), (text) => text.includes(note));
  await ofBob.goto(`${server.url}/#/room/${room.id}`);
  await button(ofBob, "Ask to join").press("Enter");
  await ofBob.getByText("You have asked to join.").waitFor();
  await check(ofBob, look, "asking at a room with a long title");
});

test.each(LOOKS)("without a connection it says what it waits for, and there is a way back, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const room = await owner.createRoom({ kind: "group", title: unique("Plans") });
  const link = await createLink(owner, room.id);
  const { page: ofBob, cut, mend } = await slowPage(bob, options);
  cut();
  await ofBob.getByTestId("connection").getByText("Online").waitFor({ state: "detached" });
  for (const hash of [`#/join/${room.id}/${link.secret}`, `#/room/${room.id}`]) {
    await ofBob.evaluate((to) => (location.hash = to), hash);
    await ofBob.getByRole("status").getByText(/^(No connection\. This is shown|Connecting)/).first().waitFor();
    await ofBob.getByRole("link", { name: "To your conversations" }).waitFor();
  }
  await check(ofBob, look, "a place without a connection");
  await ofBob.getByRole("link", { name: "To your conversations" }).click();
  await button(ofBob, "New conversation").click();
  await dialog(ofBob).getByRole("radio", { name: "Group" }).check();
  await dialog(ofBob).getByRole("textbox", { name: "Title" }).fill("Later");
  await button(ofBob, "Create").press("Enter");
  await dialog(ofBob).getByText("No connection. This is sent when it is back").waitFor();
  await check(ofBob, look, "a form without a connection");
  mend();
  await closed(ofBob);
  await ofBob.getByRole("heading", { level: 2, name: "Later" }).waitFor();
});
