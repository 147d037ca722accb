import { type ChatMessage, Client, type Command, type ConnectionState, IndexedDbStorage, type Room, UnauthenticatedError, v1 } from "@parlance/client";
import type { Invitation } from "@parlance/client/invitations";
import { lowestRole, may, type Permission } from "@parlance/client/permissions";
import { invitations } from "@parlance/svelte";
import { createContext } from "svelte";

import { Drafts } from "./drafts";
import { messageOf } from "./errors";
import { type Identity, localUser, sharedToken } from "./identity";
import { Mentions } from "./mentions.svelte";
import { People, type Person } from "./people.svelte";
import { Pictures } from "./pictures.svelte";
import { Rooms } from "./rooms.svelte";
import { shared } from "./storage";
import { type Place, route } from "./route.svelte";
import { texts } from "./texts";

/** In local mode everyone meets in one channel. It is owned by a user of its own, so it does not depend on who
 * joins first. */
export const LOBBY = "lobby";

/** One user's conversations in this tab. */
export class Chat {
  readonly userId: string;
  readonly client: Client;
  readonly people: People;
  readonly pictures: Pictures;
  readonly drafts: Drafts;
  readonly mentions: Mentions;
  readonly isLocal: boolean;
  readonly #invitations: { readonly current: readonly Invitation[] };
  readonly #rooms: Rooms;
  /** The state of the connection. */
  state = $state.raw<ConnectionState>({ status: "idle" });
  /** Whether pending changes survive the page. */
  isDurable = $state(true);
  /** Whom the user blocks: what they write in shared rooms is not shown. As of the last visit until it is read. */
  blocked = $state.raw<ReadonlySet<string>>(new Set());
  readonly #blockedKey: string;
  /** The permissions of rooms that have not set their own. */
  #defaults = $state.raw<v1.DefaultPermissions>();
  /** The last problem, to be shown. */
  problem = $state<string>();
  /** What was done in another way than one may expect, to be shown. */
  notice = $state<string>();
  /** Whom the user is about to report: for a message, or as such. */
  reporting = $state.raw<{ userId: string; message?: ChatMessage }>();
  /** Whom the user is about to mute in a room. */
  muting = $state.raw<{ room: Room; userId: string; done: (is: boolean) => void }>();
  /** The question to be confirmed. */
  question = $state.raw<{ text: string; action: string; isDestructive: boolean; answer: (is: boolean) => void }>();

  /** All other users, by name. */
  readonly others: readonly Person[] = $derived.by(() =>
    this.people.all.filter(({ userId }) => userId !== this.userId && userId !== LOBBY),
  );
  /** Those without a direct room so far. */
  readonly strangers: readonly Person[] = $derived.by(() => {
    const { direct } = this.#rooms;
    return this.others.filter(({ userId }) => !direct.has(userId));
  });

  /** `refused` is called when the server no longer accepts the token, and there is no other. */
  constructor({ userId, token: first }: Identity, refused: (token: string | undefined) => void) {
    this.userId = userId;
    this.isLocal = first === undefined;
    let token = first;
    // Another tab may have signed in again since.
    const given = (isRefused: boolean) => (token = (isRefused ? sharedToken(userId) : undefined) ?? token ?? "");
    this.client = new Client({
      // The URL of the page, which may be below a path of a proxy.
      url: new URL(".", location.href).href,
      token: this.isLocal ? async () => (await localUser(userId, "")).token : ({ refused }) => given(refused),
      storage: new IndexedDbStorage(userId),
      deviceId: "web",
      // Data of other users is not shown.
      userId,
    });
    this.people = new People(this.client, userId, () => this.state.status === "online");
    this.pictures = new Pictures();
    this.#rooms = new Rooms(this.client);
    this.#invitations = invitations(this.client);
    this.drafts = new Drafts(userId);
    this.#blockedKey = `parlance:blocked:${userId}`;
    this.blocked = new Set(shared.get(this.#blockedKey)?.split(" "));
    this.client.on("blocked", (userIds) => {
      this.blocked = new Set(userIds);
      shared.set(this.#blockedKey, userIds.join(" "));
    });
    this.mentions = new Mentions(this.client, userId, (sender) => this.blocked.has(sender));
    this.client.on("state", (state) => {
      this.state = state;
      if (state.status === "closed" && state.error instanceof UnauthenticatedError) refused(token);
    });
    this.client.on("storage", ({ status }) => (this.isDurable = status !== "memory"));
    this.client.on("failed", (command) => this.#failed(command));
    this.client.on("event", ({ roomId, actorId, body }) => {
      // New members of a room become possible contacts.
      if (body.case === "memberAdded") this.people.meet(body.value.userId);
      if (body.case === "roomDeleted") this.#deleted(roomId, actorId);
    });
  }

  async start(): Promise<void> {
    try {
      await this.client.start();
    } finally {
      this.client.loadBlocked().catch(() => {});
      this.#loadServer().catch(() => {});
      // Initially refused rooms are requested again. Users missing in the directory can still be found by name.
      void this.people.load().then(() => this.people.expect(this.#rooms.direct.keys()));
    }
    // A user with rooms who is not in the lobby has left it.
    if (this.isLocal && this.rooms.length === 0) await this.#joinLobby();
  }

  /** Erases the browser's data. Unsent messages are kept for the same user. */
  async signOut(): Promise<void> {
    this.people.forget();
    shared.remove(this.#blockedKey);
    await this.client.signOut({ keepUnsent: true });
  }

  close(): void {
    this.#rooms.close();
    this.people.close();
    this.client.close();
  }

  /** The user's rooms, latest first, without hidden and archived ones. */
  get rooms(): readonly Room[] {
    return this.#rooms.all;
  }

  /** Rooms that the user has hidden: they can be found by search. */
  get hiddenRooms(): readonly Room[] {
    return this.#rooms.hidden;
  }

  /** Rooms that are only read, until that is taken back. */
  get archivedRooms(): readonly Room[] {
    return this.#rooms.archived;
  }

  /** Invitations that wait for the user's answer, latest first. */
  get invitations(): readonly Invitation[] {
    return this.#invitations.current;
  }

  /** Whether the rooms have been loaded. */
  get isLoaded(): boolean {
    return this.#rooms.isLoaded;
  }

  /** Unread messages in all of {@link rooms}. */
  get unread(): number {
    return this.#rooms.unread;
  }

  /** A room that the user is in, hidden or archived or not. */
  room(id: string): Room | undefined {
    // This value changes whenever a room is added or removed.
    void [this.#rooms.all, this.#rooms.hidden, this.#rooms.archived];
    const room = this.client.room(id);
    return room?.isMember ? room : undefined;
  }

  /** Whether the user may do something in a room, mutes aside: they end without an event, and the composer follows that. */
  may(room: Room, permission: Permission): boolean {
    return may({ serverTime: Infinity }, room.info, permission, this.#defaults);
  }

  /** The lowest role that may do something in a room while it is open. */
  roleFor(room: Room, permission: Permission): v1.Role {
    return lowestRole(room.info, permission, this.#defaults);
  }

  /** The same as long as the room has not set it itself. */
  usualRoleFor(room: Room, permission: Permission): v1.Role {
    return lowestRole({ ...room.info, permissions: undefined }, permission, this.#defaults);
  }

  /** Asks for confirmation of something irreversible. */
  confirm(question: string, action: string, { isDestructive = false } = {}): Promise<boolean> {
    return new Promise((resolve) => {
      this.question = { text: question, action, isDestructive, answer: (is) => ((this.question = undefined), resolve(is)) };
    });
  }

  /** Whether a message is not shown: in a shared room, by someone whom the user blocks. */
  hides(room: Room, senderId: string): boolean {
    return room.kind !== v1.RoomKind.DIRECT && this.blocked.has(senderId);
  }

  /** Blocks a user, after a question, or lifts that. */
  async setBlocked(userId: string, isBlocked: boolean): Promise<void> {
    if (isBlocked && !(await this.confirm(texts.people.askBlock(this.people.fullName(userId)), texts.people.block))) return;
    await this.attempt(texts.failures.change, () => (isBlocked ? this.client.blockUser(userId) : this.client.unblockUser(userId)));
  }

  /** Copies a text. */
  copy(text: string): Promise<true | undefined> {
    return this.attempt(texts.failures.copy, async () => {
      if (!navigator.clipboard) throw new Error(texts.failures.copyNeedsHttps);
      await navigator.clipboard.writeText(text);
      return true as const;
    });
  }

  /** The display title of a room. */
  titleOf(room: Room): string {
    if (room.kind === v1.RoomKind.DIRECT) return room.peerId ? this.people.name(room.peerId) : texts.place.unknownPeer;
    return room.title || texts.place.untitled;
  }

  /** The URL of a room's picture, or of the other user's in a direct one; may be empty. */
  pictureOf(room: Room): string {
    return room.peerId ? this.people.picture(room.peerId) : room.imageUrl;
  }

  /** Like {@link titleOf}, for a search through all rooms: requests no names. */
  titleIfKnown(room: Room): string {
    return room.peerId ? this.people.nameIfKnown(room.peerId) : this.titleOf(room);
  }

  /** The direct room with a user, if it exists. A hidden one can still be used. */
  directRoom(userId: string): Room | undefined {
    return this.#rooms.direct.get(userId);
  }

  /** Where to write to a user. */
  placeOf(userId: string): Place {
    const room = this.directRoom(userId);
    return room ? { room: room.id } : { person: userId };
  }

  /** Tries something, and reports problems. */
  async attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.problem = texts.app.problem(what, messageOf(error));
      return undefined;
    }
  }

  /** A change was refused: reported unless it is visible. */
  #failed({ kind, payload, roomId, toUser, error }: Command): void {
    if (kind !== "send" && kind !== "edit" && kind !== "delete" && kind !== "react" && kind !== "unreact") return;
    const room = roomId === undefined ? undefined : this.client.room(roomId);
    const { place } = route;
    const isOpen = place && (("room" in place && place.room === roomId) || ("person" in place && place.person === toUser));
    // On its message, if that is loaded.
    if (isOpen && (kind === "send" || room?.messages.some(({ seq }) => seq === payload.seq))) return;
    const title = room ? this.titleOf(room) : this.people.name(toUser ?? "");
    this.problem = texts.message.notSentIn(title, error?.message ?? "");
  }

  /** Leaves a room that was deleted, and says who did that if it was somebody else. */
  #deleted(roomId: string, byUserId: string): void {
    const { place } = route;
    if (!place || !("room" in place) || place.room !== roomId) return;
    const room = this.client.room(roomId);
    if (byUserId !== this.userId && room) this.notice = texts.details.deletedBy(this.people.name(byUserId), this.titleOf(room));
    route.open(undefined);
  }

  async #loadServer(): Promise<void> {
    const { imageOrigins, defaultPermissions } = await this.client.call("getServer", {});
    this.pictures.allow(imageOrigins);
    this.#defaults = defaultPermissions;
  }

  async #joinLobby(): Promise<void> {
    await this.attempt(texts.failures.lobby, async () => {
      const { token } = await localUser(LOBBY, texts.app.lobby);
      const response = await fetch("v1/rooms", {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: JSON.stringify({ kind: "ROOM_KIND_CHANNEL", settings: { title: texts.app.lobby }, requestId: LOBBY }),
      });
      const { room } = await response.json();
      await this.client.call("joinRoom", { roomId: room.roomId });
      await this.client.refresh();
      if (route.isEmpty) route.open({ room: room.roomId }, { instead: true });
    });
  }
}

export const [getChat, setChat] = createContext<Chat>();
