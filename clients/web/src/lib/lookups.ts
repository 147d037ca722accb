/** Concurrent lookups. */
const AT_ONCE = 8;
/** Pause between two lookups of low priority. */
const PAUSE_MS = 50;

/**
 * Looks up values by id, each once and few at a time: urgent ones first, the others one after the
 * other.
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

  /** `look` should not throw: refused ids have no value. */
  constructor(look: (id: string) => Promise<void>) {
    this.#look = look;
  }

  /** Looks it up, after `delayMs`, unless it was requested before. */
  want(id: string, delayMs = 0): void {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    this.#after(delayMs, () => {
      this.#wanted.push(id);
      this.#go();
    });
  }

  /** Looks these up when there is nothing else to do. */
  mayWant(ids: Iterable<string>): void {
    for (const id of ids) if (!this.#asked.has(id)) this.#spare.push(id);
    this.#after(PAUSE_MS, () => this.#go());
  }

  /** Its value is known by other means. */
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
