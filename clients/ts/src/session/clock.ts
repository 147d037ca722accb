/** Time and timers, replaceable in tests. */
export interface Clock {
  /** Monotonic time in milliseconds, for timeouts. Unaffected by changes of the device's clock. */
  now(): number;
  /** Milliseconds since 1970, for display. Unlike `now`, it always includes time during which the machine
   * slept. */
  date(): number;
  /** Calls `run` once after `ms` milliseconds. Returns a function that cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Larger delays make JavaScript timers fire immediately. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
