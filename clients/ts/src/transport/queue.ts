/** Items that were taken and are still held at most. */
const MAX_TAKEN = 1_024;

/** What one side puts in, for the other to take out in order; holds what is not taken yet. */
export class Queue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  /** Those before it are taken: to shift each would move all behind it. */
  #taken = 0;
  #ended: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake();
  }

  /** Nothing follows. */
  end(): void {
    this.#ended ??= {};
    this.#wake();
  }

  /** Nothing follows, since it broke. */
  fail(error: unknown): void {
    this.#ended ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      if (this.#taken < this.#items.length) yield this.#take();
      else if (this.#ended) {
        if ("error" in this.#ended) throw this.#ended.error;
        return;
      } else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #take(): T {
    const item = this.#items[this.#taken++] as T;
    if (this.#taken >= MAX_TAKEN || this.#taken === this.#items.length) {
      this.#items = this.#items.slice(this.#taken);
      this.#taken = 0;
    }
    return item;
  }
}
