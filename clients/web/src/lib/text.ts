import { tokenize } from "linkifyjs";

/** A piece of a message: never markup, only what the page itself builds from it. */
export type Piece = { text: string } | { text: string; href: string } | { text: string; mention: string };

/** Schemes that a link may have. What runs is none of them. */
const SCHEMES = new Set(["http:", "https:", "mailto:"]);
/** Not within an address or a word. */
const MENTION = /(?<![\p{L}\p{N}._@/-])@([\p{L}\p{N}][\p{L}\p{N}._-]*)/gu;

/** A message in pieces; `isPerson` says which of the ids behind an `@` are people. */
export function piecesOf(text: string, isPerson: (userId: string) => boolean): Piece[] {
  return tokenize(text).flatMap((token): Piece[] => {
    const value = token.toString();
    if (token.isLink) {
      const href = token.toHref("https");
      if (URL.canParse(href) && SCHEMES.has(new URL(href).protocol)) return [{ text: value, href }];
    }
    return mentions(value, isPerson);
  });
}

function mentions(text: string, isPerson: (userId: string) => boolean): Piece[] {
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

/** What is known of people's names. */
export interface Names {
  knows(userId: string): boolean;
  name(userId: string): string;
}

/** A message as plain text, as lists, quotes and notifications show it: with names instead of ids. */
export function plainText(text: string, names: Names): string {
  const pieces = mentions(text, (userId) => names.knows(userId));
  return pieces.map((piece) => ("mention" in piece ? `@${names.name(piece.mention)}` : piece.text)).join("");
}

/** Whether someone is mentioned in it. */
export function mentionsOf(text: string, userId: string): boolean {
  // Asked of every message.
  if (!text.includes(`@${userId}`)) return false;
  return mentions(text, (id) => id === userId).some((piece) => "mention" in piece);
}

/** Nothing but emoji, and few: they are shown large. */
export function isJumbo(text: string): boolean {
  return text.length <= 24 && /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\u200d|\ufe0f|\s)+$/u.test(text) && /\p{Extended_Pictographic}/u.test(text);
}
