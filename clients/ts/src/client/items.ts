import type { Event, Gap } from "../gen/chat_pb.js";

/** The position up to which a room was handled. Plain JSON: store it unchanged. */
export interface RoomCursor {
  roomId: string;
  seq: number;
  /** Opaque. */
  epoch: string;
}

/** An event in a room, or a gap: events that exist but are not delivered. */
export type RoomItem = (
  | { kind: "event"; event: Event }
  /** `reason` says why, and whether {@link Client.eventsOf} can read them. */
  | { kind: "gap"; gap: Gap }
) & {
  /** Where to resume in the room once this is handled. Undefined for an open-ended gap of a room without a cursor. */
  cursor: RoomCursor | undefined;
};

/** Options for reading all events. */
export interface EventsOptions {
  /** Where to resume in each room, as left by an earlier reader. Other rooms resume after what was acknowledged. */
  cursors?: Iterable<RoomCursor>;
  /** Whether handled events are acknowledged to the server as delivered. Default: true. */
  acknowledge?: boolean;
  /** Ends the loop. */
  signal?: AbortSignal;
  /** Maximum number of items waiting in memory. Further events of a room become a gap with the reason `TOO_LONG`.
   * Default: 10,000. */
  maxWaiting?: number;
}

/**
 * Everything that happens in the rooms of a client, in order for each room and at least once: an item counts as handled
 * when the next one is requested. The item at which a loop is left, by `break` or an error, does not count.
 */
export interface RoomEvents extends AsyncIterable<RoomItem> {
  /** Where to resume in each room, according to what was handled: the value for {@link EventsOptions.cursors}. */
  readonly cursors: readonly RoomCursor[];
  /**
   * Starts the client unless it is started. Ends when the client is closed or the signal aborted; throws the error for
   * which the client was closed.
   */
  [Symbol.asyncIterator](): AsyncGenerator<RoomItem, void>;
}
