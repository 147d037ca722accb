/** A unique name: 96 bits, hexadecimal. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const FIRST_MS = 250;
const LONGEST_MS = 20_000;

/** The delay after this many consecutive failures: doubling, with jitter. */
export function backoff(failures: number): number {
  const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return most * (0.5 + Math.random() / 2);
}
