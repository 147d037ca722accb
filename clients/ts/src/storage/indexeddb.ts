import { type Collection, type Storage, StorageError, type Store } from "./store.js";

/** Stores in the browser, over reloads and crashes. */
export class IndexedDbStorage implements Storage {
  readonly sharedAs: string;

  /** One database for each user: `name` has to say whose it is. */
  constructor(name: string) {
    this.sharedAs = `parlance:${name}`;
  }

  async open(blocked?: (why: Error) => void): Promise<Store> {
    if (typeof indexedDB === "undefined") throw new StorageError("this runtime has no IndexedDB");
    // Loaded where it is used.
    const { openDatabase } = await import("./indexeddb-store.js");
    return openDatabase(this.sharedAs, blocked);
  }

  /** Noted in another place: a database that hangs would not take it. */
  eraseLater(collections: readonly Collection[]): void {
    try {
      localStorage.setItem(this.sharedAs, JSON.stringify(collections));
    } catch {
      // There is none, or it is full.
    }
  }
}
