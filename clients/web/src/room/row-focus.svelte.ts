import { tick } from "svelte";

import type { Row } from "../lib/rows";

/** The context of the rows. */
interface Surroundings {
  readonly rows: () => readonly Row[];
  readonly viewport: () => HTMLElement | undefined;
  /** Scrolls to a row. */
  show(index: number): void;
  /** Returns to the composer. */
  write(): void;
}

/** The message with the keyboard focus: the list is a single tab stop, with arrow keys between messages. */
export class RowFocus {
  readonly #around: Surroundings;
  #key = $state<string>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** Its index; the last one if none had the focus. */
  readonly index = $derived.by(() => {
    const rows = this.#around.rows();
    const index = this.#key === undefined ? -1 : rows.findIndex(({ message }) => message.key === this.#key);
    return index < 0 ? rows.length - 1 : index;
  });

  /** Rows that stay in the document, wherever it is scrolled. */
  get mounted(): number[] {
    return this.#key === undefined || this.index < 0 ? [] : [this.index];
  }

  /** A row has the focus. */
  at({ message }: Row): void {
    this.#key = message.key;
  }

  /** Focuses the last message. */
  async last(): Promise<void> {
    this.#key = this.#around.rows().at(-1)?.message.key;
    await this.#focus();
  }

  /** Focuses a message, if it is there. */
  async on(seq: number): Promise<void> {
    const row = this.#around.rows().find(({ message }) => message.seq === seq);
    if (!row) return;
    this.at(row);
    await this.#focus();
  }

  readonly pressed = (event: KeyboardEvent): void => {
    // Keys within a row's own buttons are not handled.
    if (!(event.target instanceof HTMLElement) || event.target.tagName !== "ARTICLE") return;
    const rows = this.#around.rows();
    const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, Home: -rows.length, End: rows.length };
    const by = steps[event.key];
    if (event.key === "Escape") this.#around.write();
    else if (by !== undefined && !event.altKey) {
      const next = this.index + by;
      if (next >= rows.length && event.key === "ArrowDown") this.#around.write();
      else {
        this.#key = rows[Math.min(Math.max(next, 0), rows.length - 1)]?.message.key;
        void this.#focus();
      }
    } else return;
    event.preventDefault();
  };

  async #focus(): Promise<void> {
    if (this.index < 0) return;
    this.#around.show(this.index);
    await tick();
    this.#around.viewport()?.querySelector<HTMLElement>("article[tabindex='0']")?.focus();
  }
}
