import { Emitter } from "./emitter.js";
import { eventsOf, type EventsOptions, RoomEvents, type RoomItem } from "./events.js";
import {
  type Event,
  type Gap,
  HistoryVisibility,
  type Receipt,
  Role,
  type Room as RoomMessage,
  RoomKind,
  type SendMessageResponse,
  type Signal,
  type User,
  type Welcome,
} from "./gen/chat_pb.js";
import { Inbox } from "./inbox.js";
import { RoomLists, type Unread } from "./lists.js";
import { type Command, type Draft, type NewCommand, outgoingOf, type OutgoingMessage } from "./queue/command.js";
import { type Confirmed, echo, project, type Projection } from "./queue/project.js";
import { CommandQueue } from "./queue/queue.js";
import { type Answer, changeOf } from "./queue/request.js";
import type { RoomChanges } from "./room/events.js";
import type { RoomInfo } from "./room/info.js";
import { type ChatMessage, date } from "./room/message.js";
import { receiptOf, Room } from "./room/room.js";
import type { OperationName, RequestOf, ResponseOf } from "./session/operations.js";
import { type ConnectionState, Session, type TokenProvider } from "./session/session.js";
import { whileOnline } from "./session/while-online.js";
import { Slices } from "./slices.js";
import { type StartOptions, Startup } from "./startup.js";
import type { Input } from "./state/inputs.js";
import { emptyRoom, isKnown, isStale, type RoomState } from "./state/room-state.js";
import { apply, emptyState } from "./state/state.js";
import type { ReadMark } from "./state/unread.js";
import { MemoryStorage } from "./storage/memory.js";
import type { StorageState } from "./storage/steady.js";
import type { Storage } from "./storage/store.js";
import type { Transport } from "./transport/transport.js";
import { WebSocketTransport } from "./transport/websocket.js";

/** What was received within this time is acknowledged as delivered at once. */
const ACKNOWLEDGE_MS = 1_000;
/** Presence is looked up again this often: its signals may be lost. */
const PRESENCE_EVERY_MS = 60_000;
const PRESENCE_PAGE = 100;
/** Lists over all rooms are emitted no more often than this. */
const EMIT_EVERY_MS = 16;
/** Rooms that nobody watches and that still keep their messages: those looked at last. */
const KEPT_ROOMS = 16;

/** How to be a client. */
export interface ClientOptions {
  /** Where the server is: `https://host`, or `http://host:port`. */
  url: string;
  /** A token, or what gives one: it is asked at every connection. */
  token: string | TokenProvider;
  /** How to connect: by default a WebSocket; `grpcWeb(url)` of `@parlance/client/grpc-web` where those do not get through. */
  transport?: "websocket" | Transport;
  /** Where changes on their way are kept. Default: in memory, so that a reload loses them. */
  storage?: Storage;
  /** Names this device among those of its user; stays the same. */
  deviceId?: string;
}

interface ClientEvents extends RoomChanges {
  /** Messages to someone with whom there is no room yet changed: {@link Client.outgoingTo}. */
  outgoing: { toUser: string };
  /** A change was refused for good: `error` says why. Messages and changes to messages can be tried again or discarded. */
  failed: Command;
  /** Whether changes on their way outlive the page has changed. */
  storage: StorageState;
  /** The connection changed. */
  state: ConnectionState;
  /** Rooms came or went, or their order by last message changed. Once for all that is received at about the same time. */
  rooms: readonly Room[];
  /** Anything that happens in any room, in the form of the contract: per room in order, once. */
  event: Event;
  /** Events that exist and are not handed over as `event`: why is in `reason`, and {@link Client.eventsOf} reads them. */
  gap: Gap;
  /** Someone came or went. */
  presence: { userId: string; online: boolean };
  /** Someone's profile changed, oneself or who shares a room: as it is now. Of two, the later `updatedAt` counts. */
  user: User;
}

/** Immutable values over all rooms: each is replaced when it changes, and identical until then. */
export interface ClientSlices {
  /** Rooms that one is a member of and has not hidden, the one with the latest message first. */
  rooms: readonly RoomInfo[];
  hiddenRooms: readonly RoomInfo[];
  unread: Unread;
  connection: ConnectionState;
}

/** A message that is durable. */
export interface Sent {
  readonly roomId: string;
  readonly seq: number;
  readonly at: Date;
}

/** A message that is being sent. Awaiting it waits until it is durable; nothing has to. */
export interface Sending extends Promise<Sent> {
  /** What {@link Client.retry} and {@link Client.discard} take, also after a restart. */
  readonly id: string;
  /** Takes it back: as long as it waits it is never sent. */
  discard(): Promise<void>;
}

/** A room to create. */
export interface NewRoom {
  /** `group`: by invitation. `channel`: anyone may join. */
  kind: "group" | "channel";
  title?: string;
  topic?: string;
  /** Others to add at once, at most 40. */
  memberIds?: readonly string[];
  /** How much of the past a new member may read. Default: `all` in channels, `since_joined` in groups. */
  history?: "all" | "since_joined";
}

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
  readonly #rooms = new Map<string, Room>();
  readonly #lists = new RoomLists();
  readonly #inbox: Inbox;
  readonly #slices = new Slices<ClientSlices>((name) => this.getSnapshot(name));
  readonly #undelivered = new Set<string>();
  /** Rooms with loaded messages, the one looked at last at the end. */
  readonly #looked = new Set<Room>();
  #confirmed = emptyState();
  #order = 0;
  /** What has come counts as delivered, unless a reader of {@link events} says what was handled. */
  #acknowledges = true;
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  #emitting: ReturnType<typeof setTimeout> | undefined;
  #emittedAt = Number.NEGATIVE_INFINITY;
  #emittedRooms: readonly Room[] | undefined;
  /** All rooms have been read once: before that, a list of them would be a part. */
  #isRead = false;
  #serverAheadMs = 0;

  constructor(options: ClientOptions) {
    super();
    const { url, token, transport = "websocket", storage = new MemoryStorage(), deviceId } = options;
    this.#session = new Session({
      transport: transport === "websocket" ? new WebSocketTransport(url) : transport,
      token: typeof token === "string" ? () => token : token,
      deviceId,
    });
    this.#queue = new CommandQueue(this.#session, storage);
    this.#queue.on("change", (command) => this.#queued(command));
    this.#queue.on("confirmed", ({ command, answer }) => this.#carriedOut(command, answer));
    this.#queue.on("failed", (command) => this.emit("failed", command));
    this.#queue.on("storage", (state) => this.emit("storage", state));
    this.#startup = new Startup(this.#session);
    this.#inbox = new Inbox(this.#session, {
      order: () => this.nextOrder(),
      heads: () => this.#heads(),
      entry: (entry, order) => this.apply({ type: "inbox", roomId: entry.room?.roomId ?? "", entry, order }),
      unlisted: (roomId, headSeq) => this.apply({ type: "unlisted", roomId, headSeq }),
      isStale: () => [...this.#confirmed.rooms.values()].some((room) => isKnown(room) && isStale(room)),
      done: () => this.#inboxRead(),
      failed: (error) => this.#startup.failed(error),
    });
    this.#session.on("state", (state) => {
      if (state.status !== "online") this.#inbox.offline();
      if (state.status === "closed") this.#ended();
      this.emit("state", state);
      this.#slices.notify();
    });
    this.#session.on("welcome", (welcome) => this.#welcomed(welcome));
    this.#session.on("event", (event) => this.#event(event));
    this.#session.on("gap", (gap) => this.#gap(gap));
    this.#session.on("signal", (signal) => this.#signal(signal));
    whileOnline(this.#session, PRESENCE_EVERY_MS, () => this.#lookUpPresence());
  }

  /**
   * Connects, and stays connected. Resolves once the rooms are there. Rejects if it is refused or closed before that, or
   * given up by the options; where waiting mends nothing, with a {@link ConfigurationError} at once. A second call returns
   * the result of the first.
   */
  start(options: StartOptions = {}): Promise<void> {
    return this.#startup.start(options);
  }

  /**
   * Everything that happens in the rooms, for bots and services: in order for each room, at least once, with explicit
   * gaps. Only before the start, and once: throws a {@link ParlanceError} otherwise. The loop starts the client. With it
   * nothing is acknowledged as delivered but what the loop has handled.
   *
   * @example
   * for await (const item of client.events({ cursors: await load() })) {
   *   if (item.kind === "event") await handle(item.event);
   *   if (item.cursor) await save(item.cursor);
   * }
   */
  events(options: EventsOptions = {}): RoomEvents {
    const events = new RoomEvents(this.#session, () => void this.start(), options);
    this.#acknowledges = false;
    return events;
  }

  /**
   * What a gap stands for, page by page: events, and gaps where parts of it cannot be had. Nothing for a gap without an
   * end, or with another reason than `TOO_LONG` and `ACKNOWLEDGED_ELSEWHERE`.
   */
  eventsOf(gap: Gap, signal?: AbortSignal): AsyncGenerator<RoomItem, void> {
    return eventsOf(this.#session, gap, signal);
  }

  /** Ends the connection for good, and never throws. What is on its way stays in the storage. */
  close(): void {
    this.#session.close();
    void this.#queue.close();
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
    return Date.now() + this.#serverAheadMs;
  }

  /** Who one is; empty before the first connection. */
  get userId(): string {
    return this.#session.userId;
  }

  /** The rooms that one is a member of and has not hidden, the one with the latest message first. */
  get rooms(): readonly Room[] {
    return this.#lists.rooms("listed");
  }

  /** Those of them that one has hidden: {@link Room.setHidden}. */
  get hiddenRooms(): readonly Room[] {
    return this.#lists.rooms("hidden");
  }

  /** Unread messages over {@link rooms}. */
  get unread(): Unread {
    return this.#lists.unread;
  }

  /** A room by id, if one is or was a member. */
  room(id: string): Room | undefined {
    return this.#rooms.get(id);
  }

  /** The direct room with someone, hidden or not, if there is one. */
  directRoomWith(userId: string): Room | undefined {
    return this.#lists.directWith(userId);
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
    rooms: () => this.#lists.infos("listed"),
    hiddenRooms: () => this.#lists.infos("hidden"),
    unread: () => this.#lists.unread,
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
    await this.submit({ kind: "join", roomId, payload: {} });
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

  /** Messages to a room that are not acknowledged. */
  outgoing(roomId: string): readonly OutgoingMessage[] {
    const peer = this.stateOf(roomId).peerId;
    const own = this.#queue.commands.filter((command) => command.roomId === roomId || (peer && command.toUser === peer));
    return own.flatMap(outgoingOf);
  }

  /** The same to someone, with whom there may be no room yet. */
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
    return this.#session.call(name, request, signal);
  }

  /** Whether someone is online, as far as known; ask for it with {@link watchPresence}. */
  isOnline(userId: string): boolean {
    return this.state.status === "online" && (this.#confirmed.presence.get(userId)?.online ?? false);
  }

  /** Looks up who of these is online, and keeps it up to date. */
  watchPresence(userIds: readonly string[]): Promise<void> {
    return this.#askPresence(userIds, (request) => this.call("getPresence", request));
  }

  /** What may have been missed by signals, asked for on this connection only. */
  #lookUpPresence(): Promise<void> {
    return this.#askPresence([...this.#confirmed.presence.keys()], (request) => this.#session.callNow("getPresence", request));
  }

  async #askPresence(
    userIds: readonly string[],
    ask: (request: RequestOf<"getPresence">) => Promise<ResponseOf<"getPresence">>,
  ): Promise<void> {
    for (let from = 0; from < userIds.length; from += PRESENCE_PAGE) {
      const order = this.nextOrder();
      const { presences } = await ask({ userIds: userIds.slice(from, from + PRESENCE_PAGE) });
      for (const { userId, online } of presences) this.apply({ type: "presence", userId, online, order });
    }
  }

  /** Reads the inbox again. */
  refresh(): Promise<void> {
    return this.#inbox.refresh();
  }

  // === Of its rooms ===

  /** @internal */
  stateOf(roomId: string): RoomState {
    return this.#confirmed.rooms.get(roomId) ?? emptyRoom(roomId);
  }

  /** @internal */
  nextOrder(): number {
    return ++this.#order;
  }

  /** @internal */
  project(confirmed: Confirmed): Projection {
    return project(confirmed, this.#queue.commands);
  }

  /** @internal */
  submit(command: NewCommand): Promise<unknown> {
    return this.#queue.submit(command).done;
  }

  /** @internal */
  happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void {
    this.emit<keyof RoomChanges>(name, change);
  }

  /** @internal */
  touched(room: Room): void {
    this.#lists.touch(room);
    if (this.#emitting !== undefined || !this.#isRead) return;
    const wait = Math.max(0, this.#emittedAt + EMIT_EVERY_MS - performance.now());
    this.#emitting = setTimeout(() => this.#emitLists(), wait);
  }

  /** @internal */
  looked(room: Room): void {
    this.#looked.delete(room);
    this.#looked.add(room);
    if (this.#looked.size <= KEPT_ROOMS) return;
    for (const old of this.#looked) {
      if (this.#looked.size <= KEPT_ROOMS) return;
      if (old === room || old.isWatched) continue;
      this.#looked.delete(old);
      old.release();
    }
  }

  /** @internal Takes an input into the state, and emits what it changed. */
  apply(input: Input): void {
    const before = this.#confirmed;
    const after = apply(before, input);
    if (after === before) return;
    this.#confirmed = after;
    if (input.type === "welcome") {
      for (const room of this.#rooms.values()) {
        const [old, now] = [before.rooms.get(room.id), after.rooms.get(room.id)];
        if (old && now && old !== now) room.stateChanged(old, now);
      }
    } else if (input.type === "presence") {
      const { userId, online } = input;
      if ((before.presence.get(userId)?.online ?? false) !== online) this.emit("presence", { userId, online });
    } else {
      const now = after.rooms.get(input.roomId);
      if (!now || !isKnown(now)) return;
      this.#roomOf(input.roomId).stateChanged(before.rooms.get(input.roomId) ?? emptyRoom(input.roomId), now);
      if (isStale(now)) this.#inbox.freshen();
    }
  }

  // === Of the session ===

  #welcomed({ userId, heads, serverTime }: Welcome): void {
    if (serverTime) this.#serverAheadMs = date(serverTime).getTime() - Date.now();
    const epochs = heads.map(({ roomId, seq, epoch }) => ({ roomId, seq: Number(seq), epoch: Number(epoch) }));
    this.apply({ type: "welcome", userId, heads: epochs });
    void this.refresh();
    for (const room of this.#rooms.values()) room.resumed();
  }

  #event(event: Event): void {
    const { roomId } = event;
    this.apply({ type: "event", roomId, event });
    this.#rooms.get(roomId)?.event(event);
    this.#queue.observed(roomId, Number(event.seq));
    if (this.#acknowledges) {
      this.#undelivered.add(roomId);
      this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
    }
    this.emit("event", event);
  }

  #gap(gap: Gap): void {
    const { roomId } = gap;
    const before = this.stateOf(roomId);
    this.apply({ type: "gap", roomId, gap });
    this.#rooms.get(roomId)?.gap(gap, before);
    this.emit("gap", gap);
  }

  #signal({ signal }: Signal): void {
    switch (signal.case) {
      case "typing":
        this.#rooms.get(signal.value.roomId)?.types(signal.value);
        break;
      case "receipt":
        this.#receipt(signal.value);
        break;
      case "presence":
        this.apply({ type: "presence", ...signal.value, order: this.nextOrder() });
        break;
      case "userUpdated":
        this.emit("user", signal.value);
        break;
      case "roomHidden": {
        const { roomId, hidden } = signal.value;
        this.apply({ type: "hidden", roomId, hidden, order: this.nextOrder() });
        // Whether there was a message since, the inbox has.
        void this.refresh();
      }
    }
  }

  #receipt(receipt: Receipt): void {
    const { roomId, userId } = receipt;
    if (userId !== this.userId) this.apply({ type: "receipts", roomId, receipts: [receiptOf(receipt)] });
    // Another device of one's own.
    else if (receipt.readSeq > 0n) this.apply({ type: "read", roomId, mark: markOf(receipt) });
  }

  #acknowledge(): void {
    this.#acknowledging = undefined;
    for (const roomId of this.#undelivered) {
      // What was received: the head may be further, by what the inbox says.
      const seq = BigInt(this.stateOf(roomId).receivedSeq);
      this.call("acknowledgeDelivery", { roomId, seq }).catch(() => {});
    }
    this.#undelivered.clear();
  }

  /** Nothing is emitted or asked for any more. */
  #ended(): void {
    clearTimeout(this.#acknowledging);
    clearTimeout(this.#emitting);
    this.#inbox.close();
  }

  #heads(): ReadonlyMap<string, number> {
    const heads = new Map<string, number>();
    for (const { id, head, membership } of this.#confirmed.rooms.values()) if (membership.value.isMember) heads.set(id, head.seq);
    return heads;
  }

  #inboxRead(): void {
    this.#isRead = true;
    this.#emitLists();
    this.#startup.succeeded();
    void this.#lookUpPresence().catch(() => {});
  }

  #emitLists(): void {
    clearTimeout(this.#emitting);
    this.#emitting = undefined;
    this.#emittedAt = performance.now();
    const { rooms } = this;
    if (rooms !== this.#emittedRooms) this.emit("rooms", rooms);
    this.#emittedRooms = rooms;
    this.#slices.notify();
  }

  #queued({ roomId, toUser }: Command): void {
    if (roomId !== undefined) this.#rooms.get(roomId)?.queued();
    if (toUser === undefined) return;
    this.directRoomWith(toUser)?.queued();
    this.emit("outgoing", { toUser });
  }

  /** What an answer says that no event does. */
  #carriedOut({ kind, roomId = "", payload }: Command, { case: operation, value }: Answer): void {
    if (operation === "markRead" && value.read) {
      const mark = { seq: Number(value.read.seq), messageCount: Number(value.read.messageCount) };
      this.apply({ type: "read", roomId, mark });
    } else if (kind === "hide") {
      this.apply({ type: "hidden", roomId, hidden: payload.hidden, order: this.nextOrder() });
      void this.refresh();
    }
  }

  #roomOf(id: string): Room {
    let room = this.#rooms.get(id);
    if (!room) this.#rooms.set(id, (room = new Room(this, id)));
    return room;
  }

  #added(room: RoomMessage | undefined, role: Role): Room {
    if (!room) throw new Error("the server's answer has no room");
    this.apply({ type: "room", roomId: room.roomId, room, role });
    return this.#roomOf(room.roomId);
  }
}

/** One's own read mark, with the message count at it from servers that send that. */
function markOf({ readSeq, messageCount }: Receipt): ReadMark {
  return { seq: Number(readSeq), messageCount: messageCount === undefined ? undefined : Number(messageCount) };
}

function sentOf({ roomId, seq, at }: SendMessageResponse): Sent {
  return { roomId, seq: Number(seq), at: date(at) };
}

/** A key is `sender/id`; no user id has a slash. */
function idOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}
