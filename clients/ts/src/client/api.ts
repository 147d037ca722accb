import type { JsonObject } from "@bufbuild/protobuf";

import type { Event, Gap, Signal, User } from "../gen/chat_pb.js";
import type { Unread } from "./lists.js";
import type { Command, Draft } from "../queue/command.js";
import type { RoomOptions } from "../room/actions.js";
import type { RoomChanges } from "../room/events.js";
import type { RoomInfo } from "../room/info.js";
import type { Room } from "../room/room.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { ConnectionState, TokenProvider } from "../session/session.js";
import type { StorageState } from "../storage/steady.js";
import type { Storage } from "../storage/store.js";
import type { Transport } from "../transport/transport.js";

/** Where a client logs to: `console` is one. `fields` say what it is about: ids, reasons, delays in milliseconds. */
export interface Logger {
  /** Every attempt to connect, every call that is retried, every gap. */
  debug(message: string, fields: object): void;
  /** The connection is there, or closed; a call was refused. */
  info(message: string, fields: object): void;
  /** There is no connection, a change failed, or the storage does not work. */
  warn(message: string, fields: object): void;
  /** The client is closed because it cannot go on: see {@link ConnectionState}. */
  error(message: string, fields: object): void;
}

/** Options of a client. */
export interface ClientOptions {
  /** The server's URL: `https://host`, or `http://host:port`. */
  url: string;
  /** A token, or a provider that is called for every connection, and before a token expires. */
  token: string | TokenProvider;
  /** The transport: by default a WebSocket; `grpcWeb(url)` of `@parlance/client/grpc-web` where WebSockets are blocked. */
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
  /** Identifies this device among those of its user; stays the same. */
  deviceId?: string;
  /** Where to log what happens to connections, calls and changes. Never tokens, nor what messages say. Default: nowhere. */
  logger?: Logger;
}

export interface ClientEvents extends RoomChanges {
  /** Messages to a user without a room yet have changed: see `Client.outgoingTo`. */
  outgoing: { toUser: string };
  /** A change was rejected: `error` says why. Messages and changes to messages can be retried or discarded. */
  failed: Command;
  /** Whether pending changes survive the page has changed. */
  storage: StorageState;
  /** The connection state has changed. */
  state: ConnectionState;
  /** The list of rooms, or their order by last message, has changed. Emitted once for everything received at about the same time. */
  rooms: readonly Room[];
  /** Every event of every room, in the form of the contract: per room in order, once. */
  event: Event;
  /** Events that exist but are not emitted as `event`: `reason` says why, and `Client.eventsOf` reads them. */
  gap: Gap;
  /** Every transient notification, in the form of the contract: none of them is stored, and any may be lost. */
  signal: Signal["signal"];
  /** A user came online or went offline. */
  presence: { userId: string; online: boolean };
  /** The current profile of the user, or of someone who shares a room, after a change. The later `updatedAt` wins. */
  user: User;
  /** Whom the user blocks, after a change on any device, once `Client.loadBlocked` was called. */
  blocked: readonly string[];
}

/** Immutable values over all rooms: each is replaced when it changes, and identical until then. */
export interface ClientSlices {
  /** The user's rooms that are not hidden: pinned ones before the others, latest message first. */
  rooms: readonly RoomInfo[];
  hiddenRooms: readonly RoomInfo[];
  /** Archived ones are in no other list, and do not count as unread. */
  archivedRooms: readonly RoomInfo[];
  unread: Unread;
  /** `Client.blocked`. */
  blocked: readonly string[];
  connection: ConnectionState;
}

/** A durable message. */
export interface Sent {
  readonly roomId: string;
  readonly seq: number;
  readonly at: Date;
}

/** A message being sent. Awaiting it waits until it is durable; awaiting is optional. */
export interface Sending extends Promise<Sent> {
  /** The key for `Client.retry` and `Client.discard`, also after a restart. */
  readonly id: string;
  /** Cancels it: if it is still waiting, it is never sent. */
  discard(): Promise<void>;
}

/** What an app's backend does in the name of one of its users, with that user's rights: {@link Client.as}. */
export interface AsUser {
  readonly userId: string;
  /** Calls any operation of the contract as this user. It is retried like {@link Client.call}. */
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>>;
  /**
   * Sends a message as this user, and waits until it is durable. It is neither queued nor stored: pass an `id`, so that a repeat after a
   * restart sends nothing again.
   */
  send(draft: Draft, signal?: AbortSignal): Promise<Sent>;
}

/** A room to create. */
export interface NewRoom extends RoomOptions {
  /** `group`: by invitation. `channel`: anyone may join. */
  kind: "group" | "channel";
  /** Data of the app, at most 4 KiB. */
  data?: JsonObject;
  /**
   * The id it is to have, such as `order-42`: takes the `service` scope. If the room exists already, it is returned as it is,
   * whoever created it.
   */
  id?: string;
  /** Its owner, if that is someone else: takes the `service` scope, whose user is then not a member. */
  ownerId?: string;
  /** Other initial members, at most 40. */
  memberIds?: readonly string[];
}
