import { SvelteSet } from "svelte/reactivity";

/** Longer messages are shown in part at first. */
const MOST_LINES = 40;
const MOST_CHARACTERS = 3_000;
/** What is shown of them then. */
const SHOWN_LINES = 20;
const SHOWN_CHARACTERS = 1_500;

/** What browsers break lines at when white space is kept. */
const BREAK = /\r\n|[\n\r\f\v\u0085\u2028\u2029]/g;

/** Keys of messages that are shown whole. Longer than a row lives: the list forgets rows that are out of sight. */
export const unfolded = new SvelteSet<string>();

/** The beginning of a message that would be very tall; undefined for all others. */
export function beginningOf(text: string): string | undefined {
  const breaks = [...text.matchAll(BREAK)];
  if (breaks.length < MOST_LINES && text.length <= MOST_CHARACTERS) return undefined;
  const end = Math.min(breaks[SHOWN_LINES - 1]?.index ?? Infinity, SHOWN_CHARACTERS);
  // Not through the middle of a surrogate pair.
  return text.slice(0, end).replace(/[\uD800-\uDBFF]$/, "").trimEnd() + "…";
}
