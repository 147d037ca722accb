/** Time and timers, so that tests can bring their own. */
export interface Clock {
  /** Monotonic time in milliseconds, for time limits. Setting the device's clock does not change it. */
  now(): number;
  /** Milliseconds since 1970, for times that people read. Unlike `now` it always counts a sleep of the machine. */
  date(): number;
  /** Calls `run` once after `ms` milliseconds. Returns a function that cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Timers of JavaScript fire at once beyond this. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
