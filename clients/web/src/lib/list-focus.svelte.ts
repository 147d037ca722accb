import { tick } from "svelte";

/** The context of the rows. */
interface Surroundings {
  /** Keys of all rows, from the top. Each row has its own as `data-key`. */
  readonly keys: () => readonly string[];
  /** The tab stop if no row had the focus; otherwise the first row. */
  readonly preferred?: () => string | undefined;
  readonly viewport: () => HTMLElement | undefined;
  /** Scrolls to a row, and renders it. */
  show(index: number): void;
}

const MOST_FRAMES = 30;

/** Links in lists of which only visible rows are rendered: a single tab stop, with arrow keys between rows. */
export class ListFocus {
  readonly #around: Surroundings;
  /** The last focused row. */
  #focused = $state<string>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** The row that is the tab stop. */
  readonly current = $derived.by(() => {
    const keys = this.#around.keys();
    const candidates = [this.#focused, this.#around.preferred?.()];
    return candidates.find((key) => key !== undefined && keys.includes(key)) ?? keys[0];
  });

  readonly pressed = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey || this.current === undefined) return;
    const keys = this.#around.keys();
    const last = keys.length - 1;
    const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, Home: -last, End: last };
    const by = steps[event.key];
    if (by === undefined) return;
    event.preventDefault();
    void this.on(Math.min(Math.max(keys.indexOf(this.current) + by, 0), last));
  };

  readonly focusedIn = ({ target }: FocusEvent): void => {
    if (target instanceof HTMLElement) this.#focused = target.dataset["key"] ?? this.#focused;
  };

  /** Focuses a row. */
  async on(index: number): Promise<void> {
    const key = this.#around.keys()[index];
    if (key === undefined) return;
    this.#focused = key;
    this.#around.show(index);
    await tick();
    // A new row takes the focus once it is measured.
    for (let frames = 0; frames < MOST_FRAMES && this.#focused === key; frames += 1) {
      const row = this.#around.viewport()?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
      row?.focus();
      if (row && document.activeElement === row) return;
      await new Promise(requestAnimationFrame);
    }
  }
}
