/**
 * A browser storage that may be missing, forbidden or full. What it does not accept is kept
 * as long as the page.
 */
export class PageStorage {
  readonly #native: () => Storage;
  readonly #kept = new Map<string, string>();

  /** `native` may throw, or return null as in some embedded browsers. */
  constructor(native: () => Storage) {
    this.#native = native;
  }

  get(key: string): string | undefined {
    return this.#kept.get(key) ?? this.#try((storage) => storage.getItem(key)) ?? undefined;
  }

  set(key: string, value: string): void {
    const isKept = this.#try((storage) => (storage.setItem(key, value), true));
    if (isKept) this.#kept.delete(key);
    else this.#kept.set(key, value);
  }

  remove(key: string): void {
    this.#kept.delete(key);
    this.#try((storage) => storage.removeItem(key));
  }

  /** All keys with this prefix. */
  keys(prefix: string): string[] {
    const keys = [...this.#kept.keys(), ...(this.#try((storage) => Object.keys(storage)) ?? [])];
    return [...new Set(keys)].filter((key) => key.startsWith(prefix));
  }

  #try<T>(work: (storage: Storage) => T): T | undefined {
    try {
      return work(this.#native());
    } catch {
      return undefined;
    }
  }
}

/** Shared by all tabs of the browser, across restarts. */
export const shared = new PageStorage(() => localStorage);
/** Of this tab, across reloads. */
export const tab = new PageStorage(() => sessionStorage);
