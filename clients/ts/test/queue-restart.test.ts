import { expect, test, vi } from "vitest";

import { MemoryStorage, TransportError, v1 } from "../src/index.js";
import type { FakeConnection } from "./fake.js";
import { CHANGES, changes, LATER, loaded, open, refusal, reply, restarted, settle, texts, welcome } from "./queue-client.js";
import { altered, never } from "./storages.js";

test("an edit made offline is shown at once, survives a restart and is sent", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  await welcome(before.transport);
  const room = await loaded(before.client, before.transport);
  before.transport.refusal = new TransportError("no network");
  before.transport.last.frames.fail(before.transport.refusal);
  await settle();
  void room.edit(5, "new text").catch(() => {});
  void room.react(5, "👍").catch(() => {});
  expect(room.messages[0]).toMatchObject({
    text: "new text",
    reactions: [{ emoji: "👍", userIds: ["alice"] }],
    pending: [{ kind: "edit", state: "pending" }, { kind: "react", state: "pending" }],
  });
  await settle();
  before.client.close();
  await settle();
  const { client, transport } = open(storage);
  const connection = await welcome(transport);
  const again = await loaded(client, transport);
  expect(again.messages[0]).toMatchObject({ text: "new text" });
  expect(texts(connection)).toEqual(["new text"]);
  reply(connection, { case: "editMessage", value: { outcome: { seq: 6n, lastSeq: 6n } } });
  await settle();
  // Until its event is there.
  expect(again.messages[0]).toMatchObject({ text: "new text" });
  connection.say({ case: "event", value: { roomId: "r", seq: 6n, actorId: "alice", body: { case: "messageEdited", value: { targetSeq: 5n, text: "new text" } } } });
  await settle();
  expect(again.messages[0]).toMatchObject({ text: "new text", pending: [{ kind: "react" }] });
  expect(changes(connection).at(-1)).toMatchObject({ case: "addReaction" });
});

test("what is tried again, and what was known when it first went out, is stored", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  const connection = await welcome(before.transport);
  const sent = before.client.send({ roomId: "r", text: "hello" });
  await settle();
  reply(connection, refusal, "sendMessage");
  await expect(sent).rejects.toThrow("refused");
  before.client.retry(sent.id);
  await settle();
  before.client.close();
  await settle();
  const { transport } = open(storage);
  await settle();
  transport.last.welcome([{ roomId: "r", seq: 400n }]);
  await settle();
  expect(changes(transport.last)).toMatchObject([{ value: { clientMessageId: sent.id, afterSeq: 4n } }]);
});

test("a message with an id of its own is queued once, also after a restart", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  const sent = [1, 2].map(() => before.client.send({ id: "order-17", roomId: "r", text: "hello" }));
  expect(sent.map(({ id }) => id)).toEqual(["order-17", "order-17"]);
  await settle();
  before.client.close();
  await settle();
  const { client, transport } = open(storage);
  await settle();
  const again = client.send({ id: "order-17", roomId: "r", text: "hello" });
  const connection = await welcome(transport);
  expect(changes(connection)).toMatchObject([{ value: { clientMessageId: "order-17" } }]);
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 5n } });
  expect((await again).seq).toBe(5);
});

test("any change of the contract can be queued, and outlives a restart", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  await welcome(before.transport);
  before.transport.refusal = new TransportError("no network");
  before.transport.last.frames.fail(before.transport.refusal);
  await settle();
  void before.client.change("updateRoom", { roomId: "r", title: "Garden", historyVisibility: v1.HistoryVisibility.ALL }).catch(() => {});
  await settle();
  before.client.close();
  await settle();
  const { connection } = await restarted(storage);
  const value = { roomId: "r", title: "Garden", historyVisibility: v1.HistoryVisibility.ALL, afterSeq: 4n };
  expect(changes(connection)).toMatchObject([{ case: "updateRoom", value }]);
});

test("what went out before its room was known says nothing of the room later either", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  await settle();
  before.transport.last.welcome();
  before.client.send({ id: "m", roomId: "r", text: "hello" });
  await settle();
  const [first] = changes(before.transport.last);
  expect(first).toMatchObject({ value: { clientMessageId: "m" } });
  expect(first!.value).not.toHaveProperty("afterSeq", expect.anything());
  before.client.close();
  const { connection } = await restarted(storage);
  // The room may hold it up to the head of now.
  expect(changes(connection)[0]!.value).not.toHaveProperty("afterSeq", expect.anything());
});

for (const kind of ["send", "edit", "react", "join", "change"] as const) {
  test(`a storage that fails as a command goes out (${kind}) does not have it carried out again later`, async () => {
    const kept = new MemoryStorage();
    const before = open(altered(() => ({ update: never }), kept));
    const connection = await welcome(before.transport);
    const room = await loaded(before.client, before.transport);
    const issue = {
      send: () => before.client.send({ roomId: "r", text: "hello" }),
      edit: () => room.edit(5, "better"),
      react: () => room.react(5, "👍"),
      join: () => before.client.change("joinRoom", { roomId: "r" }),
      change: () => before.client.change("updateRoom", { roomId: "r", title: "Garden" }),
    };
    issue[kind]().catch(() => {});
    const of = ({ sent }: FakeConnection) => sent.map(({ operation }) => operation).filter((operation) => [...CHANGES, "joinRoom"].includes(operation.case ?? ""));
    await settle(4_000);
    const noted = { afterSeq: 5n };
    expect(of(connection)).toMatchObject([{ value: noted }]);
    before.client.close();
    await settle();
    const after = await restarted(kept);
    expect(of(after.connection)).toMatchObject([{ value: noted }]);
  });
}

test("what is written says what was known when it first goes out, which may be later", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  client.send({ roomId: "r", text: "one" });
  client.send({ roomId: "r", text: "two" });
  await settle();
  connection.event("r", 5n);
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 6n } });
  await settle();
  expect(changes(connection).map(({ value }) => value)).toMatchObject([{ afterSeq: 4n }, { text: "two", afterSeq: 6n }]);
});

test("an id that was stored by an earlier process is not new because it is given again", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  await settle();
  before.client.send({ id: "order-17", roomId: "r", text: "hello" });
  await settle();
  before.client.close();
  await settle(1_000);
  const { client, transport } = open(storage);
  client.send({ id: "order-17", roomId: "r", text: "hello" });
  await settle();
  transport.last.welcome([{ roomId: "r", seq: LATER }]);
  await settle();
  expect(changes(transport.last)).toHaveLength(1);
  expect(changes(transport.last)[0]!.value).not.toHaveProperty("afterSeq", expect.anything());
});

test("a message that was refused is tried again where it is sent under its id, also after a restart", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  const first = before.client.send({ id: "m1", roomId: "r", text: "one" });
  reply(await welcome(before.transport), refusal, "sendMessage");
  await expect(first).rejects.toMatchObject({ reason: "invalid_field" });
  const again = before.client.send({ id: "m1", roomId: "r", text: "one" });
  await settle();
  reply(before.transport.last, refusal, "sendMessage");
  await expect(again).rejects.toMatchObject({ reason: "invalid_field" });
  before.client.close();
  const after = open(storage);
  const connection = await welcome(after.transport);
  expect(texts(connection)).toEqual([]);
  const last = after.client.send({ id: "m1", roomId: "r", text: "one" });
  await settle();
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 5n } });
  expect(await last).toMatchObject({ seq: 5 });
  expect(changes(connection)).toMatchObject([{ value: { clientMessageId: "m1", text: "one" } }]);
});

test("a message that is sent again under its id after its answer, and before its event, has the same outcome", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  const sent = client.send({ id: "order-17", roomId: "r", text: "hello" });
  await settle();
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 5n, messageCount: 5n } as never });
  await settle();
  expect(await sent).toMatchObject({ seq: 5 });
  const again = vi.fn();
  void client.send({ id: "order-17", roomId: "r", text: "hello" }).then(again);
  await settle(100);
  expect(again).toHaveBeenCalledWith(expect.objectContaining({ roomId: "r", seq: 5 }));
  expect(texts(connection)).toEqual(["hello"]);
});
