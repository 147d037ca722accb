import { Emitter } from "./emitter.js";

/** Named values that are replaced when they change, with their subscribers. */
export class Slices<Values extends object> extends Emitter<Values> {
  readonly #read: <Name extends keyof Values>(name: Name) => Values[Name];
  /** Subscribed values as of the last notification. */
  readonly #shown = new Map<keyof Values, Values[keyof Values]>();

  constructor(read: <Name extends keyof Values>(name: Name) => Values[Name]) {
    super();
    this.#read = read;
  }

  subscribe(name: keyof Values, listener: () => void): () => void {
    // The same function may be passed twice.
    const off = this.on(name, () => listener());
    if (!this.#shown.has(name)) this.#shown.set(name, this.#read(name));
    return () => {
      off();
      if (!this.hasListeners(name)) this.#shown.delete(name);
    };
  }

  /** Calls the listeners of slices whose value has changed since the last call. */
  notify(): void {
    for (const [name, before] of this.#shown) {
      const value = this.#read(name);
      if (value === before) continue;
      this.#shown.set(name, value);
      this.emit(name, value);
    }
  }
}
