import { v1 } from "@parlance/client";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { LOOKS } from "./axe.js";
import { composer, confirm, entry, message, open } from "./browser.js";
import { button, check, client, dialog, noted, page, unique } from "./persons.js";

const readOnly = (page: Page) => page.getByTestId("read-only");
const back = async (page: Page, look: string) => look === "a phone" && page.getByRole("link", { name: "Back to conversations" }).click();

test.each(LOOKS)("a conversation is archived, read, found again, and unarchived, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const [ofAnn, ofBob] = (await Promise.all([ann, bob].map((userId) => page(userId, options)))) as [Page, Page];
  const room = await owner.createRoom({ kind: "group", title: "Harbour party", memberIds: [bob] });
  const seq = await room.send("See you next year!");
  await room.react(seq, "🎉");
  for (const one of [ofAnn, ofBob]) await open(one, "Harbour party");
  await button(ofBob, "Details").click();
  expect(await button(ofBob, "Archive").count()).toBe(0);
  await button(ofBob, "Close details").click();

  await button(ofAnn, "Details").click();
  await button(ofAnn, "Archive").click();
  await check(ofAnn, look, "asking before archiving");
  await confirm(ofAnn, "Archive");
  await ofAnn.getByRole("complementary").getByRole("button", { name: "Unarchive" }).waitFor();
  expect(await button(ofAnn, "Title, topic and picture").count()).toBe(0);
  expect(await button(ofAnn, "Add people").count()).toBe(0);
  await check(ofAnn, look, "details of an archived conversation");
  await button(ofAnn, "Close details").click();

  // Whoever has it open stays in it.
  await readOnly(ofBob).getByText("This conversation is archived: it can only be read.").waitFor();
  expect(await readOnly(ofBob).getByRole("button").count()).toBe(0);
  expect(await composer(ofBob).count()).toBe(0);
  await noted(ofBob, `${ann} archived the conversation`);
  await message(ofBob, "See you next year!").focus();
  await ofBob.keyboard.press("r");
  for (const name of ["Reply", "React"]) expect(await button(ofBob, name).count(), name).toBe(0);
  expect(await ofBob.getByRole("button", { name: /^🎉 1/ }).isDisabled()).toBe(true);
  await check(ofBob, look, "an archived conversation");

  await back(ofBob, look);
  await entry(ofBob, "Harbour party").waitFor({ state: "detached" });
  await check(ofBob, look, "the list with something archived");
  await button(ofBob, "Archived (1)").press("Enter");
  await dialog(ofBob).getByRole("link", { name: /Harbour party/ }).waitFor();
  await check(ofBob, look, "what is archived");
  await dialog(ofBob).getByRole("link", { name: /Harbour party/ }).press("Enter");
  await dialog(ofBob).waitFor({ state: "detached" });
  await message(ofBob, "See you next year!").waitFor();
  await back(ofBob, look);
  await ofBob.getByRole("button", { name: /Find/ }).click();
  await dialog(ofBob).getByRole("combobox").fill("harb");
  await dialog(ofBob).getByRole("option", { name: "Harbour party archived" }).waitFor();
  await ofBob.keyboard.press("Enter");
  await message(ofBob, "See you next year!").waitFor();

  await readOnly(ofAnn).getByRole("button", { name: "Unarchive" }).click();
  await composer(ofBob).waitFor();
  await noted(ofBob, `${ann} unarchived the conversation`);
  await back(ofBob, look);
  await entry(ofBob, "Harbour party").waitFor();
  await button(ofBob, "Archived (1)").waitFor({ state: "detached" });
});

test("members of a room do what its owner lets them do, and are not offered more", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const ofBob = await page(bob);
  const room = await owner.createRoom({ kind: "group", title: "Plans", memberIds: [bob] });
  await room.send("Read this");
  await open(ofBob, "Plans");
  await button(ofBob, "Details").click();
  await button(ofBob, "Leave").waitFor();
  for (const name of ["Add people", "Title, topic and picture", "Archive"]) expect(await button(ofBob, name).count(), name).toBe(0);

  const { ADMIN, MEMBER } = v1.Role;
  await room.update({ permissions: { invite: MEMBER, editSettings: MEMBER, deleteMessages: MEMBER } });
  await button(ofBob, "Add people").click();
  const dora = unique("dora");
  await client(dora);
  await dialog(ofBob).getByPlaceholder("Name or id").fill(dora);
  await dialog(ofBob).getByPlaceholder("Name or id").press("Enter");
  await dialog(ofBob).getByRole("checkbox", { name: "Ask them first" }).check();
  await button(ofBob, "Invite").click();
  // Of the invitations, one's own can be taken back.
  await button(ofBob, `Take back the invitation of ${dora}`).waitFor();
  await button(ofBob, "Title, topic and picture").waitFor();
  // No permission makes members archive, or see reports.
  expect(await button(ofBob, "Archive").count()).toBe(0);
  expect(await ofBob.getByRole("button", { name: /^Reports/ }).count()).toBe(0);
  await message(ofBob, "Read this").hover();
  await message(ofBob, "Read this").getByRole("button", { name: "More" }).click();
  await ofBob.getByRole("menuitem", { name: "Delete" }).waitFor();
  await ofBob.keyboard.press("Escape");

  await room.update({ permissions: { post: ADMIN, invite: ADMIN, react: ADMIN, deleteMessages: ADMIN } });
  await readOnly(ofBob).getByText("Only the owner and admins write here.").waitFor();
  await button(ofBob, "Add people").waitFor({ state: "detached" });
  await message(ofBob, "Read this").hover();
  await message(ofBob, "Read this").getByRole("button", { name: "More" }).click();
  expect(await ofBob.getByRole("menuitem").allTextContents()).toEqual([" Copy text", " Report"]);
  await ofBob.keyboard.press("Escape");
  await owner.call("setRole", { roomId: room.id, userId: bob, role: ADMIN });
  await composer(ofBob).waitFor();
  await room.update({ frozen: true });
  await readOnly(ofBob).getByText("This conversation is frozen: nobody can write for now.").waitFor();
});
