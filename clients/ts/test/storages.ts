import "fake-indexeddb/auto";

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll } from "vitest";

import { IndexedDbStorage, MemoryStorage, type Storage, type Store } from "../src/index.js";
import { FileStorage } from "../src/node.js";

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** A folder that is removed after the tests of the file. */
export async function folder(): Promise<string> {
  const created = await mkdtemp(path.join(tmpdir(), "parlance-store-"));
  folders.push(created);
  return created;
}

/** A new storage of each kind. */
export const STORAGES: Record<string, () => Promise<Storage>> = {
  memory: async () => new MemoryStorage(),
  IndexedDB: async () => new IndexedDbStorage(`${Math.random()}`),
  files: async () => new FileStorage(await folder()),
};

/** A storage with some methods replaced. */
export function altered(change: (store: Store) => Partial<Store>, storage: Storage = new MemoryStorage()): Storage {
  return {
    open: async () => {
      const store = await storage.open();
      return { ...store, ...change(store) };
    },
    eraseLater: (collections) => storage.eraseLater?.(collections),
  };
}

/** The answer of a hanging storage. */
export const never = () => new Promise<never>(() => {});
