import type { StateCache } from "../cache/cache.js";
import { Emitter } from "../emitter.js";
import { ConfigurationError, NotFoundError } from "../errors.js";
import { type Gap, HistoryVisibility, Role, type Room as RoomMessage, type User, RoomKind, type SendMessageResponse } from "../gen/chat_pb.js";
import type { Command, Draft } from "../queue/command.js";
import { echo } from "../queue/project.js";
import { CommandQueue } from "../queue/queue.js";
import { changeOf } from "../queue/request.js";
import { type ChatMessage, date } from "../room/message.js";
import type { Room } from "../room/room.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import { type ConnectionState, Session } from "../session/session.js";
import { Slices } from "../slices.js";
import { MemoryStorage } from "../storage/memory.js";
import type { StorageState } from "../storage/steady.js";
import { WebSocketTransport } from "../transport/websocket.js";
import type { ClientEvents, ClientOptions, ClientSlices, NewRoom, Sending, Sent } from "./api.js";
import { roomEvents } from "./events.js";
import type { EventsOptions, RoomEvents, RoomItem } from "./items.js";
import type { Unread } from "./lists.js";
import { Presence } from "./presence.js";
import { Rooms } from "./rooms.js";
import { type StartOptions, Startup } from "./startup.js";
import { Sync } from "./sync.js";

/**
 * A user's connection to Parlance: the rooms, kept as they are now, and every operation of
 * the contract.
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
  /** The last state in the storage. Without a storage of its own there is nothing to begin with, and nothing to leave. */
  #cache: Promise<StateCache> | undefined;
  readonly #slices = new Slices<ClientSlices>((name) => this.getSnapshot(name));

  constructor(options: ClientOptions) {
    super();
    const { url, token, transport = "websocket", storage, userId, deviceId } = options;
    // Of an answer that had none: it would be waited for without end.
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
    this.#startup = new Startup(session, () => this.#cache?.then((cache) => cache.restore()));
    this.#presence = new Presence(session, rooms);
    this.#sync = new Sync({ session, queue, rooms, presence: this.#presence, startup: this.#startup, emitter: this });
    // Loaded where it is used. Where it cannot be, there is no last state.
    if (storage) this.#cache = import("../cache/cache.js").then(({ StateCache }) => new StateCache({ session, queue, rooms, refresh: () => this.refresh() }));
    this.#cache?.catch(() => {});
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
   * Shows the last state of an earlier client, if the storage has one, then connects, and stays connected. Resolves once
   * the rooms are there as the server has them. Rejects if it is refused or closed before that, or
   * given up by the options; where waiting mends nothing, with a {@link ConfigurationError} at once. A second call returns
   * the result of the first.
   */
  start(options: StartOptions = {}): Promise<void> {
    return this.#startup.start(options);
  }

  /**
   * Everything that happens in the rooms, for bots and services: in order for each room, at least once, with explicit
   * gaps. Only before the start, and once: throws a {@link ParlanceError} otherwise. The loop starts the client. With it
   * nothing is acknowledged as delivered but what the loop has handled, and the storage keeps changes only: what was
   * received says {@link EventsOptions.cursors}.
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
   * What a gap stands for, page by page: events, and gaps where parts of it cannot be had. Nothing for a gap without an
   * end, or with another reason than `TOO_LONG` and `ACKNOWLEDGED_ELSEWHERE`.
   */
  async *eventsOf(gap: Gap, signal?: AbortSignal): AsyncGenerator<RoomItem, void> {
    const { eventsOf } = await import("./reader.js");
    yield* eventsOf(this.#session, gap, signal);
  }

  /** Ends the connection for good, and never throws. The last state and what is on its way stay in the storage. */
  close(): void {
    this.#session.close();
    void this.#queue.close();
  }

  /**
   * Closes the client, and erases what the storage has of its user: the last state, and, unless `keepUnsent`, the changes
   * that were not sent. Other tabs of the same storage stay connected, but write no state any more. Resolves once it is
   * erased, or the storage does not answer.
   */
  async signOut({ keepUnsent = false } = {}): Promise<void> {
    const erased = this.#queue.erase(keepUnsent);
    this.#session.close();
    await erased;
  }

  /** How the connection stands. */
  get state(): ConnectionState {
    return this.#session.state;
  }

  /**
   * What the server's clock shows, in milliseconds since the epoch: the times of events are by that one. As
   * of the last connection; before the first one, this machine's clock.
   */
  get serverTime(): number {
    return Date.now() + this.#sync.serverAheadMs;
  }

  /** Who one is; empty until an option, the last state or the server says it. */
  get userId(): string {
    return this.#session.userId;
  }

  /** The rooms that one is a member of and has not hidden, the one with the latest message first. */
  get rooms(): readonly Room[] {
    return this.#rooms.lists.rooms("listed");
  }

  /** Those of them that one has hidden: {@link Room.setHidden}. */
  get hiddenRooms(): readonly Room[] {
    return this.#rooms.lists.rooms("hidden");
  }

  /** Unread messages over {@link rooms}. */
  get unread(): Unread {
    return this.#rooms.lists.unread;
  }

  /** A room by id, if one is or was a member. */
  room(id: string): Room | undefined {
    return this.#rooms.get(id);
  }

  /** The direct room with someone, hidden or not, if there is one. */
  directRoomWith(userId: string): Room | undefined {
    return this.#rooms.lists.directWith(userId);
  }

  /**
   * Calls `listener` when a value over all rooms was replaced, once for all that is received at
   * about the same time. Returns a function that ends it.
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
    unread: () => this.#rooms.lists.unread,
    connection: () => this.state,
  };

  /** Creates a room. */
  async createRoom({ kind, title = "", topic = "", memberIds = [], history }: NewRoom): Promise<Room> {
    const historyVisibility =
      history === undefined ? HistoryVisibility.UNSPECIFIED : history === "all" ? HistoryVisibility.ALL : HistoryVisibility.SINCE_JOINED;
    const { room } = await this.call("createRoom", {
      kind: kind === "group" ? RoomKind.GROUP : RoomKind.CHANNEL,
      settings: { title, topic, historyVisibility },
      memberIds: [...memberIds],
    });
    return this.#added(room, Role.OWNER);
  }

  /** The direct room with someone; it is created if there is none. */
  async openDirectRoom(userId: string): Promise<Room> {
    const { room } = await this.call("createRoom", { kind: RoomKind.DIRECT, memberIds: [userId] });
    return this.#added(room, Role.MEMBER);
  }

  /** Joins a channel. */
  async joinRoom(roomId: string): Promise<Room> {
    await this.#rooms.submit({ kind: "join", roomId, payload: {} });
    const { room, membership } = await this.call("getRoom", { roomId });
    return this.#added(room, membership?.role ?? Role.MEMBER);
  }

  /**
   * Sends a message. It is tried until the server has it, over reloads too if there is a storage for
   * that. Rejects where it is refused, discarded, or the client is closed first; the message says so too.
   */
  send({ id, roomId, toUser, afterSeq, text, replyToSeq }: Draft & { roomId?: string; toUser?: string }): Sending {
    const payload = { text, ...(replyToSeq !== undefined && { replyToSeq }) };
    // Where the room is known, a repeat is recognised however late it is.
    const room = roomId ?? (toUser === undefined ? undefined : this.directRoomWith(toUser)?.id);
    const target = room === undefined ? { toUser } : { roomId: room };
    const sent = this.#queue.submit({ ...(id !== undefined && { id }), ...(afterSeq !== undefined && { afterSeq }), kind: "send", payload, ...target });
    const response = sent.done.then((answer) => sentOf(answer?.value as SendMessageResponse));
    response.catch(() => {});
    return Object.assign(response, { id: sent.id, discard: () => this.#queue.discard(sent.id) });
  }

  /**
   * Carries out a change of the contract like {@link call}, but queued and stored like a message: it
   * outlives the page, and changes to one room are carried out in order.
   */
  async change<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<ResponseOf<Name>> {
    const answer = await this.#queue.submit(changeOf(name, request)).done;
    return answer?.value as ResponseOf<Name>;
  }

  /** Changes that are on their way or were refused, in the order in which they were made. */
  get commands(): readonly Command[] {
    return this.#queue.commands;
  }

  /** Whether changes on their way outlive the page. */
  get storage(): StorageState {
    return this.#queue.store.state;
  }

  /** Messages to someone that are not acknowledged: there may be no room yet, whose {@link Room.messages} have them otherwise. */
  outgoingTo(userId: string): ChatMessage[] {
    return this.#queue.commands.flatMap((command) =>
      command.kind === "send" && command.toUser === userId && command.state !== "confirmed" ? [echo(command, "", this.userId)] : [],
    );
  }

  /** Tries a change again that was refused: by the `key` of its message, or the id of the change. */
  retry(key: string): void {
    void this.#queue.retry(idOf(key));
  }

  /** Forgets a change that was refused, or is still on its way: by key or id. What only waits is never sent. */
  discard(key: string): Promise<void> {
    return this.#queue.discard(idOf(key));
  }

  /**
   * Any operation of the contract by the name of its call. It is repeated over as many
   * connections as it takes; what changes something is carried out once.
   */
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>> {
    return this.#session.call(name, request, { signal });
  }

  /** Profiles of people, in the order asked for; those who do not exist are left out. Changes come as `user` events. */
  async users(userIds: readonly string[]): Promise<readonly User[]> {
    const known = userIds.map((userId) =>
      this.call("getUser", { userId }).then(
        ({ user }) => user,
        (error) => {
          if (!(error instanceof NotFoundError)) throw error;
        },
      ),
    );
    return (await Promise.all(known)).filter((user) => user !== undefined);
  }

  /** Whether someone is online, as far as known; ask for it with {@link watchPresence}. */
  isOnline(userId: string): boolean {
    return this.#rooms.isOnline(userId);
  }

  /** Looks up who of these is online, and keeps it up to date. */
  watchPresence(userIds: readonly string[]): Promise<void> {
    return this.#presence.watch(userIds);
  }

  /** Reads the inbox again. */
  refresh(): Promise<void> {
    return this.#sync.inbox.refresh();
  }

  /** Nothing is emitted or asked for any more. */
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

  #added(room: RoomMessage | undefined, role: Role): Room {
    if (!room) throw new Error("the server's answer has no room");
    this.#rooms.apply({ type: "room", roomId: room.roomId, room, role });
    return this.#rooms.of(room.roomId);
  }
}

function sentOf({ roomId, seq, at }: SendMessageResponse): Sent {
  return { roomId, seq: Number(seq), at: date(at) };
}

/** A key is `sender/id`; no user id has a slash. */
function idOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}
