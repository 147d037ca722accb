/**
 * Client of Parlance, for browsers and Node.
 *
 * {@link Client} is the API for applications. {@link Transport} is a connection to a
 * server, for custom implementations.
 *
 * @module
 */
export type { AsUser, ClientEvents, ClientOptions, ClientSlices, Logger, NewRoom, Sending, Sent } from "./client/api.js";
export { Client } from "./client/client.js";
export {
  ClosedError,
  ConfigurationError,
  InvalidRequestError,
  LimitError,
  NotFoundError,
  OfflineError,
  ParlanceError,
  PermissionDeniedError,
  PreconditionError,
  RefusedError,
  TransportError,
  UnauthenticatedError,
  UnavailableError,
} from "./errors.js";
export type { EventsOptions, RoomCursor, RoomEvents, RoomItem } from "./client/items.js";
export type { Command, CommandError, CommandState, Content, Draft, Target } from "./queue/command.js";
export { DiscardedError } from "./queue/api.js";
export { type ChatMessage, type DataChange, type MessageKind, type MessageState, isSameEmoji, type PendingChange } from "./room/message.js";
export type { Unread } from "./client/lists.js";
export type { MemberEvent, MessageEdit, ReadEvent, RoomChanges, RoomDeletion, TypingEvent } from "./room/events.js";
export type { RoomInfo, RoomMember, RoomReceipt } from "./room/info.js";
export type { HistoryAccess } from "./state/room-state.js";
export type { Ban } from "./client/blocks.js";
export type { RoomOptions, Sanction, SettingsChange } from "./room/actions.js";
export { Room } from "./room/room.js";
export type { RoomSlices } from "./room/snapshots.js";
export type { OperationName, RequestOf, ResponseOf } from "./session/operations.js";
export type { ConnectionState, TokenProvider } from "./session/session.js";
export { IndexedDbStorage } from "./storage/indexeddb.js";
export type { StartOptions } from "./client/startup.js";
export { MemoryStorage } from "./storage/memory.js";
export type { StorageState } from "./storage/steady.js";
export { type Storage, StorageError, type Store } from "./storage/store.js";
export type { Connection, Transport } from "./transport/transport.js";
export { type WebSocketConstructor, type WebSocketLike, WebSocketTransport } from "./transport/websocket.js";
/** The generated contract: requests, responses, events. */
export * as v1 from "./gen/chat_pb.js";
