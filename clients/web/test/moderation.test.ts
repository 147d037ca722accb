import { Client, type Room, v1, WebSocketTransport } from "@parlance/client";
import { invitationsOf } from "@parlance/client/invitations";
import { listReports, type Report, reportMessage } from "@parlance/client/reports";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { Server } from "../../ts/test/server.js";
import { LOOKS } from "./axe.js";
import { composer, confirm, entry, message, open, until } from "./browser.js";
import { button, check, client, dialog, noted, page, unique } from "./persons.js";
import { server } from "./stage.js";

async function reportsOf(client: Client, room?: Room): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of listReports(client, room ? { roomId: room.id } : {})) all.push(report);
  return all;
}

test.each(LOOKS)("somebody is asked first, and answers, in %s", async (look, options) => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const owner = await client(ann);
  const room = await owner.createRoom({ kind: "group", title: "Garden", topic: "What to plant" });
  const [ofAnn, ofBob, ofCarol] = await Promise.all([ann, bob, carol].map((userId) => page(userId, options))) as [Page, Page, Page];
  await open(ofAnn, "Garden");
  await button(ofAnn, "Details").click();
  await button(ofAnn, "Add people").click();
  for (const userId of [bob, carol]) {
    await dialog(ofAnn).getByPlaceholder("Name or id").fill(userId);
    await dialog(ofAnn).getByPlaceholder("Name or id").press("Enter");
  }
  await dialog(ofAnn).getByRole("checkbox", { name: "Ask them first" }).check();
  await check(ofAnn, look, "adding people");
  await button(ofAnn, "Invite").click();
  await ofAnn.getByRole("status").getByText(`${bob} and ${carol} were invited`).waitFor();
  const invited = ofAnn.getByRole("list", { name: "Invited" });
  for (const userId of [bob, carol]) await invited.getByText(userId, { exact: true }).waitFor();
  await check(ofAnn, look, "details with invitations");

  // One is told in the list, and looks closer.
  const asked = ofBob.getByRole("button", { name: `${ann} invites you to Garden` });
  await asked.waitFor();
  await check(ofBob, look, "an invitation in the list");
  await asked.press("Enter");
  await dialog(ofBob).getByText("Group with 1 member").waitFor();
  await dialog(ofBob).getByText(`${ann} invites you, until`).waitFor();
  await check(ofBob, look, "the list of invitations");
  await button(ofBob, "Accept the invitation to Garden").press("Enter");
  await ofBob.getByRole("heading", { level: 2, name: "Garden" }).waitFor();
  await composer(ofBob).waitFor();
  expect(await asked.count()).toBe(0);

  // The other one follows a link.
  await ofCarol.getByRole("button", { name: `${ann} invites you to Garden` }).waitFor();
  await ofCarol.goto(`${server.url}/#/room/${room.id}`);
  await button(ofCarol, "Decline").waitFor();
  await check(ofCarol, look, "a place that one is invited to");
  await button(ofCarol, "Decline").click();
  await until("nothing is open", () => new URL(ofCarol.url()).hash, (hash) => hash === "#/");
  await invited.waitFor({ state: "detached" });

  await invitationsOf(owner).invite(room.id, carol);
  await button(ofAnn, `Take back the invitation of ${carol}`).click();
  await invited.waitFor({ state: "detached" });
  await button(ofAnn, "Close details").click();
  for (const text of [`${ann} invited ${bob} and ${carol}`, `${bob} joined`, `${carol} declined the invitation`, `${ann} took back the invitation of ${carol}`]) await noted(ofAnn, text);
  await check(ofAnn, look, "notes of invitations");
});

test("of several invitations one is declined, and the others stay", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const ofBob = await page(bob);
  for (const title of ["One", "Two", "Three"]) {
    const room = await owner.createRoom({ kind: title === "Two" ? "channel" : "group", title });
    await invitationsOf(owner).invite(room.id, bob);
  }
  await ofBob.getByRole("button", { name: "3 invitations" }).click();
  const titles = () => dialog(ofBob).getByRole("listitem").locator("strong").allTextContents();
  await until("the latest is first", titles, (all) => String(all) === "Three,Two,One");
  await dialog(ofBob).getByText("Channel with 1 member").waitFor();
  await button(ofBob, "Decline the invitation to Two").click();
  await until("two are left", titles, (all) => String(all) === "Three,One");
  // The keyboard goes on in the list.
  expect(await ofBob.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe("Invitations");
  for (const title of ["Three", "One"]) await button(ofBob, `Decline the invitation to ${title}`).click();
  await dialog(ofBob).waitFor({ state: "detached" });
  await ofBob.getByRole("button", { name: /invitation/ }).waitFor({ state: "detached" });
});

test("where the server takes consent, one is told who was invited instead of added", async () => {
  const strict = await Server.start("--additions", "invite");
  onTestFinished(() => strict.stop());
  const [ann, bob] = [unique("ann"), unique("bob")];
  const [ofAnn, ofBob] = [await page(ann, {}, strict), await page(bob, {}, strict)];
  await button(ofAnn, "New conversation").click();
  await ofAnn.getByRole("radio", { name: "Group" }).check();
  await ofAnn.getByRole("textbox", { name: "Title" }).fill("Strangers");
  await dialog(ofAnn).getByPlaceholder("Name or id").fill(bob);
  await dialog(ofAnn).getByPlaceholder("Name or id").press("Enter");
  await button(ofAnn, "Create").click();
  await ofAnn.getByRole("status").getByText(`${bob} does not know you yet, so they were invited instead of added.`).waitFor();
  await ofBob.getByRole("button", { name: `${ann} invites you to Strangers` }).waitFor();
});

test.each(LOOKS)("a message is reported, and an admin acts and answers, in %s", async (look, options) => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const [owner, noisy] = await Promise.all([client(ann), client(carol), server.token(bob)]);
  const room = await owner.createRoom({ kind: "group", title: "Garden", memberIds: [bob, carol] });
  await until("carol is in it", () => noisy.room(room.id), (found) => found !== undefined);
  await noisy.send({ roomId: room.id, text: "Buy my seeds now!" });
  const [ofAnn, ofBob] = await Promise.all([ann, bob].map((userId) => page(userId, options))) as [Page, Page];

  await open(ofBob, "Garden");
  await message(ofBob, "Buy my seeds").focus();
  await message(ofBob, "Buy my seeds").press("Enter");
  await check(ofBob, look, "the menu of a message");
  await ofBob.getByRole("menuitem", { name: "Report" }).click();
  await dialog(ofBob).getByText("The owner and admins of Garden see a copy of the message").waitFor();
  expect(await button(ofBob, "Send report").isDisabled()).toBe(true);
  await dialog(ofBob).getByRole("radio", { name: "Spam" }).check();
  await dialog(ofBob).getByLabel("In your own words").fill("The third time today");
  await check(ofBob, look, "a report of a message");
  await button(ofBob, "Send report").click();
  await dialog(ofBob).getByText("Thank you. The report was sent.").waitFor();
  await check(ofBob, look, "a report that was sent");
  await button(ofBob, "Done").click();
  await dialog(ofBob).waitFor({ state: "detached" });

  await open(ofAnn, "Garden");
  await button(ofAnn, "Details").click();
  await ofAnn.getByRole("button", { name: "Reports (1)" }).click();
  const report = dialog(ofAnn).getByRole("article", { name: `Report of a message from ${carol}` });
  for (const text of ["Buy my seeds now!", "Spam,", "The third time today"]) await report.getByText(text).waitFor();
  await check(ofAnn, look, "reports of a room");
  await report.getByRole("button", { name: "Delete message" }).click();
  await confirm(ofAnn, "Delete");
  await report.getByText("The message was deleted.").waitFor();
  await report.getByText("Buy my seeds now!").waitFor();
  await report.getByRole("button", { name: `Mute ${carol}` }).click();
  const muting = ofAnn.getByRole("dialog", { name: `Mute ${carol} in Garden` });
  await muting.getByRole("radio", { name: "A day" }).check();
  await muting.getByLabel("Reason").fill("advertising");
  await check(ofAnn, look, "muting somebody");
  await muting.getByRole("button", { name: "Mute" }).click();
  await muting.waitFor({ state: "detached" });
  await until("she is muted", () => noisy.room(room.id)!.silencedUntil, (until) => until > Date.now() + 80_000_000);
  await report.getByLabel("Note for other moderators").fill("The third time, so a day");
  await report.getByRole("button", { name: "Mark as handled" }).click();
  await dialog(ofAnn).getByText("No open reports.").waitFor();
  expect(await reportsOf(owner, room)).toEqual([]);
  await dialog(ofAnn).getByRole("radio", { name: "Answered" }).check();
  await report.getByText(`Handled by ${ann},`).waitFor();
  await report.getByText("The third time, so a day").waitFor();
  expect(await report.getByRole("button").allTextContents()).toEqual(["Show in the conversation"]);
  await check(ofAnn, look, "answered reports of a room");
  // The keyboard goes on at the message.
  await report.getByRole("button", { name: "Show in the conversation" }).press("Enter");
  await dialog(ofAnn).waitFor({ state: "detached" });
  await until("the message has the focus", () => ofAnn.evaluate(() => document.activeElement?.textContent ?? ""), (text) => text.includes("message deleted"));
  await button(ofAnn, "Details").click();
  await ofAnn.getByRole("button", { name: "Reports (0)" }).waitFor();
  await ofAnn.getByRole("list", { name: "Members" }).getByText("muted").waitFor();

  await button(ofAnn, `Manage ${carol}`).click();
  await check(ofAnn, look, "what can be done about a member");
  await ofAnn.getByRole("menuitem", { name: "Unmute" }).click();
  await until("she may write again", () => noisy.room(room.id)!.silencedUntil, (until) => until === 0);
  await button(ofAnn, "Close details").click();
  for (const text of [`${ann} muted ${carol}`, `${ann} unmuted ${carol}`]) await noted(ofAnn, text);
});

test("who reports a message is told who will see that, which those above its author do", async () => {
  const [ann, bob, carol, dora, eve] = [unique("ann"), unique("bob"), unique("carol"), unique("dora"), unique("eve")];
  const [owner, admin, member, gone] = await Promise.all([ann, bob, carol, eve].map((userId) => client(userId))) as [Client, Client, Client, Client];
  await server.token(dora);
  const room = await owner.createRoom({ kind: "group", title: "Garden", memberIds: [bob, carol, dora, eve] });
  await owner.call("setRole", { roomId: room.id, userId: bob, role: v1.Role.ADMIN });
  const writers = { "by the owner": owner, "by an admin": admin, "by a member": member, "by a former admin": gone };
  for (const [text, writer] of Object.entries(writers)) await writer.send({ roomId: room.id, text });
  await owner.call("setRole", { roomId: room.id, userId: eve, role: v1.Role.ADMIN });
  await gone.call("leaveRoom", { roomId: room.id });
  const ofDora = await page(dora);
  await open(ofDora, "Garden");
  const seen = async (one: Client) => (await reportsOf(one, room)).map(({ message }) => message!.text);
  for (const [text, words, see] of [
    ["by the owner", `Only the operators of this server see the report. ${ann} is not told.`, []],
    ["by an admin", "The owner of Garden sees a copy of the message", [owner]],
    ["by a member", "The owner and admins of Garden see a copy of the message", [owner, admin]],
    ["by a former admin", "The owner and admins of Garden see a copy of the message", [owner, admin]],
  ] as const) {
    await message(ofDora, text).hover();
    await message(ofDora, text).getByRole("button", { name: "More" }).click();
    await ofDora.getByRole("menuitem", { name: "Report" }).click();
    await dialog(ofDora).getByText(words).waitFor();
    await dialog(ofDora).getByRole("radio", { name: "Spam" }).check();
    await button(ofDora, "Send report").click();
    await button(ofDora, "Done").click();
    for (const one of [owner, admin]) expect((await seen(one)).includes(text), text).toBe(see.includes(one as never));
  }
});

test("a person is reported from their direct room, which only the app sees; what is refused can be sent again", async () => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const backend = new Client({ url: server.url, token: await server.backendToken("moderation"), transport: new WebSocketTransport(server.url, WebSocket as never) });
  onTestFinished(() => backend.close());
  await backend.start();
  const [other] = await Promise.all([client(bob), server.token(ann)]);
  await other.send({ toUser: ann, text: "hello" });
  const ofAnn = await page(ann);
  await open(ofAnn, bob);
  await button(ofAnn, "Details").click();
  await button(ofAnn, `Report ${bob}`).click();
  await dialog(ofAnn).getByText(`Only the operators of this server see the report. ${bob} is not told.`).waitFor();
  await dialog(ofAnn).getByRole("radio", { name: "Impersonation" }).check();
  await dialog(ofAnn).getByLabel("In your own words").fill("x".repeat(1_025));
  await dialog(ofAnn).getByText("Too long by 1 byte").waitFor();
  expect(await button(ofAnn, "Send report").isDisabled()).toBe(true);
  await dialog(ofAnn).getByLabel("In your own words").fill("not Bob");
  await button(ofAnn, "Send report").click();
  await dialog(ofAnn).getByRole("button", { name: `Block ${bob}` }).click();
  await confirm(ofAnn, "Block");
  await button(ofAnn, `Unblock ${bob}`).waitFor();
  const mine = (await reportsOf(backend)).filter(({ userId }) => userId === bob);
  expect(mine).toMatchObject([{ category: "impersonation", text: "not Bob", reporterId: ann, roomId: "" }]);
  // One more than a day allows.
  const reporter = await client(ann);
  for (let count = 1; count < 50; count += 1) await reporter.call("reportUser", { userId: bob });
  await button(ofAnn, `Report ${bob}`).click();
  await dialog(ofAnn).getByRole("radio", { name: "Spam" }).check();
  await button(ofAnn, "Send report").click();
  await dialog(ofAnn).getByRole("alert").getByText("The report was not sent").waitFor();
  expect(await button(ofAnn, "Send report").isDisabled()).toBe(false);
  await entry(ofAnn, bob).waitFor();
});

test("a reported message far back in the conversation is shown, and a note goes with the answer to all its reports", async () => {
  const [ann, bob, carol] = [unique("ann"), unique("bob"), unique("carol")];
  const [owner, noisy, third] = await Promise.all([client(ann), client(bob), client(carol)]);
  const room = await owner.createRoom({ kind: "group", title: "Harbour", memberIds: [bob, carol] });
  await until("they are in it", () => [noisy, third].map((one) => one.room(room.id)), (rooms) => rooms.every(Boolean));
  const { seq } = await noisy.send({ roomId: room.id, text: "Cheap anchors, today only" });
  for (let count = 0; count < 120; count += 1) await owner.send({ roomId: room.id, text: `line ${count}` });
  await reportMessage(third, { roomId: room.id, seq }, { category: "spam" });
  await reportMessage(owner, { roomId: room.id, seq }, { category: "other", text: "again" });
  const ofAnn = await page(ann);
  await open(ofAnn, "Harbour");
  await button(ofAnn, "Details").click();
  await ofAnn.getByRole("button", { name: "Reports (1)" }).click();
  await button(ofAnn, "Show in the conversation").click();
  await dialog(ofAnn).waitFor({ state: "detached" });
  await until("it has the focus", () => ofAnn.evaluate(() => document.activeElement?.getAttribute("data-seq")), (shown) => shown === `${seq}`);
  expect(await message(ofAnn, "Cheap anchors").isVisible()).toBe(true);
  expect(await ofAnn.getByRole("complementary").count()).toBe(0);

  await button(ofAnn, "Details").click();
  await ofAnn.getByRole("button", { name: "Reports (1)" }).click();
  await dialog(ofAnn).getByLabel("Note for other moderators").fill("  an old joke  ");
  await button(ofAnn, "Dismiss").click();
  await dialog(ofAnn).getByText("No open reports.").waitFor();
  const answered: Report[] = [];
  for await (const report of listReports(owner, { roomId: room.id, state: "resolved" })) answered.push(report);
  expect(answered.map(({ resolution }) => [resolution?.outcome, resolution?.note])).toEqual([1, 2].map(() => ["dismissed", "an old joke"]));
});
