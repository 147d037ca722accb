/** Maximum text of a message, in bytes of UTF-8, as on servers (`Limits.max_text_bytes`). */
export const MAX_TEXT_BYTES = 16_384;
/** The composer shows the remaining bytes from this number on. */
const WARN_BYTES = 1_000;

const encoder = new TextEncoder();

/** How many more bytes a text may have, negative if it is too long; undefined while that is far off. */
export function bytesLeft(text: string, max = MAX_TEXT_BYTES, warn = WARN_BYTES): number | undefined {
  // A UTF-16 unit has at most three bytes, so most texts need not be counted.
  if (text.length * 3 < max - warn) return undefined;
  const left = max - encoder.encode(text).length;
  return left < warn ? left : undefined;
}
