import { type Change, type Collection, COLLECTIONS, type Records, type Storage, type Store } from "./store.js";

/** In-memory records of every collection. */
export class Tables {
  readonly #tables = new Map<Collection, Map<string, unknown>>(COLLECTIONS.map((name) => [name, new Map()]));

  get<C extends Collection>(collection: C, key: string): Records[C] | undefined {
    return this.table(collection).get(key);
  }

  table<C extends Collection>(collection: C): Map<string, Records[C]> {
    return this.#tables.get(collection) as Map<string, Records[C]>;
  }

  apply(changes: readonly Change[]): void {
    for (const { collection, key, value } of changes) {
      const table = this.#tables.get(collection);
      if (value === undefined) table?.delete(key);
      else table?.set(key, value);
    }
  }
}

/** Keeps data while the process lives. Opened again, it has the same data. */
export class MemoryStorage implements Storage {
  readonly #tables = new Tables();

  async open(): Promise<Store> {
    const tables = this.#tables;
    return {
      read: async (collection, key) => tables.get(collection, key),
      readAll: async (collection) => [...tables.table(collection).values()],
      write: async (changes) => tables.apply(changes),
      update: async (collection, key, next) => {
        const value = next(tables.get(collection, key));
        tables.apply([{ collection, key, value } as Change]);
        return value;
      },
      onLost: () => {},
      close: async () => {},
    };
  }
}
