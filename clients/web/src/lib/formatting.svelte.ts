import type { Block, Inline } from "./blocks";
import { Loader } from "./loader";
import { mentions } from "./text";

/** Known names of users. */
export interface Names {
  knows(userId: string): boolean;
  name(userId: string): string;
}

/** What a formatted text has in it. Others are not parsed. */
const MARKED = /[*_`]|\]\(|\\|^ {0,3}(?:>|[-+] |\d{1,9}[.)] )/m;

type Parse = typeof import("./markdown").parsed;
let parse = $state.raw<Parse>();
const loader = new Loader(async () => void (parse = (await import("./markdown")).parsed));

/** The blocks of a message; undefined if nothing in it is formatted, and until the parser is loaded, on first use. */
export function blocksOf(text: string, isPerson: (userId: string) => boolean): readonly Block[] | undefined {
  if (!MARKED.test(text)) return undefined;
  if (parse) return parse(text, isPerson);
  // Shown as it was written if it cannot be loaded.
  loader.load().catch(() => {});
  return undefined;
}

/** A message as plain text, for quotes and notifications: with names instead of ids, without the marks that format it. */
export function plainText(text: string, names: Names): string {
  const pieces = mentions(onOneLine(text), (userId) => names.knows(userId));
  return pieces.map((piece) => ("mention" in piece ? `@${names.name(piece.mention)}` : piece.text)).join("");
}

/** A message on one line: without the marks that format it. */
export function onOneLine(text: string): string {
  const blocks = blocksOf(text, () => false);
  return blocks ? blocks.map(lineOf).join(" ") : text;
}

function lineOf(block: Block): string {
  if (block.kind === "code") return block.text;
  if (block.kind === "paragraph") return wordsOf(block.inlines);
  if (block.kind === "quote") return block.blocks.map(lineOf).join(" ");
  return block.items.flat().map(lineOf).join(" ");
}

function wordsOf(inlines: readonly Inline[]): string {
  return inlines
    .map((inline) => {
      if (inline.kind === "text") return inline.pieces.map(({ text }) => text).join("");
      return inline.kind === "code" ? inline.text : wordsOf(inline.inlines);
    })
    .join("");
}
