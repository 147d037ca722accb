import { SvelteSet } from "svelte/reactivity";

/** Longer messages are collapsed at first. */
const MOST_LINES = 40;
const MOST_CHARACTERS = 3_000;
/** Lines shown of a collapsed message. */
const SHOWN_LINES = 20;
const SHOWN_CHARACTERS = 1_500;

/** Line breaks of browsers when white space is preserved. */
const BREAK = /\r\n|[\n\r\f\v\u0085\u2028\u2029]/g;

/** Keys of expanded messages. Kept beyond the life of a row: the list drops rows that are out of sight. */
export const unfolded = new SvelteSet<string>();

/** The beginning of a message that would be very tall; undefined for all others. */
export function beginningOf(text: string): string | undefined {
  const breaks = [...text.matchAll(BREAK)];
  if (breaks.length < MOST_LINES && text.length <= MOST_CHARACTERS) return undefined;
  const end = Math.min(breaks[SHOWN_LINES - 1]?.index ?? Infinity, SHOWN_CHARACTERS);
  // Not in the middle of a surrogate pair.
  return text.slice(0, end).replace(/[\uD800-\uDBFF]$/, "").trimEnd() + "…";
}
