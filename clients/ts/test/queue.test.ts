import { describe, expect, test, vi } from "vitest";

import { DiscardedError, TransportError, v1 } from "../src/index.js";
import type { FakeTransport } from "./fake.js";
import { changes, loaded, open, refusal, reply, settle, texts, until, v1Event, welcome } from "./queue-client.js";
import { altered, never } from "./storages.js";

test("a message withdrawn while it waits behind another is never sent", async () => {
  const { client, transport } = open();
  client.send({ roomId: "r", text: "first" });
  const withdrawn = client.send({ roomId: "r", text: "withdrawn" });
  await settle();
  await withdrawn.discard();
  await expect(withdrawn).rejects.toBeInstanceOf(DiscardedError);
  const connection = await welcome(transport);
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 5n } });
  await settle();
  expect(texts(connection)).toEqual(["first"]);
  expect(client.commands).toMatchObject([{ state: "confirmed" }]);
});

test("a message withdrawn before the storage has answered is never sent", async () => {
  const storage = altered(() => ({ write: never }));
  const { client, transport } = open(storage);
  const connection = await welcome(transport);
  const withdrawn = client.send({ roomId: "r", text: "withdrawn" });
  void withdrawn.discard();
  await settle(60_000);
  expect(texts(connection)).toEqual([]);
  await expect(withdrawn).rejects.toBeInstanceOf(DiscardedError);
});

describe("without a network", () => {
  const offline = async (transport: FakeTransport) => {
    transport.refusal = new TransportError("no network");
    transport.last.frames.fail(transport.refusal);
    await settle();
  };
  const reconnect = async (transport: FakeTransport) => {
    transport.refusal = undefined;
    await settle(60_000);
    transport.last.welcome([{ roomId: "r", seq: 5n }]);
    await settle(100);
  };

  test("a reaction that is withdrawn is never sent", async () => {
    const { client, transport } = open();
    await welcome(transport);
    const room = await loaded(client, transport);
    await offline(transport);
    const reacted = room.react(5, "👍");
    await settle();
    await room.unreact(5, "👍");
    await reacted;
    expect(client.commands).toEqual([]);
    await reconnect(transport);
    expect(changes(transport.last)).toEqual([]);
  });

  test("only the latest of two edits, and of two hidden flags, is sent", async () => {
    const { client, transport } = open();
    await welcome(transport);
    const room = await loaded(client, transport);
    await offline(transport);
    room.edit(5, "first").catch(() => {});
    await settle();
    room.edit(5, "second").catch(() => {});
    await settle();
    await reconnect(transport);
    expect(texts(transport.last)).toEqual(["second"]);

    const { client: other, transport: theirs } = open();
    await welcome(theirs);
    const hidden = await loaded(other, theirs);
    await offline(theirs);
    for (const flag of [true, false]) {
      hidden.setHidden(flag).catch(() => {});
      await settle();
    }
    await reconnect(theirs);
    expect(changes(theirs.last)).toMatchObject([{ case: "setRoomHidden", value: { hidden: false } }]);
  });
});

test("a message that is refused does not stop those behind it, in its room or another", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  const poison = client.send({ roomId: "r", text: "poison" });
  client.send({ roomId: "r", text: "behind" });
  await settle();
  reply(connection, refusal, "sendMessage");
  await expect(poison).rejects.toMatchObject({ reason: "invalid_field" });
  await settle();
  expect(texts(connection)).toEqual(["poison", "behind"]);
  expect(client.commands[0]).toMatchObject({ state: "failed", error: { reason: "invalid_field", message: "refused" } });
  expect(client.state.status).toBe("online");
});

test("what a restored room cannot hold goes out again from its end, in order", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  const first = client.send({ roomId: "r", text: "first" });
  client.send({ roomId: "r", text: "second" });
  await settle();
  const last = () => changes(connection).at(-1)!.value as v1.SendMessageRequest;
  const [id, afterSeq] = [last().clientMessageId, last().afterSeq];
  expect(afterSeq).toBe(4n);
  const ahead = { code: 11, reason: "cursor_ahead", message: "the room ends at 2", metadata: { head_seq: "2" } };
  reply(connection, { case: "error", value: ahead }, "sendMessage");
  await settle();
  expect(texts(connection)).toEqual(["first", "first"]);
  expect(last()).toMatchObject({ clientMessageId: id, afterSeq: 2n });
  reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 3n } });
  expect(await first).toMatchObject({ seq: 3 });
});

test("a refused edit is marked on its message, and can be tried again or discarded", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  const room = await loaded(client, transport);
  const edited = room.edit(5, "new text");
  await settle();
  reply(connection, refusal, "editMessage");
  await expect(edited).rejects.toMatchObject({ reason: "invalid_field" });
  const [message] = room.messages;
  expect(message).toMatchObject({ text: "old text", pending: [{ state: "failed", error: "refused", text: "new text" }] });
  client.retry(message!.pending![0]!.id);
  await settle();
  expect(texts(connection)).toEqual(["new text", "new text"]);
  reply(connection, refusal, "editMessage");
  await settle();
  await client.discard(message!.pending![0]!.id);
  expect(room.messages[0]).not.toHaveProperty("pending");
});

test("a refused edit of a message that was deleted meanwhile keeps its text", async () => {
  const { client, transport } = open();
  await welcome(transport);
  const room = await loaded(client, transport);
  room.edit(5, "a long careful edit").catch(() => {});
  await settle();
  transport.last.say({ case: "event", value: { roomId: "r", seq: 6n, actorId: "admin", messageCount: 5n, body: { case: "messageDeleted", value: { targetSeq: 5n } } } });
  const gone = { case: "error", value: { code: 9, reason: "message_deleted", message: "deleted" } } as const;
  reply(transport.last, gone, "editMessage");
  await settle();
  expect(room.messages.at(-1)).toMatchObject({ deleted: true, text: "", pending: [{ kind: "edit", state: "failed", text: "a long careful edit" }] });
  // Nothing is lost with a reaction: it is reported to its caller, and forgotten.
  const reaction = room.react(5, "👍");
  await settle();
  reply(transport.last, gone, "addReaction");
  await expect(reaction).rejects.toMatchObject({ reason: "message_deleted" });
  expect(client.commands).toMatchObject([{ kind: "edit", state: "failed" }]);
});

test("messages to a user and to the room with them go out one after the other", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  for (const text of ["one", "two"]) client.send({ toUser: "bob", text }).catch(() => {});
  await settle();
  // The room is known before the answer, which is lost.
  const event = (seq: bigint, body: NonNullable<Parameters<typeof v1Event>[1]>) => connection.say({ case: "event", value: v1Event(seq, body) });
  event(1n, { case: "roomCreated", value: { kind: v1.RoomKind.DIRECT } });
  for (const [seq, userId] of [[2n, "alice"], [3n, "bob"]] as const) event(seq, { case: "memberAdded", value: { userId } });
  await until(() => expect(client.directRoomWith("bob")?.id).toBe("d"));
  client.send({ toUser: "bob", text: "three" }).catch(() => {});
  await settle(50);
  expect(texts(connection)).toEqual(["one"]);
  for (const [at, text] of ["one", "two", "three"].entries()) {
    expect(texts(connection).at(-1)).toBe(text);
    reply(connection, { case: "sendMessage", value: { roomId: "d", seq: BigInt(4 + at) } });
    await settle(50);
  }
  expect(texts(connection)).toEqual(["one", "two", "three"]);
});

test("many looks at a room while offline are one read mark", async () => {
  const { client, transport } = open();
  const first = await welcome(transport);
  first.event("r", 5n);
  first.event("r", 6n);
  await settle();
  const room = client.room("r")!;
  expect(room.unreadCount).toBeGreaterThan(0);
  transport.refusal = new TransportError("no network");
  first.frames.fail(transport.refusal);
  await settle();
  const marks = [5, 6, 5, 6].map((seq) => room.markRead(seq));
  expect(room.unreadCount).toBe(0);
  transport.refusal = undefined;
  for (let second = 0; second < 60 && transport.connections.length === 1; second++) await vi.advanceTimersByTimeAsync(1_000);
  const second = await welcome(transport);
  expect(changes(second)).toMatchObject([{ case: "markRead", value: { seq: 6n } }]);
  reply(second, { case: "markRead", value: { read: { seq: 6n, messageCount: 6n } } });
  await Promise.all(marks);
  expect(room.unreadCount).toBe(0);
  expect(client.commands).toEqual([]);
});

test("a reaction that may be there is not cancelled out by its removal", async () => {
  const { client, transport } = open();
  const connection = await welcome(transport);
  const room = await loaded(client, transport);
  room.react(5, "👍").catch(() => {});
  await settle();
  reply(connection, refusal, "addReaction");
  await settle();
  transport.refusal = new TransportError("no network");
  connection.frames.fail(transport.refusal);
  await settle();
  client.retry(client.commands[0]!.id);
  void room.unreact(5, "👍").catch(() => {});
  expect(client.commands.map(({ kind }) => kind)).toEqual(["react", "unreact"]);
});
