import "fake-indexeddb/auto";

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Client, type ClientOptions, IndexedDbStorage, MemoryStorage, type Storage, type Store, TransportError, v1 } from "../src/index.js";
// Loaded before the clocks are not those of the machine.
import "../src/cache/cache.js";
import { FileStorage } from "../src/node.js";
import { FakeBrowser } from "./browser.js";
import { type FakeConnection, FakeTransport } from "./fake.js";

const clients: Client[] = [];
const folders: string[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  clients.splice(0).forEach((client) => client.close());
});
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

type Body = MessageInitShape<typeof v1.EventSchema>["body"];

/** A server with one log for each room, as far as one user sees it. */
class FakeServer {
  readonly logs = new Map<string, v1.Event[]>();
  readonly left = new Set<string>();
  readonly transport = new FakeTransport();
  epoch = 1n;
  userId = "alice";
  /** More than these are not pushed. */
  maxPush = 50;
  readonly hellos: v1.Hello[] = [];

  constructor() {
    this.transport.onopen = (connection) => this.#serve(connection);
  }

  log(roomId: string): v1.Event[] {
    const log = this.logs.get(roomId) ?? [];
    this.logs.set(roomId, log);
    return log;
  }

  add(roomId: string, body: Body, actorId = "bob"): v1.Event {
    const log = this.log(roomId);
    const seq = BigInt(log.length + 1);
    const messageCount = BigInt(log.filter(({ body }) => body.case === "message").length + (body?.case === "message" ? 1 : 0));
    const event = create(v1.EventSchema, {
      roomId,
      seq,
      at: timestampFromMs(1_700_000_000_000 + this.#total() * 1_000),
      actorId,
      requestId: `${actorId}-${this.epoch}-${roomId}-${seq}`,
      messageCount,
      ...(body && { body }),
    });
    log.push(event);
    if (this.transport.connections.length > 0 && !this.transport.last.closed) this.transport.last.say({ case: "event", value: event });
    return event;
  }

  say(roomId: string, text: string, actorId?: string): v1.Event {
    return this.add(roomId, { case: "message", value: { text } }, actorId);
  }

  /** The messages of a room as they are now. */
  messages(roomId: string): v1.Event[] {
    const log = this.log(roomId);
    return log.flatMap((event) => {
      if (event.body.case !== "message") return [];
      const message = create(v1.MessageSchema, { text: event.body.value.text });
      for (const { seq, body } of log) {
        if ((body.case !== "messageEdited" && body.case !== "messageDeleted") || body.value.targetSeq !== event.seq) continue;
        message.changedSeq = seq;
        message.deleted = body.case === "messageDeleted";
        message.text = body.case === "messageEdited" ? body.value.text : "";
      }
      return [create(v1.EventSchema, { ...event, body: { case: "message", value: message } })];
    });
  }

  #total(): number {
    return [...this.logs.values()].reduce((sum, log) => sum + log.length, 0);
  }

  #serve(connection: FakeConnection): void {
    this.hellos.push(connection.hello);
    connection.onsend = ({ requestId, operation }) => {
      const value = this.#answer(operation);
      if (value) connection.reply(requestId, { case: operation.case, value } as never);
    };
    const rooms = [...this.logs.keys()].filter((roomId) => !this.left.has(roomId));
    const heads = rooms.map((roomId) => ({ roomId, seq: BigInt(this.log(roomId).length), epoch: this.epoch }));
    connection.say({ case: "welcome", value: { userId: this.userId, nodeId: "n1", heads } });
    const cursors = new Map(connection.hello.cursors.map((cursor) => [cursor.roomId, cursor]));
    for (const roomId of this.logs.keys()) {
      const cursor = cursors.get(roomId);
      const gap = (from: number, to: number, reason: v1.GapReason) =>
        connection.say({ case: "gap", value: { roomId, fromSeq: BigInt(from), toSeq: BigInt(to), reason, epoch: this.epoch } });
      const log = this.log(roomId);
      if (this.left.has(roomId)) {
        if (cursor) gap(Number(cursor.seq) + 1, 0, v1.GapReason.NOT_MEMBER);
        continue;
      }
      if (cursor && (cursor.epoch !== this.epoch || Number(cursor.seq) > log.length)) {
        gap(1, log.length, v1.GapReason.RESTORED);
        continue;
      }
      let at = Number(cursor?.seq ?? 0);
      if (!cursor && log.length > 0) gap(1, (at = log.length), v1.GapReason.ACKNOWLEDGED_ELSEWHERE);
      if (log.length - at > this.maxPush) gap(at + 1, (at = log.length - this.maxPush), v1.GapReason.TOO_LONG);
      for (const event of log.slice(at)) connection.say({ case: "event", value: event });
    }
  }

  #answer({ case: name, value }: v1.ClientFrame["operation"]): object | undefined {
    switch (name) {
      case "listInbox":
        return { entries: [...this.logs.keys()].filter((roomId) => !this.left.has(roomId)).map((roomId) => this.#entry(roomId)) };
      case "listMessages": {
        const all = this.messages(value.roomId);
        const before = value.beforeSeq === 0n ? all : all.filter(({ seq }) => seq < value.beforeSeq);
        const messages = before.slice(-value.pageSize);
        return { messages, hasMore: messages.length < before.length, nextSeq: messages[0]?.seq ?? 1n, headSeq: BigInt(this.log(value.roomId).length) };
      }
      case "listEvents":
        return { events: this.log(value.roomId).slice(Number(value.fromSeq) - 1, Number(value.toSeq)) };
      case "listReceipts":
        return { receipts: [{ roomId: value.roomId, userId: "bob", deliveredSeq: 1n, readSeq: 1n }] };
      case "acknowledgeDelivery":
        return {};
      default:
        return undefined;
    }
  }

  #entry(roomId: string): MessageInitShape<typeof v1.InboxEntrySchema> {
    const log = this.log(roomId);
    const lastMessage = this.messages(roomId).at(-1);
    return {
      room: {
        roomId,
        kind: v1.RoomKind.GROUP,
        headSeq: BigInt(log.length),
        messageCount: log.at(-1)?.messageCount ?? 0n,
        memberCount: 3n,
        settings: { title: `title of ${roomId}`, topic: "topic" },
        epoch: this.epoch,
        createdAt: { seconds: 1_600_000_000n },
      },
      membership: { userId: this.userId, role: v1.Role.ADMIN, active: true },
      read: { seq: 1n, messageCount: 1n },
      unreadCount: (log.at(-1)?.messageCount ?? 1n) - 1n,
      ...(lastMessage && { lastMessage }),
    };
  }
}

/** Lets everything go on, `ms` of the clients' time. */
async function settle(ms = 50) {
  for (let turn = 0; turn < 10; turn++) {
    await vi.advanceTimersByTimeAsync(ms / 10);
    for (let step = 0; step < 5; step++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets things go on until `check` passes. */
async function until(check: () => void) {
  const deadline = process.hrtime.bigint() + 20_000_000_000n;
  for (;;) {
    await settle(20);
    try {
      return check();
    } catch (error) {
      if (process.hrtime.bigint() > deadline) throw error;
    }
  }
}

function open(storage: Storage, transport: FakeTransport, options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ url: "http://nowhere", token: "t", transport, storage, ...options });
  clients.push(client);
  client.start().catch(() => {});
  return client;
}

/** Waits until a client has read its storage, however long that takes: its clock stands still. */
async function started(client: Client) {
  const deadline = process.hrtime.bigint() + 20_000_000_000n;
  while (client.state.status === "idle" && process.hrtime.bigint() < deadline) await new Promise((resolve) => setImmediate(resolve));
  expect(client.state.status).not.toBe("idle");
}

/** A transport without anyone behind it. */
function nowhere(): FakeTransport {
  const transport = new FakeTransport();
  transport.refusal = new TransportError("no network");
  return transport;
}

const texts = (client: Client, roomId = "r") => client.room(roomId)?.messages.map(({ text }) => text);
const rows = (client: Client) => client.getSnapshot("rooms");

/** Talks a little, with one room opened, and ends once that is stored. */
async function firstVisit(server: FakeServer, storage: Storage, visit: (client: Client) => Promise<void> = async () => {}) {
  for (let count = 1; count <= 3; count++) server.say("r", `${count}`);
  server.say("other", "elsewhere");
  const client = open(storage, server.transport);
  await until(() => expect(rows(client)).toHaveLength(2));
  await client.room("r")!.loadLatest();
  server.say("r", "4", "alice");
  await until(() => expect(texts(client)).toEqual(["1", "2", "3", "4"]));
  await visit(client);
  await settle(1_500);
  client.close();
  await released(storage);
  return client;
}

/** Waits until a storage that one at a time may open can be opened. */
async function released(storage: Storage) {
  let store: Store | undefined;
  await vi.waitFor(async () => (store = await storage.open()), { timeout: 10_000, interval: 5 });
  await store?.close();
}

async function folder(): Promise<string> {
  const created = await mkdtemp(path.join(tmpdir(), "parlance-cold-"));
  folders.push(created);
  return created;
}

const STORAGES: Record<string, () => Promise<Storage>> = {
  memory: async () => new MemoryStorage(),
  IndexedDB: async () => new IndexedDbStorage(`${Math.random()}`),
  files: async () => new FileStorage(await folder()),
};

describe.each(Object.entries(STORAGES))("with a storage in %s", (_, make) => {
  test("a client that reaches no server shows its last state, and says that it is not connected", async () => {
    const [server, storage] = [new FakeServer(), await make()];
    const before = await firstVisit(server, storage);
    const client = open(storage, nowhere());
    const listed = vi.fn();
    client.on("rooms", listed);
    await started(client);
    await until(() => expect(listed).toHaveBeenCalled());
    expect(client.userId).toBe("alice");
    expect(rows(client)).toEqual(rows(before));
    expect(rows(client).map(({ title }) => title)).toEqual(["title of r", "title of other"]);
    expect(client.unread).toEqual(before.unread);
    expect(texts(client)).toEqual(["1", "2", "3", "4"]);
    expect(client.room("r")!.messages).toEqual(before.room("r")!.messages);
    await until(() => expect(client.state.status).toBe("waiting"));
  });

  test("what was missed arrives once, without a hole and without a double", async () => {
    const [server, storage] = [new FakeServer(), await make()];
    await firstVisit(server, storage);
    for (const text of ["5", "6"]) server.say("r", text);
    server.add("r", { case: "messageEdited", value: { targetSeq: 2n, text: "2, mended" } });
    server.add("r", { case: "messageDeleted", value: { targetSeq: 3n } });
    server.say("other", "more");
    const client = new Client({ url: "http://nowhere", token: "t", transport: server.transport, storage });
    clients.push(client);
    const events: string[] = [];
    client.on("event", ({ roomId, seq }) => events.push(`${roomId}/${seq}`));
    void client.start();
    await started(client);
    await until(() => expect(texts(client)).toEqual(["1", "2, mended", "", "4", "5", "6"]));
    expect(events).toEqual(["r/5", "r/6", "r/7", "r/8", "other/2"]);
    expect(server.hellos.at(-1)!.cursors).toMatchObject([{ roomId: "r", seq: 4n, epoch: 1n }, { roomId: "other", seq: 1n, epoch: 1n }]);
    server.say("r", "7");
    await until(() => expect(texts(client)?.at(-1)).toBe("7"));
    expect(client.room("r")).toMatchObject({ headSeq: 9, messageCount: 7 });
  });
});

test("a room that is shown from the storage knows who has read what once it is connected", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  const client = open(storage, server.transport);
  await until(() => expect(texts(client)).toHaveLength(4));
  await until(() => expect(client.room("r")!.receipts).toEqual([{ userId: "bob", deliveredSeq: 1, readSeq: 1 }]));
});

test("a gap that hides what was missed is filled, before and behind what is stored", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  server.maxPush = 2;
  server.add("r", { case: "messageDeleted", value: { targetSeq: 1n } });
  for (let count = 5; count <= 20; count++) server.say("r", `${count}`);
  const client = open(storage, server.transport);
  await until(() => expect(texts(client)).toEqual(["", ...Array.from({ length: 19 }, (_, at) => `${at + 2}`)]));
  expect(server.transport.last.of("listMessages")).toEqual([]);
});

test("after a restore nothing of the former log is left", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  server.epoch = 2n;
  server.log("r").splice(1);
  server.say("r", "another 2");
  const client = open(storage, server.transport);
  await until(() => expect(texts(client)).toEqual(["1", "another 2"]));
  expect(client.room("r")).toMatchObject({ headSeq: 2, messageCount: 2 });
  await settle(1_500);
  client.close();
  const offline = open(storage, nowhere());
  await until(() => expect(texts(offline)).toEqual(["1", "another 2"]));
  // Its messages are not shown with a cursor of another log.
  server.say("r", "another 3");
  const back = open(storage, server.transport);
  await until(() => expect(texts(back)).toEqual(["1", "another 2", "another 3"]));
});

test("a room that one was removed from while away leaves the list and the storage", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  server.left.add("r");
  const client = open(storage, server.transport);
  await until(() => expect(rows(client).map(({ id }) => id)).toEqual(["other"]));
  expect(client.room("r")?.isMember).toBe(false);
  await settle(1_500);
  expect(await stored(storage)).toMatchObject({ rooms: ["other"], messages: [], cursors: ["other"] });
});

test("a room that vanished without a word leaves the list once the inbox is read", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  server.logs.delete("r");
  const client = open(storage, server.transport);
  await until(() => expect(rows(client).map(({ id }) => id)).toEqual(["other"]));
});

/** Ids of the rooms of each collection, and the facts. */
async function stored(storage: Storage) {
  const store = await storage.open();
  const idsOf = async (collection: "rooms" | "messages" | "cursors") => (await store.readAll(collection)).map(({ roomId }) => roomId).sort();
  const content = { rooms: await idsOf("rooms"), messages: await idsOf("messages"), cursors: await idsOf("cursors"), meta: await store.readAll("meta") };
  await store.close();
  return content;
}

/** Changes what is stored. */
async function damage(storage: Storage, change: (store: Store) => Promise<void>) {
  const store = await storage.open();
  await change(store);
  await store.close();
}

const GARBAGE = new Uint8Array([255, 255, 255, 1, 2, 3]);

describe("records that cannot be read", () => {
  test.each<[string, (store: Store) => Promise<void>, string[], string[]]>([
    ["a room", (store) => store.write([{ collection: "rooms", key: "r", value: { roomId: "r", entry: GARBAGE } }]), ["other"], []],
    ["a room of another id", (store) => store.update("rooms", "r", (room) => ({ ...room!, roomId: "r", entry: new Uint8Array() })).then(() => {}), ["other"], []],
    ["a cursor", (store) => store.write([{ collection: "cursors", key: "r", value: { roomId: "r", seq: -1, epoch: "1" } }]), ["r", "other"], []],
    ["an epoch", (store) => store.write([{ collection: "cursors", key: "r", value: { roomId: "r", seq: 4, epoch: "one" } }]), ["r", "other"], []],
    ["messages", (store) => store.update("messages", "r", (messages) => ({ ...messages!, events: [GARBAGE] })).then(() => {}), ["r", "other"], []],
    ["messages out of order", (store) => store.update("messages", "r", (messages) => ({ ...messages!, events: [...messages!.events].reverse() })).then(() => {}), ["r", "other"], []],
    ["messages of another epoch", (store) => store.update("messages", "r", (messages) => ({ ...messages!, epoch: "7" })).then(() => {}), ["r", "other"], []],
    ["an empty record", (store) => store.write([{ collection: "messages", key: "r", value: { roomId: "r" } as never }]), ["r", "other"], []],
  ])("%s: what is left is shown, and the server has the rest", async (_, change, shown, messages) => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    await damage(storage, change);
    const offline = open(storage, nowhere());
    await until(() => expect(rows(offline).map(({ id }) => id)).toEqual(shown));
    expect(texts(offline) ?? []).toEqual(messages);
    offline.close();
    await settle();
    const client = open(storage, server.transport);
    await until(() => expect(rows(client).map(({ id }) => id)).toEqual(["r", "other"]));
    await client.room("r")!.loadLatest();
    await until(() => expect(texts(client)).toEqual(["1", "2", "3", "4"]));
    await settle(1_500);
    expect(await stored(storage)).toMatchObject({ rooms: ["other", "r"], messages: ["r"], cursors: ["other", "r"] });
  });

  test("a state of another version is erased, and written anew", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    await damage(storage, (store) => store.write([{ collection: "meta", key: "version", value: { name: "version", value: "0" } }]));
    const offline = open(storage, nowhere());
    await settle(200);
    expect(rows(offline)).toEqual([]);
    expect(await stored(storage)).toEqual({ rooms: [], messages: [], cursors: [], meta: [] });
    offline.close();
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(2));
    await settle(1_500);
    expect((await stored(storage)).meta).toContainEqual({ name: "version", value: "1" });
  });

  test("a state that was not written to its end is not shown", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    await damage(storage, (store) => store.write(["user", "version"].map((key) => ({ collection: "meta", key, value: undefined }))));
    const offline = open(storage, nowhere());
    await settle(200);
    expect(rows(offline)).toEqual([]);
  });
});

test("messages that are older than the cursor are filled up", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  for (const text of ["5", "6"]) server.say("r", text);
  server.add("r", { case: "messageEdited", value: { targetSeq: 1n, text: "1, mended" } });
  await damage(storage, (store) => store.write([{ collection: "cursors", key: "r", value: { roomId: "r", seq: 7, epoch: "1" } }]));
  const client = open(storage, server.transport);
  await until(() => expect(texts(client)).toEqual(["1, mended", "2", "3", "4", "5", "6"]));
});

describe("whose state it is", () => {
  test("a token of another user shows nothing of the former one, and erases it", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage, async (client) => {
      server.transport.last.onsend = () => {};
      client.send({ roomId: "r", text: "of alice" }).catch(() => {});
      await settle();
    });
    const others = new FakeServer();
    others.userId = "mallory";
    others.say("hers", "hello");
    const client = open(storage, others.transport);
    await until(() => expect(rows(client).map(({ id }) => id)).toEqual(["hers"]));
    expect(client.userId).toBe("mallory");
    expect(client.room("r")).toBeUndefined();
    expect(client.commands).toEqual([]);
    // Nothing of it goes out under the new name: neither cursors nor messages.
    expect(others.hellos.at(-1)!.cursors).toEqual([]);
    await settle(1_500);
    expect(others.transport.connections.flatMap((connection) => connection.of("sendMessage"))).toEqual([]);
    expect(await stored(storage)).toMatchObject({ rooms: ["hers"], messages: [], meta: expect.arrayContaining([{ name: "user", value: "mallory" }]) });
  });

  test("where it is known who one is, nothing of another user is shown before there is a connection", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    const client = open(storage, nowhere(), { userId: "mallory" });
    const listed = vi.fn();
    client.on("rooms", listed);
    await settle(2_000);
    expect(listed).not.toHaveBeenCalled();
    expect(client.userId).toBe("mallory");
    expect(await stored(storage)).toEqual({ rooms: [], messages: [], cursors: [], meta: [] });
    client.close();
    const same = open(storage, server.transport, { userId: "alice" });
    await until(() => expect(rows(same)).toHaveLength(2));
    expect(server.hellos).toHaveLength(2);
  });

  test.each([{ keepUnsent: false }, { keepUnsent: true }])("signing out erases: %o", async (options) => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    server.say("r", "1");
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(1));
    await settle(1_500);
    server.transport.last.onsend = () => {};
    client.send({ roomId: "r", text: "unsent" }).catch(() => {});
    await settle();
    server.say("r", "2");
    await settle(10);
    await client.signOut(options);
    expect(client.state.status).toBe("closed");
    expect(await stored(storage)).toEqual({ rooms: [], messages: [], cursors: [], meta: [] });
    const store = await storage.open();
    expect(await store.readAll("commands")).toHaveLength(options.keepUnsent ? 1 : 0);
    await settle(3_000);
    expect(await stored(storage)).toMatchObject({ rooms: [] });
  });
});

/** A storage, with other ways to do some of it. */
function altered(change: (store: Store) => Partial<Store>, storage = new MemoryStorage()): Storage {
  return {
    open: async () => {
      const store = await storage.open();
      return { ...store, ...change(store) };
    },
  };
}

const never = () => new Promise<never>(() => {});
const full = async () => {
  throw new DOMException("no room", "QuotaExceededError");
};

describe("a storage that misbehaves", () => {
  test.each<[string, Storage]>([
    ["cannot be opened", { open: async () => Promise.reject(new Error("no storage")) }],
    ["hangs when it is opened", { open: never }],
    ["hangs when it is read", altered(() => ({ readAll: never }))],
    ["hangs when it is written", altered(() => ({ write: never }))],
    ["is full", altered(() => ({ write: full }))],
  ])("%s: a client connects within a second, and works", async (_, storage) => {
    const server = new FakeServer();
    server.say("r", "1");
    const client = open(storage, server.transport);
    await settle(1_100);
    expect(client.state.status).toBe("online");
    await until(() => expect(rows(client)).toHaveLength(1));
    const sent = client.send({ roomId: "r", text: "hello" });
    await until(() => expect(server.transport.last.of("sendMessage")).toHaveLength(1));
    server.transport.last.reply(server.transport.last.of("sendMessage")[0]!.requestId, { case: "sendMessage", value: { roomId: "r", seq: 2n } });
    await expect(sent).resolves.toMatchObject({ seq: 2 });
  });

  test("that has no room for a copy of the server's still keeps messages on their way", async () => {
    const kept = new MemoryStorage();
    const isCopy = (changes: readonly { collection: string }[]) => changes.some(({ collection }) => collection === "rooms");
    const storage = altered((store) => ({ write: async (changes) => (isCopy(changes) ? full() : store.write(changes)) }), kept);
    const server = new FakeServer();
    server.say("r", "1");
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(1));
    await settle(3_000);
    client.send({ roomId: "r", text: "hello" }).catch(() => {});
    await settle();
    expect(client.storage.status).toBe("durable");
    expect(await (await kept.open()).readAll("commands")).toHaveLength(1);
  });

  test("that was lost while running has everything again", async () => {
    const storage = new MemoryStorage();
    let lose: (why: Error) => void = () => {};
    const server = new FakeServer();
    const visit = firstVisit(server, altered(() => ({ onLost: (listener) => void (lose = listener) }), storage), async () => {
      await settle(1_500);
      await damage(storage, (store) => store.write(["r", "other"].flatMap((key) => (["rooms", "messages", "cursors"] as const).map((collection) => ({ collection, key, value: undefined })))));
      lose(new Error("cleared"));
      await settle(1_500);
    });
    await visit;
    expect(await stored(storage)).toMatchObject({ rooms: ["other", "r"], messages: ["r"], cursors: ["other", "r"] });
  });

  test("that answers late still shows what it has, with nothing lost or doubled", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    for (const text of ["5", "6"]) server.say("r", text);
    let answer = () => {};
    const late = new Promise<void>((resolve) => (answer = resolve));
    const slow = altered((store) => ({ readAll: (collection) => late.then(() => store.readAll(collection)) }), storage);
    const offline = nowhere();
    const client = open(slow, offline);
    await settle(3_000);
    expect(rows(client)).toEqual([]);
    answer();
    await until(() => expect(texts(client)).toEqual(["1", "2", "3", "4"]));
    client.close();

    // Read after the connection, it makes no difference to what the server says.
    let answerLater = () => {};
    const later = new Promise<void>((resolve) => (answerLater = resolve));
    const slower = altered((store) => ({ readAll: (collection) => later.then(() => store.readAll(collection)) }), storage);
    const online = open(slower, server.transport);
    await settle(1_500);
    await until(() => expect(rows(online)).toHaveLength(2));
    await online.room("r")!.loadLatest();
    answerLater();
    await settle(2_500);
    expect(texts(online)).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(await stored(storage)).toMatchObject({ rooms: ["other", "r"], messages: ["r"] });
  });
});

describe("writing", () => {
  test("is coalesced: at most once a second, and nothing while nothing changes", async () => {
    const server = new FakeServer();
    let writes = 0;
    const storage = altered((store) => ({ write: (changes) => (writes++, store.write(changes)) }));
    server.say("r", "1");
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(1));
    await settle(1_500);
    writes = 0;
    for (let count = 0; count < 500; count++) {
      server.say("r", `${count}`);
      await vi.advanceTimersByTimeAsync(10);
    }
    await settle(1_500);
    expect(writes).toBeGreaterThan(0);
    expect(writes).toBeLessThanOrEqual(6);
    writes = 0;
    await client.refresh();
    await settle(5_000);
    expect(writes).toBe(0);
  });

  test("is done at once when the page is hidden, and when the client is closed", async () => {
    const page = new EventTarget();
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    const seqOf = async () => (await (await storage.open()).read("cursors", "r"))?.seq;
    server.say("r", "1");
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(1));
    await settle(1_500);
    server.say("r", "2");
    await settle(10);
    expect(await seqOf()).toBe(1);
    page.dispatchEvent(new Event("pagehide"));
    await settle(10);
    expect(await seqOf()).toBe(2);
    server.say("r", "3");
    await settle(10);
    client.close();
    await settle(10);
    expect(await seqOf()).toBe(3);
    vi.unstubAllGlobals();
  });

  test("what is stored is bounded: the newest hundred messages of the sixteen rooms that were looked at last", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    for (let room = 0; room < 20; room++) server.say(`r${room}`, "1");
    for (let count = 2; count <= 150; count++) server.say("r19", `${count}`);
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(20));
    for (let room = 0; room < 20; room++) await client.room(`r${room}`)!.loadLatest();
    for (let page = 0; page < 3; page++) await client.room("r19")!.loadOlder();
    await settle(2_500);
    const store = await storage.open();
    const messages = await store.readAll("messages");
    expect(messages).toHaveLength(16);
    expect(messages.find(({ roomId }) => roomId === "r19")).toMatchObject({ from: 51, to: 150, hasOlder: true, events: { length: 100 } });
    client.close();
    await settle();
    const offline = open(storage, nowhere());
    await until(() => expect(texts(offline, "r19")).toHaveLength(100));
    expect(offline.room("r19")!.hasOlder).toBe(true);
    expect(texts(offline, "r0")).toEqual([]);
  });

  test("many rooms are written in parts, and are not shown before all of them are there", async () => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    for (let room = 0; room < 450; room++) server.say(`r${room}`, "1");
    const client = open(storage, server.transport);
    await until(() => expect(rows(client)).toHaveLength(450));
    await settle(1_200);
    expect((await stored(storage)).meta).toEqual([]);
    await settle(3_000);
    expect((await stored(storage)).meta).toHaveLength(2);
    client.close();
    const offline = open(storage, nowhere());
    await until(() => expect(rows(offline)).toHaveLength(450));
  });
});

describe("two tabs of one user", () => {
  let browser: FakeBrowser;
  beforeEach(() => void (browser = new FakeBrowser()));
  afterEach(() => void vi.unstubAllGlobals());

  /** A client in a tab of its own. */
  function tab(storage: Storage, transport: FakeTransport): Client {
    const { locks, channel } = browser.tab().runtime;
    vi.stubGlobal("navigator", { locks });
    vi.stubGlobal("BroadcastChannel", function (name: string) {
      return channel?.(name);
    });
    return open(storage, transport);
  }

  test("the second begins with what the first has written, the first goes on writing, and the second takes over", async () => {
    const storage = new IndexedDbStorage(`${Math.random()}`);
    const [server, offline] = [new FakeServer(), nowhere()];
    for (const text of ["1", "2"]) server.say("r", text);
    const first = tab(storage, server.transport);
    await until(() => expect(rows(first)).toHaveLength(1));
    await first.room("r")!.loadLatest();
    await settle(1_500);
    const second = tab(storage, offline);
    await until(() => expect(texts(second)).toEqual(["1", "2"]));
    server.say("r", "3");
    await settle(1_500);
    const third = tab(storage, nowhere());
    await until(() => expect(texts(third)).toEqual(["1", "2", "3"]));
    third.close();

    // What the second tab shows is older: it replaces what the first has left, and is brought up to date from there.
    first.close();
    await settle(1_500);
    expect(texts(second)).toEqual(["1", "2"]);
    second.close();
    await settle(500);
    const next = tab(storage, server.transport);
    await until(() => expect(texts(next)).toEqual(["1", "2", "3"]));
    server.say("r", "4");
    await until(() => expect(texts(next)).toEqual(["1", "2", "3", "4"]));
  });

  test("signing out in one makes the other write no more", async () => {
    const storage = new IndexedDbStorage(`${Math.random()}`);
    const server = new FakeServer();
    server.say("r", "1");
    const first = tab(storage, server.transport);
    await until(() => expect(rows(first)).toHaveLength(1));
    await settle(1_500);
    const second = tab(storage, nowhere());
    await until(() => expect(rows(second)).toHaveLength(1));
    await second.signOut();
    server.say("r", "2");
    await settle(3_000);
    expect(first.room("r")!.headSeq).toBe(2);
    expect(await stored(storage)).toEqual({ rooms: [], messages: [], cursors: [], meta: [] });
  });
});

test("a bot that reads events by its own cursors is not moved by what is stored", async () => {
  const [server, storage] = [new FakeServer(), new MemoryStorage()];
  await firstVisit(server, storage);
  const bot = new Client({ url: "http://nowhere", token: "t", transport: server.transport, storage });
  clients.push(bot);
  const events = bot.events({ cursors: [{ roomId: "r", seq: 2, epoch: "1" }] })[Symbol.asyncIterator]();
  const next = events.next();
  await until(() => expect(server.hellos).toHaveLength(2));
  expect(server.hellos.at(-1)!.cursors).toMatchObject([{ roomId: "r", seq: 2n }]);
  expect((await next).value).toMatchObject({ kind: "event", event: { seq: 3n } });
});
