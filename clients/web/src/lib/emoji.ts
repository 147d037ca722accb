export interface Emoji {
  readonly emoji: string;
  readonly label: string;
  readonly words: string;
}

export interface EmojiGroup {
  readonly name: string;
  readonly emoji: readonly Emoji[];
}

/** Shown before all others. */
export const QUICK = ["👍", "❤️", "😂", "🎉", "😮", "😢"];

let groups: Promise<readonly EmojiGroup[]> | undefined;

/** All of them; loaded when they are first wanted. */
export function emojiGroups(): Promise<readonly EmojiGroup[]> {
  return (groups ??= import("virtual:emoji").then(({ default: all }) =>
    all.map(({ name, emoji }) => ({ name, emoji: emoji.map(([emoji, label, words]) => ({ emoji, label, words })) })),
  ));
}
