import { Emitter } from "./emitter.js";
import type { Event, Gap, SendMessageResponse, Signal, User } from "./gen/chat_pb.js";
import { Outbox, type Draft } from "./room/outbox.js";
import { type ChatMessage, echo } from "./room/message.js";
import { type Owner, Room } from "./room/room.js";
import { backoff } from "./random.js";
import type { OperationName, RequestOf, ResponseOf } from "./session/operations.js";
import { type ConnectionState, Session, type TokenProvider } from "./session/session.js";
import { whileOnline } from "./session/while-online.js";
import { type StartOptions, Startup } from "./startup.js";
import { MemoryStorage, type Storage, type StoredMessage } from "./storage/storage.js";
import type { Transport } from "./transport/transport.js";
import { WebSocketTransport } from "./transport/websocket.js";

const INBOX_PAGE = 200;
/** What came within this time is acknowledged as delivered at once. */
const ACKNOWLEDGE_MS = 1_000;
/** Presence is looked up again this often: its signals may be lost. */
const PRESENCE_EVERY_MS = 60_000;
const PRESENCE_PAGE = 100;

/** How to be a client. */
export interface ClientOptions {
  /** Where the server is: `https://host`, or `http://host:port`. */
  url: string;
  /** A token, or what gives one: it is asked at every connection. */
  token: string | TokenProvider;
  /** How to connect: by default a WebSocket; `grpcWeb(url)` of `@parlance/client/grpc-web` where those do not get through. */
  transport?: "websocket" | Transport;
  /** Where messages on their way are kept. Default: in memory, so that a reload loses them. */
  storage?: Storage;
  /** Names this device among those of its user; stays the same. */
  deviceId?: string;
}

interface ClientEvents {
  /** Messages to someone with whom there is no room yet are not as they were: {@link Client.outgoingTo}. */
  outgoing: { toUser: string };
  /** The connection is not as it was. */
  state: ConnectionState;
  /** Rooms came or went, or their order by last message changed. */
  rooms: readonly Room[];
  /** Anything that happens in any room, in the form of the contract: per room in order, once. */
  event: Event;
  /** Events that exist and are not handed over as `event`: why is in `reason`, and `listEvents` reads them where they are kept. */
  gap: Gap;
  /** Someone came or went. */
  presence: { userId: string; online: boolean };
  /** Someone's profile changed, oneself or who shares a room: as it is now. Of two, the later `updatedAt` counts. */
  user: User;
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
export class Client extends Emitter<ClientEvents> implements Owner {
  readonly #session: Session;
  readonly #startup: Startup;
  readonly #outbox: Outbox;
  readonly #rooms = new Map<string, Room>();
  readonly #online = new Map<string, boolean>();
  readonly #undelivered = new Set<Room>();
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  #refreshing: Promise<void> | undefined;
  #refreshAgain = false;
  #refusedRefreshes = 0;
  #refreshLater = () => {};
  /** All rooms have been read once: before that, a list of them would be a part. */
  #isRead = false;
  #sorted: readonly Room[] | undefined;

  constructor(options: ClientOptions) {
    super();
    const { url, token, transport = "websocket", storage = new MemoryStorage(), deviceId } = options;
    this.#session = new Session({
      transport: transport === "websocket" ? new WebSocketTransport(url) : transport,
      token: typeof token === "string" ? () => token : token,
      deviceId,
    });
    this.#outbox = new Outbox(this.#session, storage, (message) => this.#sent(message));
    this.#startup = new Startup(this.#session);
    this.#session.on("state", (state) => {
      if (state.status !== "online") this.#refreshLater();
      if (state.status === "closed") clearTimeout(this.#acknowledging);
      this.emit("state", state);
    });
    whileOnline(this.#session, PRESENCE_EVERY_MS, () => this.#lookUpPresence());
    this.#session.on("welcome", () => {
      void this.refresh();
      for (const room of this.#rooms.values()) room.resumed();
    });
    this.#session.on("event", (event) => this.#event(event));
    this.#session.on("gap", (gap) => {
      this.#rooms.get(gap.roomId)?.gap(gap);
      this.emit("gap", gap);
    });
    this.#session.on("signal", (signal) => this.#signal(signal));
  }

  /**
   * Connects, and stays connected. Resolves once the rooms are there. Rejects if it is refused or closed before that, or
   * given up by the options; where waiting mends nothing, with a {@link ConfigurationError} at once. A second call returns
   * the result of the first.
   */
  start(options: StartOptions = {}): Promise<void> {
    return this.#startup.start(options);
  }

  /** Ends the connection for good, and never throws. What is on its way stays in the storage. */
  close(): void {
    this.#session.close();
  }

  /** How the connection stands. */
  get state(): ConnectionState {
    return this.#session.state;
  }

  /** Who one is; empty before the first connection. */
  get userId(): string {
    return this.#session.userId;
  }

  /** The rooms that one is a member of and has not hidden, the one with the latest message first. */
  get rooms(): readonly Room[] {
    return (this.#sorted ??= this.#list(false));
  }

  /** Those of them that one has hidden: {@link Room.setHidden}. */
  get hiddenRooms(): readonly Room[] {
    return this.#list(true);
  }

  /** A room by id, if one is or was a member. */
  room(id: string): Room | undefined {
    return this.#rooms.get(id);
  }

  /** Sends a message. It is tried until the server has it, over reloads too if there is a storage for that. */
  send(draft: Draft): Promise<SendMessageResponse> {
    return this.#outbox.send(draft);
  }

  /** Messages to a room that are not acknowledged. */
  outgoing(roomId: string): readonly StoredMessage[] {
    const peer = this.#rooms.get(roomId)?.peerId;
    return this.#outbox.messages.filter((message) => message.roomId === roomId || (peer && message.toUser === peer));
  }

  /** The same to someone, with whom there may be no room yet. */
  outgoingTo(userId: string): ChatMessage[] {
    const waiting = this.#outbox.messages.filter(({ toUser }) => toUser === userId);
    return waiting.map((message) => echo(message, "", this.userId));
  }

  /** Tries a message again that was refused; `key` is that of the message. */
  retry(key: string): void {
    this.#outbox.retry(idOf(key))?.catch(() => {});
  }

  /** Forgets a message that was refused, or is still on its way. */
  discard(key: string): Promise<void> {
    return this.#outbox.discard(idOf(key));
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
    return this.state.status === "online" && (this.#online.get(userId) ?? false);
  }

  /** Looks up who of these is online, and keeps it up to date. */
  async watchPresence(userIds: readonly string[]): Promise<void> {
    for (let from = 0; from < userIds.length; from += PRESENCE_PAGE) {
      const { presences } = await this.call("getPresence", { userIds: userIds.slice(from, from + PRESENCE_PAGE) });
      for (const { userId, online } of presences) this.#present(userId, online);
    }
  }

  /** Reads the inbox again. */
  refresh(): Promise<void> {
    this.#refreshAgain = this.#refreshing !== undefined;
    this.#refreshing ??= this.#refresh()
      .then(
        () => {
          this.#refusedRefreshes = 0;
          this.#startup.succeeded();
        },
        (error: unknown) => {
          this.#startup.failed(error);
          // Refused, unless it is closed: the next connection reads them too.
          this.#refreshLater = this.#session.clock.after(backoff(this.#refusedRefreshes++), () => {
            if (this.state.status === "online") void this.refresh();
          });
        },
      )
      .finally(() => {
        this.#refreshing = undefined;
        if (this.#refreshAgain) void this.refresh();
      });
    return this.#refreshing;
  }

  /** What may have been missed by signals, asked for on this connection only. */
  async #lookUpPresence(): Promise<void> {
    const userIds = [...this.#online.keys()];
    for (let from = 0; from < userIds.length; from += PRESENCE_PAGE) {
      const { presences } = await this.#session.callNow("getPresence", { userIds: userIds.slice(from, from + PRESENCE_PAGE) });
      for (const { userId, online } of presences) this.#present(userId, online);
    }
  }

  async #refresh(): Promise<void> {
    let pageToken = "";
    do {
      const page = await this.call("listInbox", { pageSize: INBOX_PAGE, pageToken, includeHidden: true });
      for (const entry of page.entries) if (entry.room) this.#roomOf(entry.room.roomId).entry(entry);
      pageToken = page.nextPageToken;
    } while (pageToken);
    this.#isRead = true;
    this.#reorder();
    void this.#lookUpPresence().catch(() => {});
  }

  #event(event: Event): void {
    const isNew = !this.#rooms.has(event.roomId);
    const room = this.#roomOf(event.roomId);
    room.event(event);
    this.#undelivered.add(room);
    this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
    // Of a room that was not there, the inbox knows the rest.
    if (isNew) void this.refresh();
    this.#reorder();
    this.emit("event", event);
  }

  #signal({ signal }: Signal): void {
    if (signal.case === "typing") this.#rooms.get(signal.value.roomId)?.types(signal.value);
    else if (signal.case === "receipt") this.#rooms.get(signal.value.roomId)?.receipt(signal.value);
    else if (signal.case === "presence") this.#present(signal.value.userId, signal.value.online);
    else if (signal.case === "userUpdated") this.emit("user", signal.value);
    else if (signal.case === "roomHidden") void this.refresh();
  }

  #present(userId: string, online: boolean): void {
    if (this.#online.get(userId) === online) return;
    this.#online.set(userId, online);
    this.emit("presence", { userId, online });
  }

  #acknowledge(): void {
    this.#acknowledging = undefined;
    for (const room of this.#undelivered) {
      // What has come, which may be less than what the inbox says there is.
      const seq = this.#session.cursor(room.id);
      if (seq !== undefined) this.call("acknowledgeDelivery", { roomId: room.id, seq }).catch(() => {});
    }
    this.#undelivered.clear();
  }

  #sent({ roomId, toUser }: StoredMessage): void {
    if (roomId !== undefined) return this.#rooms.get(roomId)?.outgoing();
    for (const room of this.#rooms.values()) if (room.peerId === toUser) room.outgoing();
    if (toUser !== undefined) this.emit("outgoing", { toUser });
  }

  #roomOf(id: string): Room {
    let room = this.#rooms.get(id);
    if (!room) this.#rooms.set(id, (room = new Room(this, id)));
    return room;
  }

  #list(hidden: boolean): Room[] {
    return [...this.#rooms.values()]
      .filter((room) => room.isMember && room.isHidden === hidden)
      .sort((a, b) => lastAt(b) - lastAt(a) || (a.id < b.id ? -1 : 1));
  }

  #reorder(): void {
    this.#sorted = undefined;
    if (this.#isRead) this.emit("rooms", this.rooms);
  }
}

function lastAt(room: Room): number {
  return Math.max(room.lastMessage?.at.getTime() ?? 0, room.memberSince.getTime());
}

/** A key is `sender/id`; no user id has a slash. */
function idOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}
