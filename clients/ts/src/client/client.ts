import type { StateCache } from "../cache/cache.js";
import { Emitter } from "../emitter.js";
import { ConfigurationError } from "../errors.js";
import { type Gap, Role, type Room as RoomMessage, type User, RoomKind, type SendMessageResponse } from "../gen/chat_pb.js";
import type { Command, Draft } from "../queue/command.js";
import { echo } from "../queue/project.js";
import { CommandQueue } from "../queue/queue.js";
import { changeOf, operationOf } from "../queue/request.js";
import { settingsIn } from "../room/actions.js";
import { type ChatMessage, type DataChange, date } from "../room/message.js";
import type { Room } from "../room/room.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import { type ConnectionState, Session } from "../session/session.js";
import { Slices } from "../slices.js";
import { MemoryStorage } from "../storage/memory.js";
import type { StorageState } from "../storage/steady.js";
import { WebSocketTransport } from "../transport/websocket.js";
import type { Blocks } from "./blocks.js";
import type { AsUser, ClientEvents, ClientOptions, ClientSlices, NewRoom, Sending, Sent } from "./api.js";
import { roomEvents } from "./events.js";
import type { EventsOptions, RoomEvents, RoomItem } from "./items.js";
import type { Unread } from "./lists.js";
import { Presence } from "./presence.js";
import { Rooms } from "./rooms.js";
import { type StartOptions, Startup } from "./startup.js";
import { Sync } from "./sync.js";

/** Profiles per request. */
const PROFILES = 100;

/**
 * A user's connection to Parlance: the rooms, kept up to date, and every operation of the contract.
 *
 * @example
 * const client = new Client({ url: "http://127.0.0.1:8080", token });
 * client.on("event", (event) => console.log(event.roomId, event.body));
 * await client.start();
 * await client.send({ toUser: "bob", text: "hello" });
 */
export class Client extends Emitter<ClientEvents> {
  readonly #session: Session;
  readonly #startup: Startup;
  readonly #queue: CommandQueue;
  readonly #rooms: Rooms;
  readonly #presence: Presence;
  readonly #sync: Sync;
  /** The last state in the storage. Without a storage there is nothing to restore or to keep. */
  #cache: Promise<StateCache> | undefined;
  #blocks: Promise<Blocks> | undefined;
  #blocked: readonly string[] = [];
  readonly #slices = new Slices<ClientSlices>((name) => this.getSnapshot(name));

  constructor(options: ClientOptions) {
    super();
    const { url, token, transport = "websocket", storage, userId, deviceId, logger } = options;
    // Thrown for an empty answer, which would otherwise be awaited forever.
    if (!token) throw new ConfigurationError("there is no token");
    const session = new Session({
      transport: transport === "websocket" ? new WebSocketTransport(url) : transport,
      token: typeof token === "string" ? () => token : token,
      userId,
      deviceId,
    });
    const queue = new CommandQueue(session, storage ?? new MemoryStorage());
    const rooms = new Rooms({
      session,
      queue,
      emitter: this,
      send: (draft) => this.send(draft),
      watchPresence: (userIds) => this.watchPresence(userIds),
      stale: () => this.#sync.inbox.freshen(),
      listed: () => this.#slices.notify(),
    });
    [this.#session, this.#queue, this.#rooms] = [session, queue, rooms];
    // Loaded on demand, before the first connection.
    const logging = logger && import("./log.js").then(({ log }) => log(logger, session, queue)).catch(() => {});
    this.#startup = new Startup(session, () => {
      const restored = this.#cache?.then((cache) => cache.restore());
      return logging ? Promise.all([restored, logging]) : restored;
    });
    this.#presence = new Presence(session, rooms);
    this.#sync = new Sync({ session, queue, rooms, presence: this.#presence, startup: this.#startup, emitter: this });
    // Loaded on demand. If that fails, there is no last state.
    if (storage) this.#cache = import("../cache/cache.js").then(({ StateCache }) => new StateCache({ session, queue, rooms, refresh: () => this.refresh() }));
    this.#cache?.catch(() => {});
    queue.directRoom = (userId) => this.directRoomWith(userId)?.id;
    queue.on("change", (command) => this.#queued(command));
    queue.on("failed", (command) => this.emit("failed", command));
    queue.on("storage", (state) => this.emit("storage", state));
    session.on("replaced", () => {
      rooms.reset();
      queue.dropForeign();
    });
    session.on("state", (state) => {
      if (state.status === "closed") this.#ended();
      this.emit("state", state);
      this.#slices.notify();
    });
  }

  /**
   * Shows the last state of an earlier client, if the storage has one, then connects, and stays connected. Resolves once the
   * rooms are up to date. Rejects if it is refused or closed before that, or on a timeout or abort from the options; with a
   * {@link ConfigurationError} immediately if waiting cannot help. A second call returns the result of the first.
   */
  start(options: StartOptions = {}): Promise<void> {
    return this.#startup.start(options);
  }

  /**
   * Everything that happens in the rooms, for bots and services: in order for each room, at least once, with explicit gaps. Can
   * only be called before the start, and once: otherwise throws a {@link ParlanceError}. The loop starts the client. Only handled
   * events are acknowledged as delivered then, and the storage only keeps changes: pass the received positions in {@link
   * EventsOptions.cursors}.
   *
   * @example
   * for await (const item of client.events({ cursors: await load() })) {
   *   if (item.kind === "event") await handle(item.event);
   *   if (item.cursor) await save(item.cursor);
   * }
   */
  events(options: EventsOptions = {}): RoomEvents {
    const events = roomEvents(this.#session, this.#startup, options);
    this.#sync.acknowledges = false;
    void this.#cache?.then((cache) => cache.close());
    this.#cache = undefined;
    return events;
  }

  /**
   * The contents of a gap, page by page: events, and gaps for unavailable parts. Empty for an open-ended gap, or for reasons
   * other than `TOO_LONG` and `ACKNOWLEDGED_ELSEWHERE`.
   */
  async *eventsOf(gap: Gap, signal?: AbortSignal): AsyncGenerator<RoomItem, void> {
    const { eventsOf } = await import("./reader.js");
    yield* eventsOf(this.#session, gap, signal);
  }

  /** Closes the connection permanently; never throws. The last state and pending changes stay in the storage. */
  close(): void {
    this.#session.close();
    void this.#queue.close();
  }

  /**
   * Closes the client, and erases its user's data from the storage: the last state, and, unless `keepUnsent`, unsent changes.
   * Other tabs of the same storage stay connected, but no longer write state. Resolves once it is erased, or the storage does not
   * answer.
   */
  async signOut({ keepUnsent = false } = {}): Promise<void> {
    const erased = this.#queue.erase(keepUnsent);
    this.#session.close();
    await erased;
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#session.state;
  }

  /**
   * The server's clock, in milliseconds since the epoch: event times are based on it. As of the last connection; before the first
   * one, this machine's clock.
   */
  get serverTime(): number {
    return Date.now() + this.#sync.serverAheadMs;
  }

  /** The user's id; empty until it is known from an option, the last state or the server. */
  get userId(): string {
    return this.#session.userId;
  }

  /** The rooms that the user is a member of and has not hidden, without archived ones: pinned ones before the others, most recent message first. */
  get rooms(): readonly Room[] {
    return this.#rooms.lists.rooms("listed");
  }

  /** Those of them that one has hidden: {@link Room.setHidden}. */
  get hiddenRooms(): readonly Room[] {
    return this.#rooms.lists.rooms("hidden");
  }

  /** Rooms that are only read until their owner or an admin takes that back: {@link Room.update}. */
  get archivedRooms(): readonly Room[] {
    return this.#rooms.lists.rooms("archived");
  }

  /** Unread messages over {@link rooms}. */
  get unread(): Unread {
    return this.#rooms.lists.unread;
  }

  /** A room by id, if the user is or was a member. */
  room(id: string): Room | undefined {
    return this.#rooms.get(id);
  }

  /** The direct room with another user, hidden or not, if it exists. */
  directRoomWith(userId: string): Room | undefined {
    return this.#rooms.lists.directWith(userId);
  }

  /**
   * Calls `listener` when a value over all rooms was replaced, once for everything received at about the same time. Returns a
   * function that unsubscribes.
   */
  subscribe(slice: keyof ClientSlices, listener: () => void): () => void {
    return this.#slices.subscribe(slice, listener);
  }

  /** A value over all rooms: frozen, and identical until it changes. */
  getSnapshot<Name extends keyof ClientSlices>(slice: Name): ClientSlices[Name] {
    return this.#readers[slice]();
  }

  readonly #readers: { [Name in keyof ClientSlices]: () => ClientSlices[Name] } = {
    rooms: () => this.#rooms.lists.infos("listed"),
    hiddenRooms: () => this.#rooms.lists.infos("hidden"),
    archivedRooms: () => this.#rooms.lists.infos("archived"),
    unread: () => this.#rooms.lists.unread,
    blocked: () => this.#blocked,
    connection: () => this.state,
  };

  /** Creates a room. Who was invited instead of added is in {@link Room.invitedUserIds}. */
  async createRoom({ kind, id = "", ownerId = "", memberIds = [], ...settings }: NewRoom): Promise<Room> {
    const { room, invitedUserIds } = await this.call("createRoom", {
      kind: kind === "group" ? RoomKind.GROUP : RoomKind.CHANNEL,
      roomId: id,
      ownerId,
      settings: settingsIn(settings),
      memberIds: [...memberIds],
    });
    // A room with an id may be another one's, and there already.
    const created = id || ownerId ? await this.openRoom(id || (room?.roomId ?? "")) : this.#added(room, Role.OWNER);
    return Object.assign(created, { invitedUserIds });
  }

  /** The direct room with another user; created if it does not exist. */
  async openDirectRoom(userId: string): Promise<Room> {
    return this.#added((await this.call("createRoom", { kind: RoomKind.DIRECT, memberIds: [userId] })).room, Role.MEMBER);
  }

  /** Joins a channel. */
  async joinRoom(roomId: string): Promise<Room> {
    await this.#rooms.submit({ kind: "join", roomId, payload: {} });
    return this.openRoom(roomId);
  }

  /** Reads a room that the user is a member of, or may join: {@link RoomInfo.isMember}. */
  async openRoom(roomId: string, signal?: AbortSignal): Promise<Room> {
    const { room, membership } = await this.call("getRoom", { roomId }, signal);
    return this.#added(room, membership?.active ? membership.role : Role.UNSPECIFIED);
  }

  /**
   * Sends a message. It is retried until the server has stored it, across reloads if there is a storage for that. Rejects if it
   * is refused or discarded, or if the client is closed first; the message reports that, too.
   */
  send({ id, roomId, toUser, afterSeq, ...payload }: Draft & { roomId?: string; toUser?: string }): Sending {
    // If the room is known, a repeat is recognised at any time.
    const room = roomId ?? (toUser === undefined ? undefined : this.directRoomWith(toUser)?.id);
    const target = room === undefined ? { toUser } : { roomId: room };
    const sent = this.#queue.submit({ ...(id !== undefined && { id }), ...(afterSeq !== undefined && { afterSeq }), kind: "send", payload, ...target });
    const response = sent.done.then((answer) => sentOf(answer?.value as SendMessageResponse));
    response.catch(() => {});
    return Object.assign(response, { id: sent.id, discard: () => this.#queue.discard(sent.id) });
  }

  /**
   * Carries out a change of the contract like {@link call}, but queued and stored like a message: it survives the page, and
   * changes of one room are carried out in order.
   */
  async change<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<ResponseOf<Name>> {
    return (await this.#queue.submit(changeOf(name, request)).done)?.value as ResponseOf<Name>;
  }

  /** Changes that are pending or were refused, in the order in which they were made. */
  get commands(): readonly Command[] {
    return this.#queue.commands;
  }

  /** Whether pending changes survive the page. */
  get storage(): StorageState {
    return this.#queue.store.state;
  }

  /** Unacknowledged messages to a user whose direct room may not exist yet; otherwise they are in {@link Room.messages}. */
  outgoingTo(userId: string): ChatMessage[] {
    return this.#queue.commands.flatMap((command) =>
      command.kind === "send" && command.toUser === userId && command.state !== "confirmed" ? [echo(command, "", this.userId)] : [],
    );
  }

  /** Retries a refused change: by the `key` of its message, or the id of the change. */
  retry(key: string): void {
    void this.#queue.retry(idOf(key));
  }

  /** Discards a refused or pending change, by key or id. A change that is only waiting is never sent. */
  discard(key: string): Promise<void> {
    return this.#queue.discard(idOf(key));
  }

  /** Calls any operation of the contract by name. It is retried over any number of connections; mutations are carried out once. */
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>> {
    return this.#session.call(name, request, { signal });
  }

  /**
   * Acts as a user: for an app's backend, whose token has the `service` scope. The user need not exist yet. Rooms and events of this client
   * stay those of the backend. Throws a `TypeError` for an empty id, which would be the backend itself.
   */
  as(userId: string): AsUser {
    if (!userId) throw new TypeError("there is no user to act as");
    const call: AsUser["call"] = (name, request, signal) => this.#session.call(name, request, { signal, asUser: userId });
    return {
      userId,
      call,
      send: async ({ id = "", roomId, toUser, afterSeq, ...payload }: Draft & { roomId?: string; toUser?: string }, signal) => {
        const { value } = operationOf({ kind: "send", id, roomId, toUser, afterSeq, payload } as Command);
        return sentOf(await call("sendMessage", value as RequestOf<"sendMessage">, signal));
      },
    };
  }

  /** Profiles of users, in the requested order; nonexistent users are omitted. Changes are emitted as `user` events. */
  async users(userIds: readonly string[], signal?: AbortSignal): Promise<readonly User[]> {
    if (userIds.length === 0) return [];
    const { users } = await this.call("getUsers", { userIds: userIds.slice(0, PROFILES) }, signal);
    return [...users, ...(await this.users(userIds.slice(PROFILES), signal))];
  }

  /** Changes the user's own profile, unless the server has them managed by the app. Omitted fields stay unchanged. */
  async updateProfile(profile: { name?: string; imageUrl?: string } & DataChange): Promise<User> {
    const { user } = await this.change("updateUser", { userId: "me", ...profile } as RequestOf<"updateUser">);
    return user!;
  }

  /**
   * Users whose name begins with this, at most `limit` of 200, by name. Rejects with a {@link PermissionDeniedError} where the server
   * does not offer it to everyone.
   */
  async searchUsers(namePrefix: string, { limit = 20, signal }: { limit?: number; signal?: AbortSignal } = {}): Promise<readonly User[]> {
    return (await this.call("searchUsers", { namePrefix, pageSize: limit }, signal)).users;
  }

  /** Whom the user blocks, by id, once {@link loadBlocked} was called. Hide what they write in shared rooms. */
  get blocked(): readonly string[] {
    return this.#blocked;
  }

  /** Reads whom the user blocks, and keeps {@link blocked} up to date from then on. */
  async loadBlocked(): Promise<readonly string[]> {
    const changed = (userIds: readonly string[]) => {
      this.#blocked = userIds;
      this.emit("blocked", userIds);
      this.#slices.notify();
    };
    this.#blocks ??= import("./blocks.js").then(({ Blocks }) => new Blocks(this.#session, changed));
    this.#blocks.catch(() => (this.#blocks = undefined));
    await (await this.#blocks).load();
    return this.#blocked;
  }

  /** Blocks a user, who is not told: they can no longer write to this user in private, or add them to rooms, or see their presence. */
  async blockUser(userId: string): Promise<void> {
    await this.change("blockUser", { userId });
    (await this.#blocks)?.set(userId, true);
  }

  /** Lifts a block. */
  async unblockUser(userId: string): Promise<void> {
    await this.change("unblockUser", { userId });
    (await this.#blocks)?.set(userId, false);
  }

  /** Whether a user is online, as far as known; see {@link watchPresence}. */
  isOnline(userId: string): boolean {
    return this.#rooms.isOnline(userId);
  }

  /** Reads which of these users are online, and keeps that up to date. */
  watchPresence(userIds: readonly string[]): Promise<void> {
    return this.#presence.watch(userIds);
  }

  /** Reads the inbox again. */
  refresh(): Promise<void> {
    return this.#sync.inbox.refresh();
  }

  /** Nothing is emitted or requested any more. */
  #ended(): void {
    this.#sync.inbox.close();
    this.#rooms.close();
  }

  #queued({ roomId, toUser }: Command): void {
    if (roomId !== undefined) this.#rooms.get(roomId)?.queued();
    if (toUser === undefined) return;
    this.directRoomWith(toUser)?.queued();
    this.emit("outgoing", { toUser });
  }

  /** Without a role the user is not a member. */
  #added(room: RoomMessage | undefined, role: Role): Room {
    if (!room) throw new Error("the server's answer has no room");
    this.#rooms.apply({ type: "room", roomId: room.roomId, room, role });
    return this.#rooms.of(room.roomId);
  }
}

function sentOf({ roomId, seq, at }: SendMessageResponse): Sent {
  return { roomId, seq: Number(seq), at: date(at) };
}

/** A key is `sender/id`; user ids contain no slash. */
function idOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}
