import { tokenize } from "linkifyjs";

/** A part of a message: never markup, which only the page itself generates. */
export type Piece = { text: string } | { text: string; href: string } | { text: string; mention: string };

/** Allowed schemes of links: none that can execute code. */
const SCHEMES = new Set(["http:", "https:", "mailto:"]);
/** Not within an address or a word. */
const MENTION = /(?<![\p{L}\p{N}._@/-])@([\p{L}\p{N}][\p{L}\p{N}._-]*)/gu;

/** Splits a message into parts; `isPerson` decides which of the ids after an `@` are users. */
export function piecesOf(text: string, isPerson: (userId: string) => boolean): Piece[] {
  return tokenize(text).flatMap((token): Piece[] => {
    const value = token.toString();
    if (token.isLink) {
      const href = token.toHref("https");
      if (isWebLink(href)) return [{ text: value, href }];
    }
    return mentions(value, isPerson);
  });
}

/** Whether an address may be linked to. */
export function isWebLink(href: string): boolean {
  return URL.canParse(href) && SCHEMES.has(new URL(href).protocol);
}

/** Splits a text at its mentions. */
export function mentions(text: string, isPerson: (userId: string) => boolean): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(MENTION)) {
    const userId = personIn(match[1]!, isPerson);
    if (userId === undefined) continue;
    if (match.index > from) pieces.push({ text: text.slice(from, match.index) });
    from = match.index + 1 + userId.length;
    pieces.push({ text: `@${userId}`, mention: userId });
  }
  if (from < text.length) pieces.push({ text: text.slice(from) });
  return pieces;
}

/** `bob` in "@bob." */
function personIn(word: string, isPerson: (userId: string) => boolean): string | undefined {
  const candidates = [word, word.replace(/[._-]+$/, "")];
  return candidates.find(isPerson);
}

/** `@all`: everyone in the room, if it is written by somebody who may mention them. */
export const ALL = "all";

/** Whether a message mentions a user, or everyone. */
export function isFor({ text, mentionsAll, deleted }: { text: string; mentionsAll: boolean; deleted: boolean }, userId: string): boolean {
  return !deleted && (mentionsAll || mentionsOf(text, userId));
}

/** Whether it mentions a user. */
export function mentionsOf(text: string, userId: string): boolean {
  // Checked for every message.
  if (!text.includes(`@${userId}`)) return false;
  return mentions(text, (id) => id === userId).some((piece) => "mention" in piece);
}

/** Only a few emoji: they are displayed large. */
export function isJumbo(text: string): boolean {
  return text.length <= 24 && /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\u200d|\ufe0f|\s)+$/u.test(text) && /\p{Extended_Pictographic}/u.test(text);
}
