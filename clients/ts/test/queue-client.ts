import "fake-indexeddb/auto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, vi } from "vitest";

import { Client, MemoryStorage, type Storage, v1 } from "../src/index.js";
// Loaded before the clocks are not those of the machine.
import "../src/cache/cache.js";
import "../src/room/view.js";
import "../src/storage/indexeddb-store.js";
import { type FakeConnection, FakeTransport } from "./fake.js";

/** Closed after the test. */
const clients: Client[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  clients.splice(0).forEach((client) => client.close());
});

export function open(storage: Storage = new MemoryStorage(), transport = new FakeTransport()) {
  const client = new Client({ url: "http://nowhere", token: "t", transport, storage });
  clients.push(client);
  client.start().catch(() => {});
  return { client, transport };
}

/** Lets everything go on that waits for nothing but its turn. */
export async function settle(ms = 0) {
  for (let turn = 0; turn < 10; turn++) {
    await vi.advanceTimersByTimeAsync(ms / 10);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets things go on until `check` passes. */
export async function until(check: () => void | Promise<void>) {
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

export async function welcome(transport: FakeTransport) {
  await settle();
  // A storage that does not answer is waited for a moment.
  if (transport.connections.length === 0) await settle(1_000);
  transport.last.welcome([{ roomId: "r", seq: 4n }]);
  await settle();
  return transport.last;
}

export const CHANGES = ["sendMessage", "editMessage", "deleteMessage", "addReaction", "removeReaction", "markRead", "setRoomHidden", "updateRoom"];
/** Changes that have gone out on a connection. */
export const changes = ({ sent }: FakeConnection) => sent.flatMap(({ operation }) => (CHANGES.includes(operation.case ?? "") ? [operation] : []));
export const texts = (connection: FakeConnection) =>
  changes(connection).flatMap((operation) => (operation.case === "sendMessage" || operation.case === "editMessage" ? [operation.value.text] : []));

/** Answers the last frame of an operation. */
export function reply(connection: FakeConnection, result: Parameters<FakeConnection["answer"]>[0], operation = result.case) {
  const frame = connection.sent.findLast((sent) => sent.operation.case === operation)!;
  connection.say({ case: "reply", value: { requestId: frame.requestId, result } });
}

export const refusal = { case: "error", value: { code: 3, reason: "invalid_field", message: "refused" } } as const;

export async function stored(storage: Storage) {
  const store = await storage.open();
  const commands = await store.readAll("commands");
  await store.close();
  return commands.sort((a, b) => a.writtenAt - b.writtenAt);
}

/** The room with a page of messages loaded. */
export async function loaded(client: Client, transport: FakeTransport) {
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

export const v1Event = (seq: bigint, body: MessageInitShape<typeof v1.EventSchema>["body"]) => ({ roomId: "d", seq, actorId: "alice", ...(body && { body }) });

/** A head that the room has reached by the time of the next start. */
export const LATER = 4_500n;

/** A client of the same storage. */
export async function restarted(storage: Storage, head = LATER) {
  const { client, transport } = open(storage);
  await settle();
  transport.last.welcome([{ roomId: "r", seq: head }]);
  await settle();
  return { client, connection: transport.last };
}
