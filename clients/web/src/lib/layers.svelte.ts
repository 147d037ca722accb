interface Layer {
  readonly id: number;
  readonly close: () => void;
}

/**
 * What lies over the page, such as dialogs. Each is an entry of the browser's history with the address of
 * the page, so that "back" closes it. All entries of the history are made here.
 */
export class Layers {
  #open: readonly Layer[] = [];
  #count = 0;
  /** On the way back from the entry of what was closed; what is to be done then. */
  #leaving: (() => void)[] | undefined;

  constructor() {
    // After a reload nothing lies over the page.
    if (layerOf(history.state) !== undefined) history.replaceState(null, "");
    addEventListener("popstate", () => this.#moved());
  }

  /** Something was opened; `close` is called when one goes back. Returns what to call once it is closed. */
  open(close: () => void): () => void {
    const layer = { id: ++this.#count, close };
    this.#open = [...this.#open, layer];
    this.#settled(() => {
      if (!this.#open.includes(layer)) return;
      const state = { layer: layer.id };
      // What was closed just now has left its entry.
      if (this.#isStale()) history.replaceState(state, "");
      else history.pushState(state, "");
    });
    return () => {
      this.#open = this.#open.filter((one) => one !== layer);
      // Whoever closed it may open something else, or another place, in the same task.
      setTimeout(() => this.#leave());
    };
  }

  /** Goes to an address; `instead` of the present one, or of what lies over it. */
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

  /** The present entry is that of something which is closed. */
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

/** Lets "back" close what is open. To be called while a component is made. */
export function closedByBack(isOpen: () => boolean, close: () => void): void {
  const is = $derived(isOpen());
  $effect(() => (is ? layers.open(close) : undefined));
}
