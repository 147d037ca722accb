import { callEach } from "./emitter.js";

/** Named values that are replaced when they change, with their subscribers. */
export class Slices<Values extends object> {
  readonly #read: <Name extends keyof Values>(name: Name) => Values[Name];
  readonly #listeners = new Map<keyof Values, Set<() => void>>();
  readonly #shown = new Map<keyof Values, unknown>();

  constructor(read: <Name extends keyof Values>(name: Name) => Values[Name]) {
    this.#read = read;
  }

  subscribe(name: keyof Values, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // The same function may be passed twice.
    const own = () => listener();
    listeners.add(own);
    if (listeners.size === 1) this.#shown.set(name, this.#read(name));
    return () => {
      listeners.delete(own);
      if (listeners.size === 0) this.#shown.delete(name);
    };
  }

  /** Whether anyone has subscribed to it. */
  isWatched(name: keyof Values): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  /** Calls the listeners of slices whose value has changed since the last call. */
  notify(): void {
    for (const [name, listeners] of this.#listeners) {
      if (listeners.size === 0) continue;
      const value = this.#read(name);
      if (value === this.#shown.get(name)) continue;
      this.#shown.set(name, value);
      callEach(listeners);
    }
  }
}
