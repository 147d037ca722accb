import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { type Client, IndexedDbStorage, MemoryStorage, type Storage, type Store } from "../src/index.js";
import { FakeBrowser } from "./browser.js";
import type { FakeTransport } from "./fake.js";
import { damage, FakeServer, firstVisit, nowhere, open, rows, settle, stored, texts, until } from "./last-state.js";
import { altered, never } from "./storages.js";

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

    // Read after the connection, it does not override the server's data.
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

  test.each(["connected", "away"])("a deleted room leaves nothing behind, for a client that was %s", async (where) => {
    const [server, storage] = [new FakeServer(), new MemoryStorage()];
    await firstVisit(server, storage);
    if (where === "away") server.add("r", { case: "roomDeleted", value: {} });
    const client = open(storage, server.transport);
    if (where === "connected") {
      await until(() => expect(client.state.status).toBe("online"));
      await until(() => expect(texts(client)).toHaveLength(4));
      server.add("r", { case: "roomDeleted", value: {} });
    }
    await until(() => expect(rows(client).map(({ id }) => id)).toEqual(["other"]));
    expect(client.room("r")).toMatchObject({ isMember: false, unreadCount: 0, lastMessage: undefined, isLoaded: false, messages: [] });
    expect(client.unread).toEqual({ messages: 0, rooms: 0 });
    await settle(2_500);
    expect(await stored(storage)).toMatchObject({ rooms: ["other"], messages: [], cursors: ["other"] });
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

  /** A client in its own tab. */
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

    // The second tab shows older data: it replaces what the first has left, and is updated from there.
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
