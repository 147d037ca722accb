import { shared } from "./storage";

/** Unsent drafts: kept across reloads, one per place. */
export class Drafts {
  readonly #prefix: string;

  constructor(userId: string) {
    this.#prefix = `parlance:draft:${userId}:`;
  }

  get(place: string): string {
    return shared.get(this.#prefix + place) ?? "";
  }

  set(place: string, text: string): void {
    if (text) shared.set(this.#prefix + place, text);
    else shared.remove(this.#prefix + place);
  }

  /** Deletes all of them. */
  clear(): void {
    for (const key of shared.keys(this.#prefix)) shared.remove(key);
  }

  move(from: string, to: string): void {
    const text = this.get(from);
    if (!text) return;
    this.set(to, text);
    this.set(from, "");
  }
}
