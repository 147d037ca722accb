import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client, type EventsOptions, ParlanceError, type RoomItem, TransportError, UnauthenticatedError, v1 } from "../src/index.js";
import { refused } from "../src/errors.js";
import { answerRoutine, type FakeConnection, FakeTransport, message } from "./fake.js";

let transport: FakeTransport;
let client: Client;
beforeEach(() => {
  vi.useFakeTimers();
  transport = new FakeTransport();
  client = newClient();
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

function newClient(): Client {
  return new Client({ url: "http://chat.example", token: "token", transport });
}

const seconds = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);

const describe = (item: RoomItem) =>
  item.kind === "event" ? `${item.event.roomId} ${item.event.seq}` : `${item.gap.roomId} gap ${item.gap.fromSeq}-${item.gap.toSeq}`;

/** Reads events like a bot whose handler is controlled by the test. */
function read(options: EventsOptions = {}) {
  const events = client.events(options);
  const seen: string[] = [];
  let release = () => {};
  let fail: Error | undefined;
  const done = (async () => {
    for await (const item of events) {
      seen.push(describe(item));
      await new Promise<void>((resolve) => (release = resolve));
      if (fail) throw fail;
    }
  })();
  done.catch(() => {});
  return {
    seen,
    done,
    cursors: () => events.cursors,
    /** The handler has finished the item. */
    async finish() {
      release();
      await seconds(0);
    },
    async throws(error: Error) {
      fail = error;
      release();
      await seconds(0);
    },
  };
}

async function online(): Promise<FakeConnection> {
  // The start waits for the reader.
  await vi.dynamicImportSettled();
  await seconds(0);
  const connection = transport.last;
  answerRoutine(connection);
  connection.welcome([{ roomId: "r", seq: 9n, epoch: 3n }]);
  await seconds(0);
  return connection;
}

const acknowledged = (connection: FakeConnection) =>
  connection.of("acknowledgeDelivery").map(({ operation }) => Number((operation.value as v1.AcknowledgeDeliveryRequest).seq));

test("an item is acknowledged after its handler has finished, and not before", async () => {
  const reader = read();
  const connection = await online();
  for (const seq of [1n, 2n, 3n]) connection.event("r", seq);
  await seconds(30);
  expect([reader.seen, acknowledged(connection), reader.cursors()]).toEqual([["r 1"], [], []]);
  await reader.finish();
  await reader.finish();
  await seconds(2);
  expect(reader.seen).toEqual(["r 1", "r 2", "r 3"]);
  expect(acknowledged(connection)).toEqual([2]);
  expect(reader.cursors()).toEqual([{ roomId: "r", seq: 2, epoch: "3" }]);
});

test("an item whose handler fails is neither acknowledged nor in the cursors, and comes again", async () => {
  const reader = read();
  const connection = await online();
  for (const seq of [1n, 2n]) connection.event("r", seq);
  await seconds(0);
  await reader.finish();
  await reader.throws(new Error("no"));
  await expect(reader.done).rejects.toThrow("no");
  await seconds(5);
  expect(acknowledged(connection)).toEqual([1]);
  const cursors = JSON.parse(JSON.stringify(reader.cursors()));
  client.close();
  client = newClient();
  read({ cursors });
  await seconds(0);
  expect(transport.last.hello.cursors).toMatchObject([{ roomId: "r", seq: 1n, epoch: 3n }]);
});

test("without acknowledgements nothing is acknowledged at all", async () => {
  const reader = read({ acknowledge: false });
  const connection = await online();
  connection.event("r", 1n);
  await seconds(0);
  await reader.finish();
  await seconds(10);
  expect(acknowledged(connection)).toEqual([]);
  expect(reader.cursors()).toHaveLength(1);
});

test("acknowledgements do not pile up while offline", async () => {
  const reader = read();
  const first = await online();
  for (let seq = 1n; seq <= 20n; seq++) first.event("r", seq);
  await seconds(0);
  transport.refusal = new TransportError("nobody there");
  first.frames.fail(transport.refusal);
  for (let item = 0; item < 19; item++) {
    await reader.finish();
    await seconds(3);
  }
  transport.refusal = undefined;
  const before = transport.connections.length;
  while (transport.connections.length === before) await seconds(1);
  const second = await online();
  await seconds(5);
  expect(acknowledged(second).length).toBeLessThanOrEqual(2);
  expect(acknowledged(second).at(-1)).toBe(19);
});

test("gaps are items in their place, and their end is where the room goes on", async () => {
  const gaps = vi.fn();
  client.on("gap", gaps);
  const reader = read();
  const connection = await online();
  connection.event("r", 1n);
  connection.say({ case: "gap", value: { roomId: "r", fromSeq: 2n, toSeq: 8n, reason: v1.GapReason.TOO_LONG } });
  connection.event("r", 9n);
  for (let item = 0; item < 3; item++) {
    await seconds(0);
    if (item === 2) expect(reader.cursors()).toMatchObject([{ seq: 8 }]);
    await reader.finish();
  }
  expect(reader.seen).toEqual(["r 1", "r gap 2-8", "r 9"]);
  expect(gaps).toHaveBeenCalledTimes(1);
});

test("a gap without an end moves no cursor", async () => {
  const reader = read();
  const connection = await online();
  connection.event("r", 5n);
  connection.say({ case: "gap", value: { roomId: "r", fromSeq: 6n, reason: v1.GapReason.UNREADABLE } });
  await seconds(0);
  await reader.finish();
  await reader.finish();
  expect(reader.cursors()).toMatchObject([{ seq: 5 }]);
});

test("a handler that is too slow gets a gap for what does not fit into memory", async () => {
  const reader = read({ maxWaiting: 3 });
  const connection = await online();
  for (let seq = 1n; seq <= 10n; seq++) {
    connection.event("r", seq);
    if (seq === 8n) connection.event("s", 1n);
  }
  await seconds(0);
  for (let item = 0; item < 6; item++) await reader.finish();
  connection.event("r", 11n);
  await seconds(0);
  await reader.finish();
  expect(reader.seen).toEqual(["r 1", "r 2", "r 3", "r 4", "r gap 5-10", "s gap 1-1", "r 11"]);
  expect(reader.cursors()).toMatchObject([{ roomId: "r", seq: 11 }, { roomId: "s", seq: 1 }]);
});

test("a gap is read page by page, with the gaps inside it", async () => {
  void client.start();
  const connection = await online();
  connection.onsend = ({ requestId, operation }) => {
    if (operation.case !== "listEvents") return;
    const isFirst = operation.value.fromSeq === 2n;
    const value = isFirst
      ? { events: [message("r", 3n, "x"), message("r", 4n, "x")], gaps: [{ roomId: "r", fromSeq: 2n, toSeq: 2n, reason: v1.GapReason.RETENTION }], nextFromSeq: 5n }
      : { events: [message("r", 5n, "x")] };
    connection.reply(requestId, { case: "listEvents", value });
  };
  const seen: string[] = [];
  const { create } = await import("@bufbuild/protobuf");
  const gap = create(v1.GapSchema, { roomId: "r", fromSeq: 2n, toSeq: 5n, reason: v1.GapReason.TOO_LONG });
  for await (const item of client.eventsOf(gap)) seen.push(describe(item));
  expect(seen).toEqual(["r gap 2-2", "r 3", "r 4", "r 5"]);
});

test("the loop ends with the client, and throws what that was closed for", async () => {
  const reader = read();
  await online();
  client.close();
  await reader.done;
  client = newClient();
  const other = read();
  transport.refusal = refused({ code: 16, reason: "token_expired", message: "expired", metadata: {} });
  await seconds(10);
  await expect(other.done).rejects.toBeInstanceOf(UnauthenticatedError);
});

test("the loop ends with its signal", async () => {
  const abort = new AbortController();
  const reader = read({ signal: abort.signal });
  await online();
  abort.abort();
  await reader.done;
});

test("events are read once, and from before the start", async () => {
  const events = client.events();
  const first = events[Symbol.asyncIterator]();
  void first.next();
  await expect(events[Symbol.asyncIterator]().next()).rejects.toBeInstanceOf(ParlanceError);
  await online();
  expect(() => client.events()).toThrow(ParlanceError);
});

test("the example of the README is the one that compiles", () => {
  const file = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
  expect(file("README.md")).toContain(file("examples/bot.ts"));
});
