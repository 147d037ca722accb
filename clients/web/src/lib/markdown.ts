import MarkdownIt, { type Token } from "markdown-it";

import type { Block, Inline } from "./blocks";
import { isWebLink, piecesOf } from "./text";

/**
 * The part of Markdown that messages are formatted with. No headings, tables, images or HTML: a message has a place
 * among others.
 */
const RULES = ["fence", "blockquote", "list", "backticks", "emphasis", "link", "escape"];
/** Deeper nested parts stay as they were written. */
const MAX_NESTING = 12;

const parser = new MarkdownIt("zero", { maxNesting: MAX_NESTING }).enable(RULES);

/** The blocks of a message; undefined if nothing in it is formatted. */
export function parsed(text: string, isPerson: (userId: string) => boolean): readonly Block[] | undefined {
  const tokens = parser.parse(text, {});
  const isPlain = tokens.every(({ type, children }) => /^(paragraph_(open|close)|inline)$/.test(type) && (children ?? []).every((child) => child.type === "text"));
  if (isPlain) return undefined;
  const inlines = (children: readonly Token[]) => new Inlines(children, isPerson).until();
  return new Blocks(tokens, inlines).until();
}

class Blocks {
  readonly #tokens: readonly Token[];
  readonly #inlines: (children: readonly Token[]) => Inline[];
  #at = 0;

  constructor(tokens: readonly Token[], inlines: (children: readonly Token[]) => Inline[]) {
    [this.#tokens, this.#inlines] = [tokens, inlines];
  }

  /** Up to the end of the enclosing block. */
  until(end?: string): Block[] {
    const blocks: Block[] = [];
    for (let token = this.#next(); token && token.type !== end; token = this.#next()) {
      if (token.type === "inline") blocks.push({ kind: "paragraph", inlines: this.#inlines(token.children ?? []) });
      else if (token.type === "fence") blocks.push({ kind: "code", text: token.content.replace(/\n$/, "") });
      else if (token.type === "blockquote_open") blocks.push({ kind: "quote", blocks: this.until("blockquote_close") });
      else if (token.type === "bullet_list_open") blocks.push({ kind: "list", start: undefined, items: this.#items("bullet_list_close") });
      else if (token.type === "ordered_list_open") {
        blocks.push({ kind: "list", start: Number(token.attrGet("start") ?? 1), items: this.#items("ordered_list_close") });
      }
    }
    return blocks;
  }

  #items(end: string): Block[][] {
    const items: Block[][] = [];
    for (let token = this.#next(); token && token.type !== end; token = this.#next()) items.push(this.until("list_item_close"));
    return items;
  }

  #next(): Token | undefined {
    return this.#tokens[this.#at++];
  }
}

class Inlines {
  readonly #tokens: readonly Token[];
  readonly #isPerson: (userId: string) => boolean;
  #at = 0;

  constructor(tokens: readonly Token[], isPerson: (userId: string) => boolean) {
    [this.#tokens, this.#isPerson] = [tokens, isPerson];
  }

  until(end?: string): Inline[] {
    const inlines: Inline[] = [];
    // Escaped characters are texts of their own.
    let text = "";
    const flush = () => {
      if (text) inlines.push({ kind: "text", pieces: piecesOf(text, this.#isPerson) });
      text = "";
    };
    for (let token = this.#next(); token && token.type !== end; token = this.#next()) {
      if (token.type === "text" || token.type === "text_special") {
        text += token.content;
        continue;
      }
      if (token.type === "softbreak" || token.type === "hardbreak") {
        text += "\n";
        continue;
      }
      flush();
      if (token.type === "code_inline") inlines.push({ kind: "code", text: token.content });
      else if (token.type === "strong_open") inlines.push({ kind: "strong", inlines: this.until("strong_close") });
      else if (token.type === "em_open") inlines.push({ kind: "emphasis", inlines: this.until("em_close") });
      else if (token.type === "link_open") inlines.push(...linked(String(token.attrGet("href") ?? ""), this.until("link_close")));
    }
    flush();
    return inlines;
  }

  #next(): Token | undefined {
    return this.#tokens[this.#at++];
  }
}

/** A label that is itself an address could name another one than where it leads: it is shown beside it. */
function linked(href: string, label: Inline[]): Inline[] {
  const isHonest = isWebLink(href) && label.every(holdsNoLink);
  if (isHonest) return [{ kind: "link", href, inlines: label }];
  return [...label, { kind: "text", pieces: [{ text: " (" }, ...piecesOf(href, () => false), { text: ")" }] }];
}

function holdsNoLink(inline: Inline): boolean {
  if (inline.kind === "text") return !inline.pieces.some((piece) => "href" in piece);
  return inline.kind === "code" ? !piecesOf(inline.text, () => false).some((piece) => "href" in piece) : inline.inlines.every(holdsNoLink);
}
