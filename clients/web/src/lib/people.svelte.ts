import type { Client, v1 } from "@parlance/client";
import { SvelteMap, SvelteSet } from "svelte/reactivity";

/** Of a server without a directory for everyone, those that were met are known. */
const DIRECTORY = 1_000;
/** Presence of this many at once. */
const TOGETHER = 100;

/** Names of people, and who of them is there. */
export class People {
  readonly #client: Client;
  readonly #isConnected: () => boolean;
  readonly #names = new SvelteMap<string, string>();
  /** When the profile was last changed, in milliseconds: answers and signals come in any order. */
  readonly #updated = new Map<string, number>();
  readonly #asked = new Set<string>();
  readonly #watched = new Set<string>();
  readonly #online = new SvelteSet<string>();
  #wanted: string[] = [];

  /** `isConnected` is read where it is drawn: without a connection nobody is known to be there. */
  constructor(client: Client, isConnected: () => boolean) {
    [this.#client, this.#isConnected] = [client, isConnected];
    client.on("user", (user) => this.rename(user.userId, user.name, user.updatedAt));
    client.on("presence", ({ userId, online }) => (online ? this.#online.add(userId) : this.#online.delete(userId)));
  }

  /** Everyone who is known, by name. */
  readonly all = $derived.by(() => {
    const people = [...this.#names].map(([userId, name]) => ({ userId, name }));
    return people.sort((a, b) => a.name.localeCompare(b.name));
  });

  readonly #counts = $derived.by(() => {
    const counts = new Map<string, number>();
    for (const name of this.#names.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  });

  /** The id of someone whose name others have too; empty where the name is enough. */
  aside(userId: string): string {
    const name = this.#names.get(userId);
    return name !== undefined && name !== userId && (this.#counts.get(name) ?? 0) > 1 ? userId : "";
  }

  /** The name of someone; their id until it is known. */
  name(userId: string): string {
    if (!this.#asked.has(userId)) {
      this.#asked.add(userId);
      // Not now: whoever asks may be drawing.
      queueMicrotask(() => void this.#ask(userId));
    }
    return this.#names.get(userId) || userId;
  }

  /** Someone of this id is known; nobody is asked. */
  knows(userId: string): boolean {
    return this.#names.has(userId);
  }

  isOnline(userId: string): boolean {
    this.#watch(userId);
    return this.#isConnected() && this.#online.has(userId);
  }

  /** Whether there is someone of this id. */
  async exists(userId: string): Promise<boolean> {
    await this.#ask(userId);
    return this.#names.has(userId);
  }

  rename(userId: string, name: string, updatedAt: v1.User["updatedAt"]): void {
    const at = updatedAt ? Number(updatedAt.seconds) * 1_000 + updatedAt.nanos / 1_000_000 : 0;
    if (at < (this.#updated.get(userId) ?? 0)) return;
    this.#updated.set(userId, at);
    this.#asked.add(userId);
    this.#names.set(userId, name);
  }

  /** Reads the directory. Where the server does not let everyone, people are known by their rooms. */
  async load(): Promise<void> {
    let pageToken = "";
    try {
      do {
        const page = await this.#client.call("listUsers", { pageSize: 200, pageToken });
        for (const { userId, name, updatedAt } of page.users) this.rename(userId, name, updatedAt);
        pageToken = page.nextPageToken;
      } while (pageToken && this.#names.size < DIRECTORY);
    } catch {
      // Refused, or closed meanwhile.
    }
  }

  async #ask(userId: string): Promise<void> {
    try {
      const { user } = await this.#client.call("getUser", { userId });
      if (user) this.rename(userId, user.name, user.updatedAt);
    } catch {
      // Of some, only the id is left.
    }
  }

  #watch(userId: string): void {
    if (this.#watched.has(userId)) return;
    this.#watched.add(userId);
    this.#wanted.push(userId);
    if (this.#wanted.length > 1) return;
    // Those who are drawn together are asked for together.
    setTimeout(() => {
      const wanted = this.#wanted;
      this.#wanted = [];
      for (let from = 0; from < wanted.length; from += TOGETHER) {
        this.#client.watchPresence(wanted.slice(from, from + TOGETHER)).catch(() => {});
      }
    });
  }
}
