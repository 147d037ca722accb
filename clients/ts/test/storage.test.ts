import "fake-indexeddb/auto";

import { appendFile, type FileHandle, open, readdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";

import { openDB } from "idb";
import { describe, expect, test, vi } from "vitest";

import { IndexedDbStorage, StorageError, type Store } from "../src/index.js";
import { FileStorage } from "../src/node.js";
import type { Command } from "../src/queue/command.js";
import type { Change } from "../src/storage/store.js";
import { folder, STORAGES } from "./storages.js";

const command = (id: string, text = id): Command => ({ id, kind: "send", roomId: "r", payload: { text }, writtenAt: 1, state: "waiting" });
const put = (id: string, text?: string): Change => ({ collection: "commands", key: id, value: command(id, text) });
const remove = (id: string): Change => ({ collection: "commands", key: id, value: undefined });
const ids = async (store: Store) => (await store.readAll("commands")).map(({ id }) => id).sort();

describe.each(Object.entries(STORAGES))("a store in %s", (_, create) => {
  test("has what was written, by collection and key", async () => {
    const store = await (await create()).open();
    await store.write([put("a"), put("b"), { collection: "cursors", key: "r", value: { roomId: "r", seq: 7, epoch: "18446744073709551615" } }]);
    expect(await ids(store)).toEqual(["a", "b"]);
    expect(await store.read("commands", "a")).toEqual(command("a"));
    expect(await store.read("commands", "missing")).toBeUndefined();
    expect(await store.readAll("cursors")).toEqual([{ roomId: "r", seq: 7, epoch: "18446744073709551615" }]);
    expect(await store.readAll("rooms")).toEqual([]);
    await store.write([remove("a"), remove("missing"), put("b", "changed")]);
    expect(await store.readAll("commands")).toEqual([command("b", "changed")]);
    await store.close();
  });

  test("has it when it is opened again", async () => {
    const storage = await create();
    const before = await storage.open();
    await before.write([put("a"), put("b")]);
    await before.write([remove("a")]);
    await before.close();
    const after = await storage.open();
    expect(await ids(after)).toEqual(["b"]);
    await after.close();
  });

  test("keeps bytes, and keys of any form", async () => {
    const storage = await create();
    const before = await storage.open();
    const keys = ["a/b", "..", "__proto__", "constructor", "🙂", "line\nbreak", '"', ""].filter((key) => key !== "");
    const entry = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await before.write(keys.map((roomId) => ({ collection: "rooms", key: roomId, value: { roomId, entry } })));
    await before.write([{ collection: "messages", key: "r", value: { roomId: "r", epoch: "1", from: 1, to: 3, hasOlder: false, events: [entry, new Uint8Array()], writtenAt: 1 } }]);
    await before.close();
    const after = await storage.open();
    for (const key of keys) expect(await after.read("rooms", key)).toEqual({ roomId: key, entry });
    expect(await after.read("messages", "r")).toMatchObject({ events: [entry, new Uint8Array()] });
    await after.close();
  });

  test("applies writes in their order, also those that are not waited for", async () => {
    const store = await (await create()).open();
    const writes = Array.from({ length: 50 }, (_, number) => store.write([put("a", `${number}`), ...(number % 2 ? [put("b")] : [remove("b")])]));
    await Promise.all(writes);
    expect(await store.read("commands", "a")).toEqual(command("a", "49"));
    expect(await ids(store)).toEqual(["a", "b"]);
    await store.close();
  });

  test("updates a record without another write in between", async () => {
    const store = await (await create()).open();
    const add = () =>
      store.update("meta", "count", (current) => ({ name: "count", value: String(Number(current?.value ?? 0) + 1) }));
    await Promise.all(Array.from({ length: 20 }, add));
    expect(await store.read("meta", "count")).toEqual({ name: "count", value: "20" });
    expect(await store.update("meta", "count", () => undefined)).toBeUndefined();
    expect(await store.readAll("meta")).toEqual([]);
    await store.close();
  });
});

test("of a write that cannot be stored IndexedDB applies nothing", async () => {
  const store = await new IndexedDbStorage(`${Math.random()}`).open();
  const broken = { ...command("b"), payload: { text: () => {} } } as unknown as Command;
  await expect(store.write([put("a"), { collection: "commands", key: "b", value: broken }])).rejects.toThrow();
  expect(await ids(store)).toEqual([]);
});

test("IndexedDB makes way for a later version, and says that it is lost", async () => {
  const storage = new IndexedDbStorage(`${Math.random()}`);
  const store = await storage.open();
  const lost = vi.fn();
  store.onLost(lost);
  const later = await openDB(storage.sharedAs, 99);
  expect(lost).toHaveBeenCalledExactlyOnceWith(expect.any(StorageError));
  later.close();
  await expect(storage.open()).rejects.toMatchObject({ name: "VersionError" });
});

test("a write that a crash has cut off is not there, and what was before it is", async () => {
  const directory = await folder();
  const before = await new FileStorage(directory).open();
  await before.write([put("a")]);
  await before.close();
  await appendFile(path.join(directory, "journal.jsonl"), '[["commands",{"id":"b"');
  const after = await new FileStorage(directory).open();
  expect(await ids(after)).toEqual(["a"]);
  await after.write([put("c")]);
  await after.close();
  const again = await new FileStorage(directory).open();
  expect(await ids(again)).toEqual(["a", "c"]);
  await again.close();
});

test("the journal is rewritten before it grows without end", async () => {
  const directory = await folder();
  const store = await new FileStorage(directory).open();
  await Promise.all(Array.from({ length: 1_100 }, (_, number) => store.write([put("a", `${number}`)])));
  await store.close();
  const lines = (await readFile(path.join(directory, "journal.jsonl"), "utf8")).split("\n");
  expect(lines.length).toBeLessThan(200);
});

test("a rewritten journal is there after a power failure: its folder is synced after the rename", async () => {
  const directory = await folder();
  const log: string[] = [];
  const handle = await open(directory);
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const sync = vi.spyOn(prototype, "sync").mockImplementation(async () => void log.push((await readdir(directory)).filter((name) => name.startsWith("journal")).join()));
  const store = await new FileStorage(directory).open();
  await store.close();
  sync.mockRestore();
  expect(log).toContain("journal.jsonl");
});

test.each(["theme", "notifications", "identity"])("a user by the name of a key of the page has a storage: %s", async (name) => {
  const items = new Map([[`parlance:${name}`, "dark"]]);
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  });
  const storage = new IndexedDbStorage(name);
  const store = await storage.open();
  await store.write([put("a")]);
  await store.close();
  storage.eraseLater(["commands"]);
  const again = await storage.open();
  expect(await ids(again)).toEqual([]);
  await again.close();
  expect([...items]).toEqual([[`parlance:${name}`, "dark"]]);
  vi.unstubAllGlobals();
});

test("a directory is opened by one at a time, and after a crash again", async () => {
  const directory = await folder();
  const first = await new FileStorage(directory).open();
  await expect(new FileStorage(directory).open()).rejects.toBeInstanceOf(StorageError);
  await first.close();
  // Of a live process, and of a dead one.
  await writeFile(path.join(directory, "lock"), String(process.ppid));
  await expect(new FileStorage(directory).open()).rejects.toThrow(`open in process ${process.ppid}`);
  await writeFile(path.join(directory, "lock"), "999999999");
  await (await new FileStorage(directory).open()).close();
});

/** Interleavings of two processes that start simultaneously. */
test.each([
  ["one that has not written its lock yet", ""],
  ["one that removes the lock of a crash too", "999999999"],
])("a directory is left to a process that is just opening it: %s", async (_, lock) => {
  const directory = await folder();
  await writeFile(path.join(directory, "lock"), lock);
  await writeFile(path.join(directory, `lock.${process.ppid}`), "");
  await expect(new FileStorage(directory).open()).rejects.toThrow(`opened by process ${process.ppid}`);
  expect(await readFile(path.join(directory, "lock"), "utf8")).toBe(lock);
  // That one crashed while opening it.
  await rename(path.join(directory, `lock.${process.ppid}`), path.join(directory, "lock.999999999"));
  const store = await new FileStorage(directory).open();
  expect(await readFile(path.join(directory, "lock"), "utf8")).toBe(String(process.pid));
  await store.close();
  expect(await readdir(directory)).toEqual(["journal.jsonl"]);
});

test("what could not be erased when its user signed out is erased before the directory is used again", async () => {
  const storage = new FileStorage(await folder());
  const before = await storage.open();
  await before.write([put("kept"), { collection: "cursors", key: "r", value: { roomId: "r", seq: 7, epoch: "1" } }]);
  storage.eraseLater(["cursors", "rooms"]);
  await before.close();
  const after = await storage.open();
  expect(await after.readAll("cursors")).toEqual([]);
  expect(await ids(after)).toEqual(["kept"]);
  // Only once: data written from then on stays.
  await after.write([{ collection: "cursors", key: "s", value: { roomId: "s", seq: 1, epoch: "1" } }]);
  await after.close();
  const again = await storage.open();
  expect(await again.readAll("cursors")).toHaveLength(1);
  await again.close();
});

test("a directory of a later version is left alone", async () => {
  const directory = await folder();
  await writeFile(path.join(directory, "journal.jsonl"), '{"version":99}\n');
  await expect(new FileStorage(directory).open()).rejects.toThrow("later version");
});
