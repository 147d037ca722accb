import { v1 } from "@parlance/client";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { LOOKS } from "./axe.js";
import { composer, confirm, entry, message, open, say, until } from "./browser.js";
import { button, check, client, dialog, noted, page, unique } from "./persons.js";

const readOnly = (page: Page) => page.getByTestId("read-only");
const rules = (page: Page) => button(page, "What members may do");

test.each(LOOKS)("the owner sets slow mode and what members may do, and freezes the conversation for a while, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const [ofAnn, ofBob] = (await Promise.all([ann, bob].map((userId) => page(userId, options)))) as [Page, Page];
  const room = await owner.createRoom({ kind: "group", title: "Harbour party", memberIds: [bob] });
  await room.send("Who brings what?");
  for (const one of [ofAnn, ofBob]) await open(one, "Harbour party");
  await button(ofBob, "Details").click();
  await button(ofBob, "Leave").waitFor();
  for (const name of ["What members may do", "Freeze"]) expect(await button(ofBob, name).count(), name).toBe(0);
  await button(ofBob, "Close details").click();

  await button(ofAnn, "Details").click();
  await rules(ofAnn).press("Enter");
  const slow = dialog(ofAnn).getByLabel("Slow mode");
  expect(await slow.locator("option").allTextContents()).toEqual(["Off", "10 seconds", "30 seconds", "1 minute", "5 minutes", "15 minutes", "1 hour"]);
  await slow.selectOption("5 minutes");
  await check(ofAnn, look, "what members may do");
  await button(ofAnn, "Save").click();
  await noted(ofBob, `${ann} turned slow mode on: 5 minutes between two messages`);
  await say(ofBob, "Lemonade");
  await ofBob.getByTestId("closed").getByText("Slow mode: you can send again in 5 minutes.").waitFor();
  await composer(ofBob).fill("And cake");
  expect(await button(ofBob, "Send").isDisabled()).toBe(true);
  await check(ofBob, look, "slow mode");

  await rules(ofAnn).click();
  expect(await slow.inputValue()).toBe("300");
  await slow.selectOption("Off");
  await button(ofAnn, "Save").click();
  await ofBob.getByTestId("closed").waitFor({ state: "detached" });
  await button(ofBob, "Send").click();
  await message(ofBob, "And cake").waitFor();

  await rules(ofAnn).click();
  await dialog(ofAnn).getByLabel("Who writes messages").selectOption("Owner and admins");
  await dialog(ofAnn).getByLabel("Who adds and invites people").selectOption("All members");
  await button(ofAnn, "Save").click();
  await readOnly(ofBob).getByText("Only the owner and admins write here.").waitFor();
  const { MEMBER, ADMIN, UNSPECIFIED } = v1.Role;
  // What was not changed keeps following the server's defaults.
  expect(owner.room(room.id)!.permissions).toMatchObject({ post: ADMIN, invite: MEMBER, react: UNSPECIFIED, editSettings: UNSPECIFIED, deleteMessages: UNSPECIFIED });
  await button(ofBob, "Details").click();
  await button(ofBob, "Add people").waitFor();
  await button(ofBob, "Close details").click();
  await rules(ofAnn).click();
  await dialog(ofAnn).getByLabel("Who writes messages").selectOption("As usual: all members");
  await button(ofAnn, "Save").click();
  await composer(ofBob).waitFor();
  expect(owner.room(room.id)!.permissions).toMatchObject({ post: UNSPECIFIED, invite: MEMBER });

  await button(ofAnn, "Freeze").click();
  await check(ofAnn, look, "asking before freezing");
  await confirm(ofAnn, "Freeze");
  await ofAnn.getByRole("complementary").getByRole("button", { name: "Unfreeze" }).waitFor();
  await check(ofAnn, look, "details of a frozen conversation");
  await button(ofAnn, "Close details").click();
  await readOnly(ofBob).getByText("This conversation is frozen: nobody can write for now.").waitFor();
  expect(await readOnly(ofBob).getByRole("button").count()).toBe(0);
  await check(ofBob, look, "a frozen conversation");
  await readOnly(ofAnn).getByRole("button", { name: "Unfreeze" }).press("Enter");
  for (const one of [ofAnn, ofBob]) await composer(one).waitFor();
  for (const text of ["turned slow mode off", "changed what members may do", "froze the conversation", "unfroze the conversation"]) await noted(ofBob, `${ann} ${text}`);
});

test.each(LOOKS)("the owner sets what new members read, and deletes the conversation, which those are told who have it open, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const [ofAnn, ofBob] = (await Promise.all([ann, bob].map((userId) => page(userId, options)))) as [Page, Page];
  const room = await owner.createRoom({ kind: "group", title: unique("Plans"), memberIds: [bob] });
  await owner.call("updateUser", { userId: "me", data: { status: "Back at noon" } });
  for (const one of [ofAnn, ofBob]) {
    await open(one, room.title);
    await button(one, "Details").click();
  }
  await ofBob.getByRole("list", { name: "Members" }).getByText("Back at noon").waitFor();
  await button(ofBob, "Leave").waitFor();
  expect(await button(ofBob, "Delete conversation").count()).toBe(0);
  await button(ofBob, "Close details").click();

  await button(ofAnn, "Title, topic and picture").click();
  const history = dialog(ofAnn).getByLabel("New members read");
  expect(await history.inputValue()).toBe("since_joined");
  await history.selectOption("Everything from the beginning");
  await check(ofAnn, look, "settings with what new members read");
  await button(ofAnn, "Save").click();
  await until("it is set", () => owner.room(room.id)!.info.history, (access) => access === "all");
  await noted(ofBob, `${ann} lets new members read everything from the beginning`);

  await check(ofAnn, look, "details for the owner");
  await button(ofAnn, "Delete conversation").press("Enter");
  await confirm(ofAnn, "Cancel");
  await until("the focus is back", () => button(ofAnn, "Delete conversation").evaluate((one) => one === document.activeElement), Boolean);
  await ofAnn.keyboard.press("Enter");
  await check(ofAnn, look, "asking before deleting");
  await confirm(ofAnn, "Delete");
  await ofBob.getByRole("status").getByText(`${ann} deleted ${room.title}.`).waitFor();
  for (const one of [ofAnn, ofBob]) {
    await until("nothing is open", () => new URL(one.url()).hash, (hash) => hash === "#/");
    await entry(one, room.title).waitFor({ state: "detached" });
  }
  await expect(owner.call("getRoom", { roomId: room.id })).rejects.toThrow();
});

test("an admin mentions all, sets slow mode and freezes, also with times of other clients, and leaves the roles to the owner", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const ofBob = await page(bob);
  const { ADMIN, OWNER } = v1.Role;
  const room = await owner.createRoom({ kind: "group", title: "Plans", memberIds: [bob] });
  await owner.call("setRole", { roomId: room.id, userId: bob, role: ADMIN });
  await room.update({ slowModeSeconds: 45 });
  await open(ofBob, "Plans");
  await composer(ofBob).pressSequentially("@al");
  await ofBob.getByRole("option", { name: "Everyone here" }).click();
  await button(ofBob, "Send").click();
  await until("ann is mentioned", () => owner.room(room.id)!.lastMessage, (last) => last?.text === "@all" && last.mentionsAll);
  await button(ofBob, "Details").click();
  await rules(ofBob).click();
  expect(await dialog(ofBob).getByLabel("Slow mode").inputValue()).toBe("45");
  expect(await dialog(ofBob).getByRole("combobox").count()).toBe(1);
  await dialog(ofBob).getByLabel("Slow mode").selectOption("30 seconds");
  await button(ofBob, "Save").click();
  await until("it is set", () => owner.room(room.id)!.slowModeSeconds, (seconds) => seconds === 30);
  // Who may not change the settings does neither.
  await room.update({ permissions: { editSettings: OWNER } });
  await rules(ofBob).waitFor({ state: "detached" });
  expect(await button(ofBob, "Freeze").count()).toBe(0);
  await room.update({ frozen: true });
  await readOnly(ofBob).getByText("This conversation is frozen").waitFor();
  expect(await readOnly(ofBob).getByRole("button").count()).toBe(0);
});
