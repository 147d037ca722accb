import "fake-indexeddb/auto";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, expect, vi } from "vitest";

import { Client, type ClientOptions, type Storage, type Store, TransportError, v1 } from "../src/index.js";
// Loaded before the clocks are replaced.
import "../src/cache/cache.js";
import "../src/room/view.js";
import "../src/storage/indexeddb-store.js";
import { type FakeConnection, FakeTransport } from "./fake.js";

/** Closed after the test. */
export const clients: Client[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  clients.splice(0).forEach((client) => client.close());
});

type Body = MessageInitShape<typeof v1.EventSchema>["body"];

/** A server with one log per room, as seen by one user. */
export class FakeServer {
  readonly logs = new Map<string, v1.Event[]>();
  readonly left = new Set<string>();
  readonly transport = new FakeTransport();
  epoch = 1n;
  userId = "alice";
  /** At most this many events are pushed. */
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

  /** The messages of a room in their present form. */
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

/** Runs everything, for `ms` of the clients' time. */
export async function settle(ms = 50) {
  for (let turn = 0; turn < 10; turn++) {
    await vi.advanceTimersByTimeAsync(ms / 10);
    for (let step = 0; step < 5; step++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Runs everything until `check` passes. */
export async function until(check: () => void) {
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

export function open(storage: Storage, transport: FakeTransport, options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ url: "http://nowhere", token: "t", transport, storage, ...options });
  clients.push(client);
  client.start().catch(() => {});
  return client;
}

/** Waits until a client has read its storage, however long that takes: its clock stands still. */
export async function started(client: Client) {
  await standStill(() => client.storage.status !== "opening" && client.state.status !== "idle");
}

async function standStill(until: () => boolean) {
  const deadline = process.hrtime.bigint() + 20_000_000_000n;
  while (!until() && process.hrtime.bigint() < deadline) await new Promise((resolve) => setImmediate(resolve));
  expect(until()).toBe(true);
}

/** A transport without a server. */
export function nowhere(): FakeTransport {
  const transport = new FakeTransport();
  transport.refusal = new TransportError("no network");
  return transport;
}

export const texts = (client: Client, roomId = "r") => client.room(roomId)?.messages.map(({ text }) => text);
export const rows = (client: Client) => client.getSnapshot("rooms");

/** Exchanges some messages, with one room opened, and ends once that is stored. */
export async function firstVisit(server: FakeServer, storage: Storage, visit: (client: Client) => Promise<void> = async () => {}) {
  for (let count = 1; count <= 3; count++) server.say("r", `${count}`);
  server.say("other", "elsewhere");
  const client = open(storage, server.transport);
  await started(client);
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

/** Waits until an exclusive storage can be opened. */
async function released(storage: Storage) {
  let store: Store | undefined;
  await vi.waitFor(async () => (store = await storage.open()), { timeout: 10_000, interval: 5 });
  await store?.close();
}

/** Ids of the rooms of each collection, and the facts. */
export async function stored(storage: Storage) {
  const store = await storage.open();
  const idsOf = async (collection: "rooms" | "messages" | "cursors") => (await store.readAll(collection)).map(({ roomId }) => roomId).sort();
  const content = { rooms: await idsOf("rooms"), messages: await idsOf("messages"), cursors: await idsOf("cursors"), meta: await store.readAll("meta") };
  await store.close();
  return content;
}

/** Modifies stored data. */
export async function damage(storage: Storage, change: (store: Store) => Promise<void>) {
  const store = await storage.open();
  await change(store);
  await store.close();
}
