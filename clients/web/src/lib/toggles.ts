/** Switches that take a while: what is wished next is the opposite of what was wished last, not of what is confirmed. */
export class Toggles {
  readonly #wishes = new Map<string, boolean>();
  #last: Promise<unknown> = Promise.resolve();

  /** Turns a switch that is confirmed to be `isOn`. `work` is done in the order of the calls, one at a time. */
  async toggle(name: string, isOn: boolean, work: (on: boolean) => Promise<unknown>): Promise<void> {
    const wish = !(this.#wishes.get(name) ?? isOn);
    this.#wishes.set(name, wish);
    const turn = this.#last.then(() => work(wish));
    this.#last = turn.catch(() => {});
    try {
      await turn;
    } finally {
      if (this.#wishes.get(name) === wish) this.#wishes.delete(name);
    }
  }
}
