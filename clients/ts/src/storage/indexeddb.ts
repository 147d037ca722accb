import { type Collection, KEY, type Storage, StorageError, type Store } from "./store.js";

/** A store in the browser, persistent across reloads and crashes. */
export class IndexedDbStorage implements Storage {
  readonly sharedAs: string;

  /** The key of what is to be erased. The page has keys of its own, which are named like databases. */
  readonly #erase: string;

  /** One database per user: `name` has to identify the user. */
  constructor(name: string) {
    this.sharedAs = `parlance:${name}`;
    this.#erase = `parlance-erase:${name}`;
  }

  async open(blocked?: (why: Error) => void): Promise<Store> {
    if (typeof indexedDB === "undefined") throw new StorageError("this runtime has no IndexedDB");
    // Loaded on demand.
    const { openDatabase } = await import("./indexeddb-store.js");
    return openDatabase(this.sharedAs, { keys: KEY, erase: this.#erase, Failure: StorageError, blocked });
  }

  /** Recorded elsewhere: a hanging database would not accept it. */
  eraseLater(collections: readonly Collection[]): void {
    try {
      localStorage.setItem(this.#erase, JSON.stringify(collections));
    } catch {
      // Missing or full.
    }
  }
}
