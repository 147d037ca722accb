import type { Event, Gap, User } from "../gen/chat_pb.js";
import type { Unread } from "./lists.js";
import type { Command } from "../queue/command.js";
import type { RoomChanges } from "../room/events.js";
import type { RoomInfo } from "../room/info.js";
import type { Room } from "../room/room.js";
import type { ConnectionState, TokenProvider } from "../session/session.js";
import type { StorageState } from "../storage/steady.js";
import type { Storage } from "../storage/store.js";
import type { Transport } from "../transport/transport.js";

/** How to be a client. */
export interface ClientOptions {
  /** Where the server is: `https://host`, or `http://host:port`. */
  url: string;
  /** A token, or what gives one: it is asked at every connection. */
  token: string | TokenProvider;
  /** How to connect: by default a WebSocket; `grpcWeb(url)` of `@parlance/client/grpc-web` where those do not get through. */
  transport?: "websocket" | Transport;
  /**
   * Where changes on their way and the last state are kept: one storage for each user. Default: in memory, so that a
   * reload loses them.
   */
  storage?: Storage;
  /**
   * Whose client it is, as the token names them, where that is known before there is a connection. What the storage has
   * of another user is erased before anything of it is shown; without this, once the server has said who one is.
   */
  userId?: string;
  /** Names this device among those of its user; stays the same. */
  deviceId?: string;
}

export interface ClientEvents extends RoomChanges {
  /** Messages to someone with whom there is no room yet changed: `Client.outgoingTo`. */
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
  /** Events that exist and are not handed over as `event`: why is in `reason`, and `Client.eventsOf` reads them. */
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
  /** What `Client.retry` and `Client.discard` take, also after a restart. */
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
