import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";

import { Client, LimitError, WebSocketTransport } from "../src/index.js";
import { listReports, type Report, reportMessage, reportUser, type ReportsOptions, resolveReport } from "../src/reports.js";
import { Server } from "./server.js";

let server: Server;
beforeAll(async () => void (server = await Server.start()));
afterAll(() => server.stop());

async function open(token: string): Promise<Client> {
  const client = new Client({ url: server.url, token, transport: new WebSocketTransport(server.url, WebSocket) });
  onTestFinished(() => client.close());
  await client.start();
  return client;
}

const person = async (name: string) => open(await server.token(`${name}-${Math.random().toString(36).slice(2)}`));

async function reports(client: Client, options: ReportsOptions): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of listReports(client, options)) all.push(report);
  return all;
}

test("a message is reported, and an admin of the room reads what it was and answers", async () => {
  const [ann, bob, carol] = await Promise.all([person("ann"), person("bob"), person("carol")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId, carol.userId] });
  await vi.waitFor(() => expect(carol.room(room.id)).toBeDefined());
  await carol.room(room.id)!.send("buy this");
  const ofBob = await vi.waitFor(() => {
    const found = bob.room(room.id)?.lastMessage;
    expect(found?.text).toBe("buy this");
    return found!;
  });
  await carol.room(room.id)!.send("or that");
  const other = await vi.waitFor(() => {
    const found = bob.room(room.id)?.lastMessage;
    expect(found?.text).toBe("or that");
    return found!;
  });
  await reportMessage(bob, ofBob, { category: "spam", text: "again" });
  // While it is open, a second report of the message is the first one.
  await reportMessage(bob, ofBob, { category: "self_harm" });
  await reportMessage(bob, other, { category: "self_harm" });
  await reportMessage(ann, other);
  await room.delete(ofBob.seq!);

  const open = await reports(ann, { roomId: room.id });
  expect(open.map(({ category, text }) => [category, text])).toEqual([["none", ""], ["self_harm", ""], ["spam", "again"]]);
  const [, , first] = open as [Report, Report, Report];
  expect(first).toMatchObject({ reporterId: "", userId: carol.userId, roomId: room.id, seq: ofBob.seq, resolution: undefined });
  expect(first.message).toMatchObject({ text: "buy this", senderId: carol.userId, deleted: false });
  expect(Object.isFrozen(first)).toBe(true);

  await resolveReport(ann, first.id, "action_taken", "deleted");
  await resolveReport(ann, open[0]!.id, "dismissed");
  expect((await reports(ann, { roomId: room.id })).map(({ id }) => id)).toEqual([open[1]!.id]);
  const resolved = await reports(ann, { roomId: room.id, state: "resolved" });
  expect(resolved.map(({ resolution }) => [resolution?.outcome, resolution?.note, resolution?.userId])).toEqual([
    ["dismissed", "", ann.userId],
    ["action_taken", "deleted", ann.userId],
  ]);
  await expect(resolveReport(ann, first.id, "dismissed")).rejects.toMatchObject({ reason: "report_resolved" });
  await expect(reports(bob, { roomId: room.id })).rejects.toMatchObject({ code: 7 });
});

test("a user is reported to the app, which learns by whom", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const backend = await open(await server.backendToken("moderation"));
  await reportUser(ann, bob.userId, { category: "impersonation", text: "not Bob" });
  const mine = (await reports(backend, {})).filter(({ userId }) => userId === bob.userId);
  expect(mine).toMatchObject([{ category: "impersonation", text: "not Bob", reporterId: ann.userId, roomId: "", seq: undefined, message: undefined }]);
});

test("what is refused is reported, and is not tried again", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  for (let count = 0; count < 50; count += 1) await reportUser(ann, bob.userId);
  await expect(reportUser(ann, bob.userId)).rejects.toThrow(LimitError);
  expect(ann.commands).toEqual([]);
});

test("all pages of a list are read, and no more than are asked for", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId] });
  await vi.waitFor(() => expect(bob.room(room.id)).toBeDefined());
  const { seq } = await bob.send({ roomId: room.id, text: "noise" });
  const carol = await person("carol");
  await room.addMembers([carol.userId]);
  await vi.waitFor(() => expect(carol.room(room.id)).toBeDefined());
  // Newcomers do not read earlier messages.
  const later = await bob.send({ roomId: room.id, text: "more noise" });
  const seqs = await Promise.all(Array.from({ length: 49 }, async () => (await bob.send({ roomId: room.id, text: "more" })).seq));
  for (const seq of [later.seq, ...seqs]) await reportMessage(carol, { roomId: room.id, seq });
  await reportMessage(ann, { roomId: room.id, seq });
  expect(await reports(ann, { roomId: room.id })).toHaveLength(51);
  const pages = vi.spyOn(ann, "call");
  for await (const report of listReports(ann, { roomId: room.id })) {
    expect(report.id).not.toBe("");
    break;
  }
  expect(pages).toHaveBeenCalledOnce();
});
