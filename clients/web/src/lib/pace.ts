/** Runs something immediately, and again if requested meanwhile, but rate-limited. */
export class Pace {
  readonly #work: () => void;
  readonly #everyMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWanted = false;

  constructor(everyMs: number, work: () => void) {
    [this.#everyMs, this.#work] = [everyMs, work];
  }

  soon(): void {
    this.#isWanted = true;
    if (this.#timer !== undefined) return;
    this.#isWanted = false;
    this.#work();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isWanted) this.soon();
    }, this.#everyMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#isWanted = false;
  }
}
