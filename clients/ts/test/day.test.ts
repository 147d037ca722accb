import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client, v1 } from "../src/index.js";
import { type FakeConnection, FakeTransport, message } from "./fake.js";
import { Random } from "./random.js";

const ROOMS = 40;
const HOURS = 24;
/** Maximum number of messages held by a displayed room. */
const WINDOW = 5_000;
/** Rooms that keep their messages although they are not watched. */
const KEPT = 16;

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Heads by room; messages are generated on request. */
class Rooms {
  readonly heads = new Map(Array.from({ length: ROOMS }, (_, at) => [`r${at}`, 0]));
  readonly random = new Random(24);

  next(roomId: string): v1.Event {
    const seq = this.heads.get(roomId)! + 1;
    this.heads.set(roomId, seq);
    const event = message(roomId, BigInt(seq), `number ${seq}, with some words to read`);
    if (seq < 10 || !this.random.chance(0.2)) return event;
    const targetSeq = BigInt(seq - this.random.int(1, 8));
    const body = this.random.chance(0.5)
      ? ({ case: "messageEdited", value: create(v1.MessageEditedSchema, { targetSeq, text: "mended" }) } as const)
      : ({ case: "reactionAdded", value: create(v1.ReactionAddedSchema, { targetSeq, emoji: "👍" }) } as const);
    return create(v1.EventSchema, { ...event, body });
  }

  serve(connection: FakeConnection): void {
    connection.onsend = ({ requestId, operation: { case: name, value } }) => {
      if (name === "listInbox") {
        const entries = [...this.heads].map(([roomId, head]) => ({ room: { roomId, headSeq: BigInt(head), messageCount: BigInt(head), memberCount: 3n, epoch: 1n }, membership: { active: true } }));
        connection.reply(requestId, { case: name, value: { entries } });
      } else if (name === "listMessages") {
        const head = this.heads.get(value.roomId)!;
        const from = Math.max(1, head - 49);
        const messages = Array.from({ length: head - from + 1 }, (_, at) => message(value.roomId, BigInt(from + at), `number ${from + at}`));
        connection.reply(requestId, { case: name, value: { messages, hasMore: from > 1, nextSeq: BigInt(from), headSeq: BigInt(head) } });
      } else if (name === "listReceipts" || name === "acknowledgeDelivery" || name === "getPresence") connection.reply(requestId, { case: name, value: {} } as never);
    };
    connection.welcome([...this.heads].map(([roomId, head]) => ({ roomId, seq: BigInt(head), epoch: 1n })));
  }
}

test("a day of traffic leaves no more behind than half a day", { timeout: 300_000 }, async () => {
  const [rooms, transport] = [new Rooms(), new FakeTransport()];
  transport.onopen = (connection) => rooms.serve(connection);
  const client = new Client({ url: "http://nowhere", token: "t", transport, userId: "alice" });
  const started = client.start();
  await vi.advanceTimersByTimeAsync(1_000);
  await started;
  // One room is displayed all day, and gets a third of all messages.
  client.room("r0")!.subscribe("messages", () => {});
  await client.room("r0")!.loadLatest();
  const heap: number[] = [];
  for (let hour = 1; hour <= HOURS; hour++) {
    for (let second = 0; second < 3_600; second += 20) {
      for (let count = 0; count < 20; count++) {
        const roomId = rooms.random.chance(0.33) ? "r0" : `r${rooms.random.int(1, ROOMS - 1)}`;
        transport.last.say({ case: "event", value: rooms.next(roomId) });
      }
      await vi.advanceTimersByTimeAsync(20_000);
      if (second % 600 === 0) await client.room(`r${rooms.random.int(1, ROOMS - 1)}`)!.loadLatest();
    }
    // Data collected by the test itself.
    transport.last.sent.length = 0;
    const loaded = Array.from(rooms.heads.keys(), (roomId) => client.room(roomId)!.end).filter((end) => end !== null);
    expect(loaded.length).toBeLessThanOrEqual(KEPT + 1);
    for (const end of loaded) expect(end?.messages.length ?? 0).toBeLessThanOrEqual(WINDOW);
    expect(vi.getTimerCount()).toBeLessThan(20);
    collect();
    heap.push(Math.round(process.memoryUsage().heapUsed / 1_048_576));
    if (hour % 6 === 0 && hour < HOURS) transport.last.close();
    await vi.advanceTimersByTimeAsync(30_000);
  }
  expect(client.state.status).toBe("online");
  const shown = client.room("r0")!;
  expect([shown.headSeq, shown.messages.at(-1)!.seq! > shown.headSeq - 50]).toEqual([rooms.heads.get("r0"), true]);
  console.log(`heap by hour, in MiB: ${heap.join(" ")}`);
  expect(heap.at(-1)! - heap[HOURS / 2 - 1]!).toBeLessThan(10);
  client.close();
});
