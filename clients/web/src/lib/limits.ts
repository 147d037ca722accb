/** Largest text of a message, in bytes of UTF-8, as servers have it (`Limits.max_text_bytes`). */
export const MAX_TEXT_BYTES = 16_384;
/** When so few bytes are left, the composer says so. */
const WARN_BYTES = 1_000;

const encoder = new TextEncoder();

/** How many more bytes a message may have, negative where it is too long; undefined while that is far off. */
export function bytesLeft(text: string, max = MAX_TEXT_BYTES): number | undefined {
  // A UTF-16 unit has three bytes at most, so that most texts need no counting.
  if (text.length * 3 < max - WARN_BYTES) return undefined;
  const left = max - encoder.encode(text).length;
  return left < WARN_BYTES ? left : undefined;
}
