/** A value and the seq of its room at which it is valid. */
export interface Versioned<T> {
  readonly value: T;
  readonly seq: number;
}

/** An event's value at `seq`, unless the current one is more recent. */
export function fromEvent<T>(held: Versioned<T>, value: T, seq: number): Versioned<T> {
  return seq > held.seq ? { value, seq } : held;
}

/** The value of a snapshot that includes every event up to `seq`, unless the current one is
 * more recent. */
export function fromSnapshot<T>(held: Versioned<T>, value: T, seq: number): Versioned<T> {
  return seq >= held.seq ? { value, seq } : held;
}

/**
 * A number set by snapshots and updated by events: the members of a room. Events that arrive
 * before their snapshot, or after a hole, wait for it.
 */
export interface Counter {
  /** The count at `seq`. */
  readonly base: number;
  /** -1 before the first snapshot. */
  readonly seq: number;
  /** Steps after `seq` that are not included in `base`. */
  readonly steps: readonly { readonly seq: number; readonly by: number }[];
  /** Events up to here may be missing: only a snapshot at or above it gives the count. */
  readonly missingTo: number;
}

/** Steps that wait for a snapshot. */
const MAX_STEPS = 256;

export const UNCOUNTED: Counter = { base: 0, seq: -1, steps: [], missingTo: 0 };

/** The count, as far as known. */
export function countOf({ base, steps }: Counter): number {
  return Math.max(0, steps.reduce((sum, { by }) => sum + by, base));
}

/** Whether the count is right as of the last received event. */
export function isCounted({ seq, missingTo }: Counter): boolean {
  return seq >= missingTo && seq >= 0;
}

export function countStep(counter: Counter, seq: number, by: number): Counter {
  if (seq <= counter.seq || counter.steps.some((step) => step.seq === seq)) return counter;
  if (isCounted(counter) && counter.steps.length === 0) return { ...counter, base: counter.base + by, seq };
  const steps = [...counter.steps, { seq, by }];
  const dropped = steps.length > MAX_STEPS ? steps.shift() : undefined;
  return countHole({ ...counter, steps }, dropped?.seq ?? 0);
}

/** Events up to `seq` will not be received. */
export function countHole(counter: Counter, seq: number): Counter {
  return seq <= counter.seq || seq <= counter.missingTo ? counter : { ...counter, missingTo: seq };
}

export function countSnapshot(counter: Counter, count: number, seq: number): Counter {
  if (seq < counter.seq) return counter;
  const next = { ...counter, base: count, seq, steps: counter.steps.filter((step) => step.seq > seq) };
  const last = next.steps.at(-1);
  return last && isCounted(next) ? { ...next, base: countOf(next), seq: last.seq, steps: [] } : next;
}
