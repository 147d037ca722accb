/** Seeded random numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed;
  }

  /** From 0 to less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** An integer from `from` to `to`, inclusive. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.int(0, all.length - 1)] as T;
  }

  /** A shuffled copy of a list. */
  shuffle<T>(list: readonly T[]): T[] {
    return list.map((element) => [this.next(), element] as const).sort(([a], [b]) => a - b).map(([, element]) => element);
  }

  /** All elements of all lists; those of one list stay in order. */
  interleave<T>(lists: readonly (readonly T[])[]): T[] {
    const rest = lists.map((list) => [...list]).filter((list) => list.length > 0);
    const result: T[] = [];
    while (rest.length > 0) {
      const at = this.int(0, rest.length - 1);
      result.push(rest[at]!.shift()!);
      if (rest[at]!.length === 0) rest.splice(at, 1);
    }
    return result;
  }
}

/** Runs a check with many seeds, and names the failing one. */
export function seeds(runs: number, check: (random: Random) => void): void {
  for (let seed = 1; seed <= runs; seed++) {
    try {
      check(new Random(seed));
    } catch (error) {
      throw new Error(`seed ${seed}: ${error}`, { cause: error });
    }
  }
}
