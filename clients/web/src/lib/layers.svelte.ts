interface Layer {
  readonly id: number;
  readonly close: () => void;
}

/**
 * Layers above the page, such as dialogs. Each has an entry in the browser history with the URL of the
 * page, so that "back" closes it. All history entries are created here.
 */
export class Layers {
  #open: readonly Layer[] = [];
  #count = 0;
  /** Set while going back from the entry of a closed layer: what to do then. */
  #leaving: (() => void)[] | undefined;

  constructor() {
    // After a reload there are no layers.
    if (layerOf(history.state) !== undefined) history.replaceState(null, "");
    addEventListener("popstate", () => this.#moved());
  }

  /** Opens a layer; `close` is called on "back". Returns a function to call once it is closed. */
  open(close: () => void): () => void {
    const layer = { id: ++this.#count, close };
    this.#open = [...this.#open, layer];
    this.#settled(() => {
      if (!this.#open.includes(layer)) return;
      const state = { layer: layer.id };
      // A layer that was just closed has left its entry.
      if (this.#isStale()) history.replaceState(state, "");
      else history.pushState(state, "");
    });
    return () => {
      this.#open = this.#open.filter((one) => one !== layer);
      // Another layer or place may be opened in the same task.
      setTimeout(() => this.#leave());
    };
  }

  /** Whether there is one. */
  get areOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Navigates to a URL; `instead` of the current one, or of the layers above it. */
  go(address: string, instead: boolean): void {
    this.#settled(() => {
      if (instead) history.replaceState(history.state, "", address);
      else if (layerOf(history.state) === undefined) history.pushState(null, "", address);
      else history.replaceState(null, "", address);
    });
  }

  #leave(): void {
    if (this.#leaving || !this.#isStale()) return;
    this.#leaving = [];
    history.back();
  }

  #moved(): void {
    if (this.#leaving) {
      const waiting = this.#leaving;
      this.#leaving = undefined;
      this.#leave();
      for (const work of waiting) this.#settled(work);
      return;
    }
    const at = layerOf(history.state) ?? 0;
    for (const { id, close } of this.#open.toReversed()) if (id > at) close();
  }

  /** Whether the current entry belongs to a closed layer. */
  #isStale(): boolean {
    const at = layerOf(history.state);
    return at !== undefined && !this.#open.some(({ id }) => id === at);
  }

  #settled(work: () => void): void {
    if (this.#leaving) this.#leaving.push(work);
    else work();
  }
}

function layerOf(state: unknown): number | undefined {
  const { layer } = (state ?? {}) as { layer?: unknown };
  return typeof layer === "number" ? layer : undefined;
}

export const layers = new Layers();

/** Closes something on "back". Must be called during the initialisation of a component. */
export function closedByBack(isOpen: () => boolean, close: () => void): void {
  const is = $derived(isOpen());
  $effect(() => (is ? layers.open(close) : undefined));
}
