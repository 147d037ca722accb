import { type IDBPDatabase, type IDBPTransaction, openDB } from "idb";

import type { Change, KEY, StorageError, Store } from "./store.js";
import { STORE_VERSION } from "./version.js";
import { commandOf, type Version1Message } from "./version1.js";

/** The object store of version 1. */
const OUTBOX = "outbox";

/** What {@link openDatabase} needs of the rest. */
interface Needed {
  readonly keys: typeof KEY;
  /** The key in the page's storage under which collections to be erased are recorded. */
  readonly erase: string;
  readonly Failure: typeof StorageError;
  readonly blocked: ((why: Error) => void) | undefined;
}

/**
 * Opens a database, and migrates it. Loaded on demand by {@link IndexedDbStorage}: what both use is passed on, because an import of
 * it would split the rest of the client into two files.
 */
export async function openDatabase(name: string, { keys, erase, Failure, blocked }: Needed): Promise<Store> {
  const losses: ((why: Error) => void)[] = [];
  let loss: Error | undefined;
  const lose = (why: string) => {
    if (loss) return;
    loss = new Failure(why);
    for (const listener of losses) listener(loss);
  };
  const database = await openDB(name, STORE_VERSION, {
    upgrade: (database, from, _to, transaction) => migrate(database, keys, from, transaction),
    blocked: () => blocked?.(new Failure("another tab holds an earlier version of the database open")),
    // It is to be deleted, or upgraded by a later version: neither can start while it is open here.
    blocking: (_current, _blocked, event) => {
      (event.target as IDBDatabase).close();
      lose("the database is deleted or upgraded elsewhere");
    },
    terminated: () => lose("the browser closed the database"),
  });
  await eraseNoted(database, erase);
  return {
    read: (collection, key) => database.get(collection, key),
    readAll: (collection) => database.getAll(collection),
    write: (changes) => write(database, changes),
    update: async (collection, key, next) => {
      const transaction = database.transaction(collection, "readwrite");
      const value = next(await transaction.store.get(key));
      if (value === undefined) await transaction.store.delete(key);
      else await transaction.store.put(value);
      await transaction.done;
      return value;
    },
    onLost: (listener) => (loss ? listener(loss) : void losses.push(listener)),
    close: async () => database.close(),
  };
}

/** Erases what could not be erased when its user signed out. */
async function eraseNoted(database: IDBPDatabase, key: string): Promise<void> {
  // Without it nothing can have been recorded.
  if (typeof localStorage === "undefined") return;
  const noted = localStorage.getItem(key);
  if (noted === null) return;
  const names = (JSON.parse(noted) as string[]).filter((name) => database.objectStoreNames.contains(name));
  const transaction = database.transaction(names, "readwrite");
  for (const name of names) await transaction.objectStore(name).clear();
  await transaction.done;
  localStorage.removeItem(key);
}

async function write(database: IDBPDatabase, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return;
  const names = [...new Set(changes.map(({ collection }) => collection))];
  const transaction = database.transaction(names, "readwrite");
  const requests: Promise<unknown>[] = [transaction.done];
  try {
    for (const { collection, key, value } of changes) {
      const store = transaction.objectStore(collection);
      requests.push(value === undefined ? store.delete(key) : store.put(value));
    }
    await Promise.all(requests);
  } catch (error) {
    // A record that cannot be stored fails the whole transaction: the others are rejected, too.
    for (const request of requests) request.catch(() => {});
    try {
      transaction.abort();
    } catch {
      // It was already aborted.
    }
    throw error;
  }
}

async function migrate(
  database: IDBPDatabase,
  keys: typeof KEY,
  from: number,
  transaction: IDBPTransaction<unknown, string[], "versionchange">,
): Promise<void> {
  for (const [collection, keyPath] of Object.entries(keys)) {
    if (!database.objectStoreNames.contains(collection)) database.createObjectStore(collection, { keyPath });
  }
  if (from !== 1) return;
  // Unacknowledged messages.
  const messages = (await transaction.objectStore(OUTBOX).getAll()) as Version1Message[];
  for (const message of messages) await transaction.objectStore("commands").put(commandOf(message));
  database.deleteObjectStore(OUTBOX);
}
