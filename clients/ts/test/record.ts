// Records sessions with a real server into test/recordings: `npm run record`.
import { writeFile } from "node:fs/promises";

import { toJson } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Client, type Room, v1, WebSocketTransport } from "../src/index.js";
import { eventually } from "./eventually.js";
import { Recorder, type Truth } from "./recording.js";
import { Server } from "./server.js";

const clients: Client[] = [];
let server: Server;
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.stop();
});

async function client(userId: string, token: string, recorder?: Recorder): Promise<Client> {
  const client = new Client({ url: server.url, token, transport: recorder ?? new WebSocketTransport(server.url, WebSocket as never), userId });
  clients.push(client);
  await client.start();
  return client;
}

const inRoom = async (client: Client, id: string): Promise<Room> => {
  const room = await eventually("the room is there", () => client.room(id));
  await room.loadLatest();
  return room;
};

/** Waits until a client has received all of a room. */
async function caughtUp(room: Room, other: Room): Promise<void> {
  await eventually("it has all", () => room.headSeq >= other.headSeq && !room.isLoading);
}

/** Ends a recording: the recorded client reads everything again, and the truth is what another one reads. */
async function finish(name: string, recorder: Recorder, alice: Client, token: string): Promise<void> {
  const witness = await client("alice", token);
  const { entries } = await witness.call("listInbox", {});
  const rooms: Truth["rooms"] = [];
  await alice.refresh();
  for (const entry of entries) {
    const { roomId } = entry.room!;
    const room = alice.room(roomId)!;
    await room.loadMembers();
    await room.loadLatest();
    const messages: v1.Event[] = [];
    for (let beforeSeq = 0n; ; ) {
      const page = await witness.call("listMessages", { roomId, beforeSeq });
      messages.unshift(...page.messages);
      if (!page.hasMore) break;
      beforeSeq = page.nextSeq;
    }
    while (room.hasOlder) await room.loadOlder();
    const { members } = await witness.call("listMembers", { roomId });
    rooms.push({
      entry: toJson(v1.InboxEntrySchema, entry),
      messages: messages.map((event) => toJson(v1.EventSchema, event)),
      members: members.map((member) => toJson(v1.MemberSchema, member)),
    });
  }
  expect(rooms.length).toBeGreaterThan(0);
  recorder.lines.push({ truth: { userId: "alice", rooms } });
  const lines = recorder.lines.map((line) => JSON.stringify(line));
  await writeFile(new URL(`recordings/${name}.jsonl`, import.meta.url), `${lines.join("\n")}\n`);
}

async function start() {
  server = await Server.start();
  const tokens = { alice: await server.token("alice"), bob: await server.token("bob"), carol: await server.token("carol") };
  const recorder = new Recorder(new WebSocketTransport(server.url, WebSocket as never));
  const alice = await client("alice", tokens.alice, recorder);
  const [bob, carol] = [await client("bob", tokens.bob), await client("carol", tokens.carol)];
  return { alice, bob, carol, recorder, token: tokens.alice };
}

test("a talk with changes of all kinds, on two devices", async () => {
  const { alice, bob, carol, recorder, token } = await start();
  const phone = await client("alice", token);
  const hers = await alice.createRoom({ kind: "group", title: "first", memberIds: ["bob", "carol"] });
  await hers.loadLatest();
  await hers.loadMembers();
  const [his, carols] = [await inRoom(bob, hers.id), await inRoom(carol, hers.id)];
  const one = await his.send("one");
  const two = await hers.send("two", { replyToSeq: one });
  const three = await carols.send("three");
  await Promise.all([his.edit(one, "one, mended"), his.react(two, "👍"), carols.react(two, "👍"), carols.react(two, "🎉")]);
  await Promise.all([his.unreact(two, "👍"), carols.delete(three), hers.edit(two, "two, mended")]);
  await alice.call("updateRoom", { roomId: hers.id, title: "second", topic: "of this and that" });
  await alice.call("setRole", { roomId: hers.id, userId: "bob", role: v1.Role.ADMIN });
  await carols.leave();
  await alice.call("addMembers", { roomId: hers.id, userIds: ["carol"] });
  const four = await his.send("four");
  await his.markRead();
  const phones = await inRoom(phone, hers.id);
  await eventually("the phone has it", () => phones.headSeq >= four);
  await phones.markRead(four);
  const { roomId: direct } = await bob.send({ toUser: "alice", text: "between us" });
  await bob.send({ roomId: direct, text: "not read yet" });
  const last = await his.send("five");
  await his.react(last, "🎉");
  await caughtUp(hers, his);
  await eventually("she has the other", () => alice.room(direct)?.messageCount === 2);
  await finish("talk", recorder, alice, token);
});

test("a connection that breaks again and again, and a time without being a member", async () => {
  const { alice, bob, recorder, token } = await start();
  const his = await bob.createRoom({ kind: "channel", title: "channel", memberIds: [] });
  await his.loadLatest();
  const hers = await alice.joinRoom(his.id);
  await hers.loadLatest();
  const first = await his.send("first");
  for (let round = 0; round < 3; round++) {
    server.cut = true;
    server.breakAll();
    await eventually("she is cut off", () => alice.state.status !== "online");
    server.cut = false;
    await eventually("he is back", () => bob.state.status === "online");
    const seq = await his.send(`round ${round}`);
    await his.edit(first, `first, mended ${round}`);
    await his.react(seq, "👍");
    await caughtUp(hers, his);
  }
  await hers.leave();
  const hidden = await his.send("without her");
  await his.edit(first, "first, mended without her");
  await his.delete(hidden);
  await alice.joinRoom(his.id);
  await his.react(first, "👍");
  await his.send("with her again");
  await caughtUp(hers, his);
  await finish("breaks", recorder, alice, token);
});

test("a long history, read where it is changed", async () => {
  const { alice, bob, recorder, token } = await start();
  const { roomId } = await bob.send({ toUser: "alice", text: "0" });
  const his = await inRoom(bob, roomId);
  const seqs: number[] = [his.headSeq];
  for (let number = 1; number < 70; number++) seqs.push(await his.send(`${number}`));
  const hers = await inRoom(alice, roomId);
  await caughtUp(hers, his);
  const changes = [3, 20, 40, 60, 68].map((at) => his.edit(seqs[at]!, `${at}, mended`));
  await hers.loadOlder();
  await Promise.all([...changes, his.delete(seqs[5]!), his.react(seqs[30]!, "🎉"), hers.loadOlder(), hers.jumpTo(seqs[10]!)]);
  await caughtUp(hers, his);
  await finish("history", recorder, alice, token);
});
