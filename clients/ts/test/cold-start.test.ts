import { describe, expect, test, vi } from "vitest";

import { Client, type IndexedDbStorage, MemoryStorage } from "../src/index.js";
import { clients, damage, FakeServer, firstVisit, nowhere, open, rows, settle, started, stored, texts, until } from "./last-state.js";
import type { Change } from "../src/storage/store.js";
import { altered, never, STORAGES } from "./storages.js";

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
  // Its messages are not combined with a cursor of another log.
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
    // Nothing of it is sent under the new user: neither cursors nor messages.
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

test("signing out erases from a storage that had failed before, too", async () => {
  const [server, kept] = [new FakeServer(), await STORAGES["IndexedDB"]!()];
  await firstVisit(server, kept);
  let isFull = false;
  const full = Object.assign(new Error("no space"), { name: "QuotaExceededError" });
  const isPut = (changes: readonly Change[]) => changes.some(({ value }) => value !== undefined);
  const storage = altered((store) => ({ write: async (changes) => (isFull && isPut(changes) ? Promise.reject(full) : store.write(changes)) }), kept);
  const client = open(storage, server.transport);
  await until(() => expect(rows(client)).not.toHaveLength(0));
  isFull = true;
  client.send({ roomId: "r", text: "unsent" }).catch(() => {});
  await until(() => expect(client.storage.status).toBe("memory"));
  const signedOut = client.signOut();
  await settle(1_000);
  await signedOut;
  expect(await stored(kept)).toEqual({ rooms: [], messages: [], cursors: [], meta: [] });
});

test.each([{ keepUnsent: false }, { keepUnsent: true }])("what a storage that hangs keeps after signing out is erased before it is used again: %o", async (options) => {
  const items = new Map<string, string>();
  const getItem = (key: string) => items.get(key) ?? null;
  vi.stubGlobal("localStorage", { getItem, setItem: (key: string, value: string) => items.set(key, value), removeItem: (key: string) => items.delete(key) });
  const [server, kept] = [new FakeServer(), (await STORAGES["IndexedDB"]!()) as IndexedDbStorage];
  await firstVisit(server, kept);
  let hangs = false;
  const storage = altered((store) => ({ readAll: (collection) => (hangs ? never() : store.readAll(collection)) }), kept);
  const client = open(storage, server.transport);
  await until(() => expect(rows(client)).not.toHaveLength(0));
  server.transport.last.onsend = () => {};
  client.send({ roomId: "r", text: "unsent" }).catch(() => {});
  await settle(100);
  hangs = true;
  const signedOut = client.signOut(options);
  await settle(2_000);
  await signedOut;
  const store = await kept.open();
  expect(await store.readAll("commands")).toHaveLength(options.keepUnsent ? 1 : 0);
  for (const collection of ["rooms", "messages", "cursors", "meta"] as const) expect(await store.readAll(collection)).toEqual([]);
  expect([...items]).toEqual([]);
  vi.unstubAllGlobals();
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
