import type { Client, v1 } from "@parlance/client";
import { SvelteMap, SvelteSet } from "svelte/reactivity";

import { Lookups } from "./lookups";
import { Pace } from "./pace";
import { shared } from "./storage";

/** Of a server without a directory for everyone, those that were met are known. */
const DIRECTORY = 1_000;
/** Presence of this many at once. */
const TOGETHER = 100;
/** Names that come within this time are taken together. */
const TAKE_EVERY_MS = 100;
/** Everyone who sees that someone is added would ask at the same moment: each asks within this time. */
const SPREAD_MS = 3_000;

/** Names that are kept over reloads: of those shown last. */
const KEPT = 500;
const KEEP_EVERY_MS = 1_000;

export interface Person {
  readonly userId: string;
  readonly name: string;
}

/** Sorting by it is ten times as fast as by `localeCompare`. */
const { compare } = new Intl.Collator();

/** Names of people, and who of them is there. */
export class People {
  readonly #client: Client;
  readonly #isConnected: () => boolean;
  /** Empty where someone was met and not asked for yet, or has none. */
  readonly #names = new SvelteMap<string, string>();
  /** Where the names of those who were shown are kept: rooms are there before the server has said who is in them. */
  readonly #key: string;
  readonly #kept: ReadonlyMap<string, string>;
  readonly #shown = new Set<string>();
  readonly #keeping = new Pace(KEEP_EVERY_MS, () => this.#keep());
  /** When the profile was last changed, in milliseconds: answers and signals come in any order. */
  readonly #updated = new Map<string, number>();
  readonly #lookups = new Lookups((userId) => this.#ask(userId));
  /** Names that are not taken into {@link all} yet. */
  readonly #arrived = new Map<string, string>();
  readonly #taking = new Pace(TAKE_EVERY_MS, () => this.#take());
  /** Met by an event that others have seen at the same moment. */
  readonly #justMet = new Set<string>();
  readonly #watched = new Set<string>();
  readonly #online = new SvelteSet<string>();
  #wanted: string[] = [];

  /** `isConnected` is read where it is drawn: without a connection nobody is known to be there. */
  constructor(client: Client, userId: string, isConnected: () => boolean) {
    [this.#client, this.#isConnected] = [client, isConnected];
    this.#key = `parlance:names:${userId}`;
    this.#kept = namesIn(shared.get(this.#key));
    client.on("user", (user) => this.#rename(user));
    client.on("presence", ({ userId, online }) => (online ? this.#online.add(userId) : this.#online.delete(userId)));
  }

  /** Everyone who is known, by name. */
  all = $state.raw<readonly Person[]>([]);

  readonly #counts = $derived.by(() => {
    const counts = new Map<string, number>();
    for (const { name } of this.all) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  });

  /** The id of someone whose name others have too; empty where the name is enough. */
  aside(userId: string): string {
    const name = this.#names.get(userId);
    return name && name !== userId && (this.#counts.get(name) ?? 0) > 1 ? userId : "";
  }

  /** The name of someone who is shown; their id until it is known. */
  name(userId: string): string {
    this.#lookups.want(userId, this.#justMet.delete(userId) ? Math.random() * SPREAD_MS : 0);
    this.#shown.add(userId);
    return this.nameIfKnown(userId);
  }

  /** The same for a search through many: nobody is asked. */
  nameIfKnown(userId: string): string {
    return this.#names.get(userId) || this.#kept.get(userId) || userId;
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
    this.#take();
    return this.#names.has(userId);
  }

  /** Someone has come into sight. The name is asked for when it is shown. */
  meet(userId: string): void {
    if (this.#names.has(userId) || this.#arrived.has(userId)) return;
    this.#justMet.add(userId);
    this.#arrived.set(userId, "");
    this.#taking.soon();
  }

  /** Reads the directory. Where the server does not let everyone, people are known by their rooms. */
  async load(): Promise<void> {
    let pageToken = "";
    let count = 0;
    try {
      do {
        const page = await this.#client.call("listUsers", { pageSize: 200, pageToken });
        for (const user of page.users) this.#rename(user);
        count += page.users.length;
        pageToken = page.nextPageToken;
      } while (pageToken && count < DIRECTORY);
    } catch {
      // Refused, or closed meanwhile.
    }
  }

  /** People who may be searched for by their names: asked for while nothing else is. */
  expect(userIds: Iterable<string>): void {
    this.#lookups.mayWant(userIds);
  }

  /** Ends it, and erases what is kept over reloads. */
  forget(): void {
    this.close();
    shared.remove(this.#key);
  }

  close(): void {
    this.#lookups.stop();
    this.#taking.stop();
    this.#keeping.stop();
  }

  #rename({ userId, name, updatedAt }: v1.User): void {
    const at = updatedAt ? Number(updatedAt.seconds) * 1_000 + updatedAt.nanos / 1_000_000 : 0;
    if (at < (this.#updated.get(userId) ?? 0)) return;
    this.#updated.set(userId, at);
    this.#lookups.know(userId);
    this.#arrived.set(userId, name);
    this.#taking.soon();
  }

  /** Takes what has arrived, all at once: sorting it costs more than taking it. */
  #take(): void {
    let isNew = false;
    for (const [userId, name] of this.#arrived) {
      if (this.#names.get(userId) === name) continue;
      this.#names.set(userId, name);
      isNew = true;
    }
    this.#arrived.clear();
    if (!isNew) return;
    this.#keeping.soon();
    const people = [...this.#names].map(([userId, name]) => ({ userId, name: name || userId }));
    this.all = people.sort((a, b) => compare(a.name, b.name));
  }

  #keep(): void {
    const shown = [...this.#shown].slice(-KEPT);
    const names = shown.flatMap((userId) => {
      const name = this.nameIfKnown(userId);
      return name === userId ? [] : [[userId, name]];
    });
    shared.set(this.#key, JSON.stringify(names));
  }

  async #ask(userId: string): Promise<void> {
    try {
      const { user } = await this.#client.call("getUser", { userId });
      if (user) this.#rename(user);
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

/** What another version, or another program, may have written there. */
function namesIn(stored: string | undefined): ReadonlyMap<string, string> {
  try {
    const names = JSON.parse(stored ?? "[]") as unknown;
    if (!Array.isArray(names)) return new Map();
    const isName = (one: unknown): one is [string, string] => Array.isArray(one) && typeof one[0] === "string" && typeof one[1] === "string";
    return new Map(names.filter(isName));
  } catch {
    return new Map();
  }
}
