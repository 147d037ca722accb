/** An incomplete word before the caret: a mention or an emoji. */
export interface Unfinished {
  readonly kind: "mention" | "emoji";
  /** The typed part, without its `@` or `:`. */
  readonly typed: string;
  /** Where it starts, with its `@` or `:`. */
  readonly from: number;
  readonly to: number;
}

const MENTION = /(?:^|[\s(])@([\p{L}\p{N}._-]*)$/u;
const EMOJI = /(?:^|\s):([a-z][a-z0-9_+-]+|[+-]1)$/i;

/** The word being typed at the caret, if it can be completed. */
export function unfinished(text: string, caret: number): Unfinished | undefined {
  const before = text.slice(0, caret);
  for (const [kind, pattern] of [["mention", MENTION], ["emoji", EMOJI]] as const) {
    const typed = pattern.exec(before)?.[1];
    if (typed !== undefined) return { kind, typed, from: caret - typed.length - 1, to: caret };
  }
  return undefined;
}

/** The text with the word completed, and the new position of the caret. */
export function completed(text: string, { from, to }: Unfinished, by: string): { text: string; caret: number } {
  const space = text[to] === " " ? "" : " ";
  return { text: text.slice(0, from) + by + space + text.slice(to), caret: from + by.length + 1 };
}

/** Items that start with the typed text, then those that contain it. */
export function matching<T>(all: readonly T[], typed: string, words: (one: T) => readonly string[], most: number): T[] {
  const wanted = typed.toLowerCase();
  const rank = (one: T) => {
    const texts = words(one).map((word) => word.toLowerCase());
    return texts.some((text) => text.startsWith(wanted)) ? 0 : texts.some((text) => text.includes(wanted)) ? 1 : 2;
  };
  const ranked = all.map((one) => [rank(one), one] as const).filter(([place]) => place < 2);
  return ranked.sort(([a], [b]) => a - b).slice(0, most).map(([, one]) => one);
}
