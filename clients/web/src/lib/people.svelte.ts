import { type Client, PermissionDeniedError, type v1 } from "@parlance/client";
import { SvelteMap, SvelteSet } from "svelte/reactivity";

import { Lookups } from "./lookups";
import { Pace } from "./pace";
import { shared } from "./storage";
import { texts } from "./texts";

/** Without a public directory, users that were met are known. */
const DIRECTORY = 1_000;
/** Presence lookups per request. */
const TOGETHER = 100;
/** Names that arrive within this time are applied together. */
const TAKE_EVERY_MS = 100;
/** All clients that see a new member would look them up simultaneously: each does so at a random time within this
 * interval. */
const SPREAD_MS = 3_000;

/** Names kept across reloads: the most recently shown. */
const KEPT = 500;
const KEEP_EVERY_MS = 1_000;

export interface Person {
  readonly userId: string;
  readonly name: string;
}

/** A person who was found by name. */
export interface Found extends Person {
  readonly picture: string;
}

/** People found at once. */
const MOST_FOUND = 20;

interface Profile {
  /** Empty if a user was met but not looked up yet, or has no name. */
  readonly name: string;
  /** URL of a picture; may be empty. */
  readonly picture: string;
  /** What the user says about themselves for now; may be empty. Not kept across reloads. */
  readonly status?: string;
}

/** The key of the status in the data of a user. */
const STATUS = "status";

/** Ten times as fast for sorting as `localeCompare`. */
const { compare } = new Intl.Collator();

/** Names, pictures and presence of users. */
export class People {
  readonly #client: Client;
  readonly #isConnected: () => boolean;
  readonly #names = new SvelteMap<string, string>();
  readonly #pictures = new SvelteMap<string, string>();
  readonly #statuses = new SvelteMap<string, string>();
  /** Storage key of the profiles that were shown: rooms are restored before the server has sent their members. */
  readonly #key: string;
  readonly #kept: ReadonlyMap<string, Profile>;
  readonly #shown = new Set<string>();
  readonly #keeping = new Pace(KEEP_EVERY_MS, () => this.#keep());
  /** When each profile was last changed, in milliseconds: answers and signals arrive in any order. */
  readonly #updated = new Map<string, number>();
  readonly #lookups = new Lookups((userId) => this.#ask(userId));
  /** Profiles that are not in {@link all} yet; undefined of users who were only met. */
  readonly #arrived = new Map<string, Profile | undefined>();
  readonly #taking = new Pace(TAKE_EVERY_MS, () => this.#take());
  /** Met through an event that others have seen at the same time. */
  readonly #justMet = new Set<string>();
  readonly #watched = new Set<string>();
  readonly #online = new SvelteSet<string>();
  #wanted: string[] = [];
  /** Whether users may be searched for, as far as known. */
  #maySearch = true;

  /** `isConnected` is read when rendering: without a connection nobody is known to be online. */
  constructor(client: Client, userId: string, isConnected: () => boolean) {
    [this.#client, this.#isConnected] = [client, isConnected];
    this.#key = `parlance:names:${userId}`;
    this.#kept = profilesIn(shared.get(this.#key));
    client.on("user", (user) => this.#received(user));
    client.on("presence", ({ userId, online }) => (online ? this.#online.add(userId) : this.#online.delete(userId)));
  }

  /** All known users, by name. */
  all = $state.raw<readonly Person[]>([]);

  readonly #counts = $derived.by(() => {
    const counts = new Map<string, number>();
    for (const { name } of this.all) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  });

  /** The id of a user whose name is not unique; otherwise empty. */
  aside(userId: string): string {
    const name = this.#names.get(userId);
    return name && name !== userId && (this.#counts.get(name) ?? 0) > 1 ? userId : "";
  }

  /** The name of a displayed user; their id until it is known. */
  name(userId: string): string {
    this.#lookups.want(userId, this.#justMet.delete(userId) ? Math.random() * SPREAD_MS : 0);
    this.#shown.add(userId);
    return this.nameIfKnown(userId);
  }

  /** The name of a displayed user, with the id if it is not unique: where it matters who of them it is. */
  fullName(userId: string): string {
    return texts.people.nameAndId(this.name(userId), this.aside(userId));
  }

  /** Like {@link name}, for a search through many: requests nothing. */
  nameIfKnown(userId: string): string {
    return this.#names.get(userId) || this.#kept.get(userId)?.name || userId;
  }

  /** The URL of a user's picture, as far as known; may be empty. Requests nothing: {@link name} does. */
  picture(userId: string): string {
    return this.#pictures.get(userId) ?? this.#kept.get(userId)?.picture ?? "";
  }

  /** What a user says about themselves for now, as far as known; may be empty. Requests nothing: {@link name} does. */
  status(userId: string): string {
    return this.#statuses.get(userId) ?? "";
  }

  /** Whether a user with this id is known; requests nothing. */
  knows(userId: string): boolean {
    return this.#names.has(userId);
  }

  isOnline(userId: string): boolean {
    this.#watch(userId);
    return this.#isConnected() && this.#online.has(userId);
  }

  /** Whether a user with this id may exist: where strangers see no profiles, only writing to them tells. */
  async mayExist(userId: string): Promise<boolean> {
    await this.#ask(userId);
    this.#take();
    if (this.#names.has(userId)) return true;
    try {
      return !(await this.#client.call("getServer", {})).openProfiles;
    } catch {
      return false;
    }
  }

  /** Users whose name begins with this, where the server offers that to everyone; otherwise none. */
  async search(namePrefix: string, signal: AbortSignal): Promise<readonly Found[]> {
    if (!this.#maySearch) return [];
    try {
      const users = await this.#client.searchUsers(namePrefix, { limit: MOST_FOUND, signal });
      return users.map(({ userId, name, imageUrl }) => ({ userId, name: name || userId, picture: imageUrl }));
    } catch (error) {
      if (error instanceof PermissionDeniedError) this.#maySearch = false;
      return [];
    }
  }

  /** Changes the profile of the signed-in user. */
  async changeOwn({ status, ...profile }: { name?: string; imageUrl?: string; status?: string }): Promise<void> {
    const data = status ? { data: { [STATUS]: status } } : status === "" ? { unsetData: [STATUS] } : {};
    const { user } = await this.#client.call("updateUser", { userId: "me", ...profile, ...data });
    if (user) this.#received(user);
  }

  /** A user was mentioned. The name is requested when it is shown. */
  meet(userId: string): void {
    if (this.#names.has(userId) || this.#arrived.has(userId)) return;
    this.#justMet.add(userId);
    this.#arrived.set(userId, undefined);
    this.#taking.soon();
  }

  /** Reads the directory. If it is not public, users are known from their rooms. */
  async load(): Promise<void> {
    let pageToken = "";
    let count = 0;
    try {
      do {
        const page = await this.#client.call("listUsers", { pageSize: 200, pageToken });
        for (const user of page.users) this.#received(user);
        count += page.users.length;
        pageToken = page.nextPageToken;
      } while (pageToken && count < DIRECTORY);
    } catch {
      // Refused, or closed meanwhile.
    }
  }

  /** Users who may be searched for by name: looked up when there is nothing else to do. */
  expect(userIds: Iterable<string>): void {
    this.#lookups.mayWant(userIds);
  }

  /** Ends it, and erases the names kept across reloads. */
  forget(): void {
    this.close();
    shared.remove(this.#key);
  }

  close(): void {
    this.#lookups.stop();
    this.#taking.stop();
    this.#keeping.stop();
  }

  #received({ userId, name, imageUrl, data, updatedAt }: v1.User): void {
    const at = updatedAt ? Number(updatedAt.seconds) * 1_000 + updatedAt.nanos / 1_000_000 : 0;
    if (at < (this.#updated.get(userId) ?? 0)) return;
    this.#updated.set(userId, at);
    this.#lookups.know(userId);
    const status = data?.[STATUS];
    // Another app may keep something else there.
    this.#arrived.set(userId, { name, picture: imageUrl, status: typeof status === "string" ? status : "" });
    this.#taking.soon();
  }

  /** Applies everything that has arrived at once: sorting costs more than applying. */
  #take(): void {
    let isNew = false;
    let isChanged = false;
    for (const [userId, profile] of this.#arrived) {
      const { name = "" } = profile ?? {};
      if (profile && this.picture(userId) !== profile.picture) {
        this.#pictures.set(userId, profile.picture);
        isChanged = true;
      }
      if (profile && this.status(userId) !== profile.status) this.#statuses.set(userId, profile.status ?? "");
      if (this.#names.get(userId) === name) continue;
      this.#names.set(userId, name);
      isNew = true;
    }
    this.#arrived.clear();
    if (isNew || isChanged) this.#keeping.soon();
    if (!isNew) return;
    const people = [...this.#names].map(([userId, name]) => ({ userId, name: name || userId }));
    this.all = people.sort((a, b) => compare(a.name, b.name));
  }

  #keep(): void {
    const shown = [...this.#shown].slice(-KEPT);
    const profiles = shown.flatMap((userId) => {
      const name = this.nameIfKnown(userId);
      const picture = this.picture(userId);
      return name === userId && !picture ? [] : [[userId, name, picture]];
    });
    shared.set(this.#key, JSON.stringify(profiles));
  }

  async #ask(userId: string): Promise<void> {
    try {
      const { user } = await this.#client.call("getUser", { userId });
      if (user) this.#received(user);
    } catch {
      // Some only have an id.
    }
  }

  #watch(userId: string): void {
    if (this.#watched.has(userId)) return;
    this.#watched.add(userId);
    this.#wanted.push(userId);
    if (this.#wanted.length > 1) return;
    // Users rendered together are looked up together.
    setTimeout(() => {
      const wanted = this.#wanted;
      this.#wanted = [];
      for (let from = 0; from < wanted.length; from += TOGETHER) {
        this.#client.watchPresence(wanted.slice(from, from + TOGETHER)).catch(() => {});
      }
    });
  }
}

/** Other versions or programs may have written something else there. */
function profilesIn(stored: string | undefined): ReadonlyMap<string, Profile> {
  try {
    const profiles = JSON.parse(stored ?? "[]") as unknown;
    if (!Array.isArray(profiles)) return new Map();
    const isProfile = (one: unknown): one is [string, string, string?] => Array.isArray(one) && one.every((part) => typeof part === "string") && one.length > 1;
    return new Map(profiles.filter(isProfile).map(([userId, name, picture = ""]) => [userId, { name, picture }]));
  } catch {
    return new Map();
  }
}
