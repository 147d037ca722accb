import "fake-indexeddb/auto";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client, IndexedDbStorage, MemoryStorage, type Storage, TransportError } from "../src/index.js";
import { FakeTransport } from "./fake.js";

let clients: Client[] = [];
afterEach(() => {
  clients.forEach((client) => client.close());
  clients = [];
});

function open(transport: FakeTransport, storage: Storage): Client {
  const client = new Client({ url: "http://nowhere", token: "t", transport, storage });
  clients.push(client);
  client.start().catch(() => {});
  return client;
}

/** What is stored. */
async function stored(storage: Storage) {
  const store = await storage.open();
  const commands = await store.readAll("commands");
  await store.close();
  return commands;
}

/** Messages that have gone out on the last connection. */
const sent = (transport: FakeTransport) =>
  transport.last.sent.flatMap(({ operation }) => (operation.case === "sendMessage" ? [operation.value] : []));

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000 });

async function welcomed(transport: FakeTransport) {
  await eventually(() => expect(transport.connections.length).toBeGreaterThan(0));
  transport.last.welcome([{ roomId: "r", seq: 4n }]);
}

function acknowledge(transport: FakeTransport, clientMessageId: string, seq: bigint) {
  const frame = transport.last.sent.find(
    ({ operation }) => operation.case === "sendMessage" && operation.value.clientMessageId === clientMessageId,
  )!;
  transport.last.say({
    case: "reply",
    value: { requestId: frame.requestId, result: { case: "sendMessage", value: { roomId: "r", seq } } },
  });
}

const STORAGES = { "in memory": () => new MemoryStorage(), "in IndexedDB": () => new IndexedDbStorage(`${Math.random()}`) };

test.each(Object.entries(STORAGES))("what was typed offline survives a reload, %s, and goes out in order", async (_, storage) => {
  const kept = storage();
  const offline = new FakeTransport();
  offline.refusal = new TransportError("no network");
  const before = open(offline, kept);
  for (const text of ["one", "two"]) before.send({ roomId: "r", text }).catch(() => {});
  await eventually(() => expect(before.commands).toMatchObject([{ payload: { text: "one" } }, { payload: { text: "two" } }]));
  await eventually(async () => expect(await stored(kept)).toHaveLength(2));
  const ids = before.commands.map(({ id }) => id);
  before.close();
  expect(await stored(kept)).toHaveLength(2);

  const transport = new FakeTransport();
  const after = open(transport, kept);
  await welcomed(transport);
  after.send({ roomId: "r", text: "three" }).catch(() => {});
  // One at a time: the second waits for the answer to the first.
  await eventually(() => expect(sent(transport)).toHaveLength(1));
  expect(sent(transport)[0]).toMatchObject({ clientMessageId: ids[0], text: "one" });
  acknowledge(transport, ids[0]!, 5n);
  await eventually(() => expect(sent(transport)[1]).toMatchObject({ clientMessageId: ids[1], text: "two" }));
  acknowledge(transport, ids[1]!, 6n);
  await eventually(() => expect(sent(transport)[2]).toMatchObject({ text: "three" }));
  acknowledge(transport, sent(transport)[2]!.clientMessageId, 7n);
  await eventually(async () => expect(await stored(kept)).toEqual([]));
});

test("what is refused stays until it is tried again or thrown away", async () => {
  const [transport, storage] = [new FakeTransport(), new MemoryStorage()];
  const client = open(transport, storage);
  await welcomed(transport);
  const failed = client.send({ roomId: "r", text: "too long" });
  await eventually(() => expect(sent(transport)).toHaveLength(1));
  transport.last.refuse({ code: 3, reason: "invalid_field", message: "too long" });
  await expect(failed).rejects.toThrow("too long");
  const [message] = client.commands;
  expect(message).toMatchObject({ payload: { text: "too long" }, error: { message: "too long" } });
  expect(await stored(storage)).toHaveLength(1);
  client.retry(`alice/${message!.id}`);
  await eventually(() => expect(sent(transport)).toHaveLength(2));
  expect(sent(transport)[1]!.clientMessageId).toBe(message!.id);
  transport.last.refuse({ code: 3, reason: "invalid_field", message: "too long" });
  await eventually(() => expect(client.commands[0]).toHaveProperty("error"));
  await client.discard(`alice/${message!.id}`);
  expect(client.commands).toEqual([]);
  expect(await stored(storage)).toEqual([]);
});

test("a message says what was known when it was written", async () => {
  const [transport, storage] = [new FakeTransport(), new MemoryStorage()];
  const client = open(transport, storage);
  await welcomed(transport);
  await eventually(() => expect(client.state.status).toBe("online"));
  client.send({ roomId: "r", text: "hello" }).catch(() => {});
  await eventually(() => expect(sent(transport)[0]).toMatchObject({ afterSeq: 4n }));
});

beforeEach(() => vi.useRealTimers());
