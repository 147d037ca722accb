/** The longest that a duration of the contract can be, about 10,000 years. */
const LONGEST_MS = 3e14;

/** Seconds as a duration of the contract, to the millisecond. What is no length of time, or a negative one, is 0, which servers refuse: left out, it would be the longest. */
export function durationOf(seconds: number): { seconds: bigint; nanos: number } {
  const milliseconds = seconds > 0 ? Math.min(Math.round(seconds * 1_000), LONGEST_MS) : 0;
  const rest = milliseconds % 1_000;
  return { seconds: BigInt((milliseconds - rest) / 1_000), nanos: rest * 1_000_000 };
}
