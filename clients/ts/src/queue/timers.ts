/** Timers by name: setting one again replaces it. */
export class Timers {
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  set(name: string, ms: number, then: () => void): void {
    this.cancel(name);
    const run = () => {
      this.#timers.delete(name);
      then();
    };
    this.#timers.set(name, setTimeout(run, ms));
  }

  cancel(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  cancelAll(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
