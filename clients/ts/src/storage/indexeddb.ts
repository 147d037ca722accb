import type { Storage, StoredMessage } from "./storage.js";

const STORE = "outbox";

/** Keeps them in the browser, over reloads and crashes. */
export class IndexedDbStorage implements Storage {
  readonly #database: Promise<IDBDatabase>;

  /** One database for each user: `name` has to say whose it is. */
  constructor(name: string) {
    const request = indexedDB.open(`parlance:${name}`, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    this.#database = done(request);
  }

  async load(): Promise<StoredMessage[]> {
    return done((await this.#store("readonly")).getAll() as IDBRequest<StoredMessage[]>);
  }

  async put(message: StoredMessage): Promise<void> {
    await done((await this.#store("readwrite")).put(message));
  }

  async delete(id: string): Promise<void> {
    await done((await this.#store("readwrite")).delete(id));
  }

  async #store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    return (await this.#database).transaction(STORE, mode).objectStore(STORE);
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
