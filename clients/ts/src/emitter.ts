/** Tells listeners what happens, by name. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` from now on. Returns what ends that. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as (event: never) => void));
    return () => void listeners.delete(listener as (event: never) => void);
  }

  /**
   * What happens from now on, until `signal` or the end of the loop. What the loop has not
   * taken yet waits in memory.
   */
  async *events<Name extends keyof Events>(name: Name, signal?: AbortSignal): AsyncGenerator<Events[Name], void> {
    const waiting: Events[Name][] = [];
    let wake = () => {};
    const off = this.on(name, (event) => {
      waiting.push(event);
      wake();
    });
    const aborted = () => wake();
    signal?.addEventListener("abort", aborted);
    try {
      while (!signal?.aborted) {
        if (waiting.length > 0) yield waiting.shift() as Events[Name];
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
      signal?.removeEventListener("abort", aborted);
    }
  }

  /** @internal Whether anyone listens. */
  hasListeners(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      // One listener that fails is not the others' business, nor the connection's.
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
