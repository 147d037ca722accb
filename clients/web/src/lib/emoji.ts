import url from "virtual:emoji";

import { Loader } from "./loader";

export interface Emoji {
  readonly emoji: string;
  readonly label: string;
  /** Short codes such as `tada`, the most common one first. */
  readonly codes: readonly string[];
  /** Additional search words. */
  readonly tags: readonly string[];
}

export interface EmojiGroup {
  readonly name: string;
  readonly emoji: readonly Emoji[];
}

/** Shown before all others. */
export const QUICK = ["👍", "❤️", "😂", "🎉", "😮", "😢"];

/** The form of the file: for each emoji itself, its label, its short codes and its tags. */
type EmojiFile = readonly {
  readonly name: string;
  readonly emoji: readonly (readonly [string, string, readonly string[], readonly string[]])[];
}[];

const loader = new Loader(async (): Promise<readonly EmojiGroup[]> => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`status ${response.status}`);
  const file = (await response.json()) as EmojiFile;
  return file.map(({ name, emoji }) => ({ name, emoji: emoji.map(([emoji, label, codes, tags]) => ({ emoji, label, codes, tags })) }));
});

/** All emoji, loaded on first use. A failed load is retried. */
export const emojiGroups = (): Promise<readonly EmojiGroup[]> => loader.load();

/** How well an emoji matches a word, lower is better; undefined if it does not. */
function rankOf({ label, codes, tags }: Emoji, wanted: string): number | undefined {
  const name = label.toLowerCase();
  // "heart" should find ❤ (`:heart:`, "red heart") before faces with hearts.
  if (codes.includes(wanted)) return codes[0] === wanted ? 0 : 1;
  if (name === wanted) return 1;
  if (codes.some((code) => code.startsWith(wanted))) return 2;
  if (name.split(" ").some((word) => word.startsWith(wanted)) || name.startsWith(wanted)) return 3;
  if (tags.some((tag) => tag === wanted)) return 4;
  if (tags.some((tag) => tag.startsWith(wanted))) return 5;
  if (name.includes(wanted) || codes.some((code) => code.includes(wanted))) return 6;
  return tags.some((tag) => tag.includes(wanted)) ? 7 : undefined;
}

/** The emoji that match a word, best first: by short code, then by name, then by tag. */
export function matchingEmoji(all: readonly Emoji[], typed: string, most: number): Emoji[] {
  const wanted = typed.trim().toLowerCase();
  const ranked = all.flatMap((emoji) => {
    const rank = rankOf(emoji, wanted);
    return rank === undefined ? [] : [{ emoji, rank }];
  });
  return ranked.sort((a, b) => a.rank - b.rank).slice(0, most).map(({ emoji }) => emoji);
}
