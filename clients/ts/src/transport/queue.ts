/** Maximum number of consumed items still in memory. */
const MAX_TAKEN = 1_024;

/** A queue between a producer and a consumer. */
export class Queue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  /** Number of consumed items at the start: shifting each would move all others. */
  #taken = 0;
  #ended: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake();
  }

  /** Ends the queue. */
  end(): void {
    this.#ended ??= {};
    this.#wake();
  }

  /** Ends the queue with an error. */
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
