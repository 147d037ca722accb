import "fake-indexeddb/auto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { deleteDB, openDB } from "idb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Client, DiscardedError, IndexedDbStorage, MemoryStorage, type Storage, type Store, TransportError, v1 } from "../src/index.js";
// Loaded before the clocks are not those of the machine.
import "../src/cache/cache.js";
import "../src/room/view.js";
import "../src/storage/indexeddb-store.js";
import { type FakeConnection, FakeTransport } from "./fake.js";
import { altered, never } from "./storages.js";

const clients: Client[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  clients.splice(0).forEach((client) => client.close());
});

function open(storage: Storage = new MemoryStorage(), transport = new FakeTransport()) {
  const client = new Client({ url: "http://nowhere", token: "t", transport, storage });
  clients.push(client);
  client.start().catch(() => {});
  return { client, transport };
}

/** Lets everything go on that waits for nothing but its turn. */
async function settle(ms = 0) {
  for (let turn = 0; turn < 10; turn++) {
    await vi.advanceTimersByTimeAsync(ms / 10);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets things go on until `check` passes. */
async function until(check: () => void | Promise<void>) {
  const deadline = process.hrtime.bigint() + 10_000_000_000n;
  for (;;) {
    await settle(10);
    try {
      return await check();
    } catch (error) {
      if (process.hrtime.bigint() > deadline) throw error;
    }
  }
}

async function welcome(transport: FakeTransport) {
  await settle();
  // A storage that does not answer is waited for a moment.
  if (transport.connections.length === 0) await settle(1_000);
  transport.last.welcome([{ roomId: "r", seq: 4n }]);
  await settle();
  return transport.last;
}

const CHANGES = ["sendMessage", "editMessage", "deleteMessage", "addReaction", "removeReaction", "markRead", "setRoomHidden", "updateRoom"];
/** Changes that have gone out on a connection. */
const changes = ({ sent }: FakeConnection) => sent.flatMap(({ operation }) => (CHANGES.includes(operation.case ?? "") ? [operation] : []));
const texts = (connection: FakeConnection) =>
  changes(connection).flatMap((operation) => (operation.case === "sendMessage" || operation.case === "editMessage" ? [operation.value.text] : []));

/** Answers the last frame of an operation. */
function reply(connection: FakeConnection, result: Parameters<FakeConnection["answer"]>[0], operation = result.case) {
  const frame = connection.sent.findLast((sent) => sent.operation.case === operation)!;
  connection.say({ case: "reply", value: { requestId: frame.requestId, result } });
}

const refusal = { case: "error", value: { code: 3, reason: "invalid_field", message: "refused" } } as const;

async function stored(storage: Storage) {
  const store = await storage.open();
  const commands = await store.readAll("commands");
  await store.close();
  return commands.sort((a, b) => a.writtenAt - b.writtenAt);
}

/** The room with a page of messages loaded. */
async function loaded(client: Client, transport: FakeTransport) {
  transport.last.event("r", 5n, "old text");
  await settle();
  const room = client.room("r")!;
  const loading = room.loadLatest();
  await settle();
  const messages = [v1MessageEvent(5n, "old text")];
  reply(transport.last, { case: "listMessages", value: { messages, headSeq: 5n } });
  await loading;
  return room;
}

const v1MessageEvent = (seq: bigint, text: string) => ({
  roomId: "r",
  seq,
  actorId: "alice",
  requestId: `m${seq}`,
  messageCount: seq,
  body: { case: "message" as const, value: { text } },
});

const v1Event = (seq: bigint, body: MessageInitShape<typeof v1.EventSchema>["body"]) => ({ roomId: "d", seq, actorId: "alice", ...(body && { body }) });

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

test("a stored command that cannot be sent at all fails alone", async () => {
  const storage = new MemoryStorage();
  const store = await storage.open();
  const broken = { id: "broken", kind: "edit", roomId: "r", payload: { seq: 0.5, text: "" }, writtenAt: 1, state: "waiting" } as const;
  await store.write([{ collection: "commands", key: "broken", value: broken }]);
  const { client, transport } = open(storage);
  client.send({ roomId: "r", text: "behind" });
  const connection = await welcome(transport);
  expect(texts(connection)).toEqual(["behind"]);
  expect(client.commands).toMatchObject([{ id: "broken", state: "failed" }, {}]);
});

for (const hangs of ["open", "readAll", "write", "update"] as const) {
  test(`a storage whose ${hangs}() hangs is waited for a moment, then sending goes on`, async () => {
    const storage: Storage = hangs === "open" ? { open: never } : altered(() => ({ [hangs]: never }));
    const { client, transport } = open(storage);
    const states: string[] = [];
    client.on("storage", ({ status }) => states.push(status));
    const connection = await welcome(transport);
    const first = client.send({ roomId: "r", text: "first" });
    client.send({ roomId: "r", text: "second" });
    await settle(4_000);
    expect(texts(connection)).toEqual(["first"]);
    reply(connection, { case: "sendMessage", value: { roomId: "r", seq: 5n } });
    await settle(100);
    expect((await first).seq).toBe(5);
    expect(texts(connection)).toEqual(["first", "second"]);
    expect(states).toContain("memory");
    expect(client.storage).toMatchObject({ status: "memory", error: { name: "StorageError" } });
  });
}

test("a storage whose open() hangs is opened again, and what opens too late is closed", async () => {
  const kept = new MemoryStorage();
  const opens: ((store: Store) => void)[] = [];
  const storage: Storage = { open: () => (opens.length === 0 ? new Promise((resolve) => opens.push(resolve)) : kept.open()) };
  const { client, transport } = open(storage);
  const connection = await welcome(transport);
  client.send({ roomId: "r", text: "first" }).catch(() => {});
  await until(() => expect(texts(connection)).toEqual(["first"]));
  expect(client.storage.status).toBe("memory");
  await until(() => expect(client.storage.status).toBe("durable"));
  expect(await stored(kept)).toMatchObject([{ payload: { text: "first" } }]);
  const late = { ...(await new MemoryStorage().open()), close: vi.fn(async () => {}) };
  opens[0]!(late);
  await settle();
  expect(late.close).toHaveBeenCalledOnce();
});

test("signing out ends although the storage never opens", async () => {
  const { client, transport } = open({ open: never });
  await welcome(transport);
  const out = client.signOut();
  await settle(5_000);
  await out;
});

test("what a storage that answers late had kept is sent too", async () => {
  const storage = new MemoryStorage();
  const before = open(storage);
  before.client.send({ roomId: "r", text: "before" });
  await settle();
  before.client.close();
  await settle();
  let answer = () => {};
  const late = new Promise<void>((resolve) => (answer = resolve));
  const slow: Storage = { open: async () => (await late, storage.open()) };
  const { client, transport } = open(slow);
  const connection = await welcome(transport);
  client.send({ roomId: "r2", text: "meanwhile" });
  await settle(2_000);
  expect(texts(connection)).toEqual(["meanwhile"]);
  answer();
  await settle(2_000);
  expect(texts(connection)).toEqual(["meanwhile", "before"]);
  expect(client.storage).toEqual({ status: "durable" });
});

test("a storage that is deleted while the client runs is opened again, with everything pending", async () => {
  const storage = new IndexedDbStorage(`deleted-${Math.random()}`);
  const { client } = open(storage);
  client.send({ roomId: "r", text: "first" });
  await until(() => expect(client.storage.status).toBe("durable"));
  await deleteDB(storage.sharedAs);
  client.send({ roomId: "r", text: "second" });
  await until(async () => {
    const texts = (await stored(storage)).flatMap((command) => ("payload" in command ? [command.payload] : []));
    expect(texts).toEqual([{ text: "first" }, { text: "second" }]);
  });
});

test("a storage that fails is replaced by memory, and its user is told", async () => {
  let isFull = true;
  const error = Object.assign(new Error("no space"), { name: "QuotaExceededError" });
  const kept = new MemoryStorage();
  const storage = altered((store) => ({ write: async (changes) => (isFull ? Promise.reject(error) : store.write(changes)) }), kept);
  const { client } = open(storage);
  client.send({ roomId: "r", text: "one" });
  await settle(5_000);
  expect(client.storage).toEqual({ status: "memory", error });
  isFull = false;
  await settle(10_000);
  client.send({ roomId: "r", text: "two" });
  await settle(1_000);
  expect(client.storage).toEqual({ status: "durable" });
  expect(await stored(kept)).toHaveLength(2);
});

test("messages of the first version of the database are still sent", async () => {
  const name = `old-${Math.random()}`;
  const old = await openDB(`parlance:${name}`, 1, { upgrade: (database) => void database.createObjectStore("outbox", { keyPath: "id" }) });
  await old.put("outbox", { id: "a", roomId: "r", text: "unsent", writtenAt: 1, afterSeq: 3, replyToSeq: 2 });
  await old.put("outbox", { id: "b", toUser: "bob", text: "refused", writtenAt: 2, failed: "too long" });
  old.close();
  const { client, transport } = open(new IndexedDbStorage(name));
  const migrated = [
    { id: "a", kind: "send", payload: { text: "unsent", replyToSeq: 2 }, afterSeq: 3 },
    { id: "b", toUser: "bob", state: "failed", error: { message: "too long" } },
  ];
  await until(() => expect(client.commands).toMatchObject(migrated));
  const connection = await welcome(transport);
  await until(() => expect(changes(connection)).toHaveLength(1));
  expect(changes(connection)).toMatchObject([{ value: { clientMessageId: "a", text: "unsent", replyToSeq: 2n, afterSeq: 3n } }]);
});

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

/** A head that the room has reached by the time of the next start. */
const LATER = 4_500n;

async function restarted(storage: Storage, head = LATER) {
  const { client, transport } = open(storage);
  await settle();
  transport.last.welcome([{ roomId: "r", seq: head }]);
  await settle();
  return { client, connection: transport.last };
}

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
