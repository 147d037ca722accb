/** So many at once. */
const AT_ONCE = 8;
/** Between two of those that nobody waits for. */
const PAUSE_MS = 50;

/**
 * Looks things up by their ids, each id once and few at a time: what is wanted before what may be
 * wanted, and of that one after the other.
 */
export class Lookups {
  readonly #look: (id: string) => Promise<void>;
  /** Ids that need not be looked up (again). */
  readonly #asked = new Set<string>();
  readonly #wanted: string[] = [];
  readonly #spare: string[] = [];
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #running = 0;
  #isPausing = false;

  /** `look` is not expected to throw: of what is refused there is nothing to be had. */
  constructor(look: (id: string) => Promise<void>) {
    this.#look = look;
  }

  /** Looks it up, after `delayMs`, unless that was asked for before. */
  want(id: string, delayMs = 0): void {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    this.#after(delayMs, () => {
      this.#wanted.push(id);
      this.#go();
    });
  }

  /** Looks these up when there is nothing else to be done. */
  mayWant(ids: Iterable<string>): void {
    for (const id of ids) if (!this.#asked.has(id)) this.#spare.push(id);
    this.#after(PAUSE_MS, () => this.#go());
  }

  /** It is known by other means. */
  know(id: string): void {
    this.#asked.add(id);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#wanted.length = this.#spare.length = 0;
  }

  #go(): void {
    while (this.#running < AT_ONCE && this.#wanted.length > 0) this.#start(this.#wanted.shift()!);
    if (this.#running > 0 || this.#isPausing) return;
    let id = this.#spare.shift();
    while (id !== undefined && this.#asked.has(id)) id = this.#spare.shift();
    if (id === undefined) return;
    this.#asked.add(id);
    this.#start(id);
    this.#isPausing = true;
    this.#after(PAUSE_MS, () => {
      this.#isPausing = false;
      this.#go();
    });
  }

  #start(id: string): void {
    this.#running += 1;
    const done = () => {
      this.#running -= 1;
      this.#go();
    };
    this.#look(id).then(done, done);
  }

  #after(milliseconds: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, milliseconds);
    this.#timers.add(timer);
  }
}
