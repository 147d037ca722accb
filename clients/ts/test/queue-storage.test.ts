import { deleteDB, openDB } from "idb";
import { expect, test, vi } from "vitest";

import { IndexedDbStorage, MemoryStorage, type Storage, type Store } from "../src/index.js";
import { changes, open, reply, settle, stored, texts, until, welcome } from "./queue-client.js";
import { altered, never } from "./storages.js";

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
