/** What is written and not sent: kept over reloads, one for each place. */
export class Drafts {
  readonly #prefix: string;

  constructor(userId: string) {
    this.#prefix = `parlance:draft:${userId}:`;
  }

  get(place: string): string {
    return localStorage.getItem(this.#prefix + place) ?? "";
  }

  set(place: string, text: string): void {
    try {
      if (text) localStorage.setItem(this.#prefix + place, text);
      else localStorage.removeItem(this.#prefix + place);
    } catch {
      // The storage is full: it is kept as long as the page.
    }
  }

  /** Forgets all of them. */
  clear(): void {
    const own = Object.keys(localStorage).filter((key) => key.startsWith(this.#prefix));
    for (const key of own) localStorage.removeItem(key);
  }

  move(from: string, to: string): void {
    const text = this.get(from);
    if (!text) return;
    this.set(to, text);
    this.set(from, "");
  }
}
