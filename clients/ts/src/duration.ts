/** The longest that a duration of the contract can be, about 10,000 years. */
const LONGEST_MS = 3e14;

/** Seconds as a duration of the contract, to the millisecond. What is no length of time is 0, which servers refuse: left out, it would be the longest. */
export function durationOf(seconds: number): { seconds: number; nanos: number } {
  const milliseconds = Math.round(Math.max(-LONGEST_MS, Math.min(seconds * 1_000, LONGEST_MS))) || 0;
  return { seconds: Math.trunc(milliseconds / 1_000), nanos: (milliseconds % 1_000) * 1_000_000 };
}
