import type { Piece } from "./text";

/** A part of a line. */
export type Inline =
  | { kind: "text"; pieces: readonly Piece[] }
  | { kind: "code"; text: string }
  | { kind: "strong" | "emphasis"; inlines: readonly Inline[] }
  | { kind: "link"; href: string; inlines: readonly Inline[] };

/** A part of a message. Never markup, which only the page itself generates. */
export type Block =
  | { kind: "paragraph"; inlines: readonly Inline[] }
  | { kind: "code"; text: string }
  | { kind: "quote"; blocks: readonly Block[] }
  /** `start`: the number of the first item; undefined if they are not numbered. */
  | { kind: "list"; start: number | undefined; items: readonly (readonly Block[])[] };
