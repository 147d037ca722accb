import type { Event, Gap } from "../gen/chat_pb.js";

/** Up to where a room was handled. Plain JSON: keep it as it is. */
export interface RoomCursor {
  roomId: string;
  seq: number;
  /** Opaque. */
  epoch: string;
}

/** Something that happened in a room, or a gap: events that exist and are not handed over. */
export type RoomItem = (
  | { kind: "event"; event: Event }
  /** `reason` says why, and whether {@link Client.eventsOf} can read them. */
  | { kind: "gap"; gap: Gap }
) & {
  /** Where the room goes on once this is handled. Undefined for a gap without an end of a room that has no cursor. */
  cursor: RoomCursor | undefined;
};

/** How to read everything that happens. */
export interface EventsOptions {
  /** Where each room goes on, as an earlier reader left it. Rooms that are not named go on behind what was acknowledged. */
  cursors?: Iterable<RoomCursor>;
  /** Whether what was handled is acknowledged to the server as delivered. Default: true. */
  acknowledge?: boolean;
  /** Ends the loop. */
  signal?: AbortSignal;
  /** Items that may wait in memory. Further events of a room become a gap with the reason `TOO_LONG`. Default: 10,000. */
  maxWaiting?: number;
}

/**
 * Everything that happens in the rooms of a client, in order for each room and at least once: an item counts as handled
 * when the next one is asked for. What a loop is left at, by `break` or an error, is not handled.
 */
export interface RoomEvents extends AsyncIterable<RoomItem> {
  /** Where each room goes on, by what was handled so far: what {@link EventsOptions.cursors} takes. */
  readonly cursors: readonly RoomCursor[];
  /**
   * Starts the client unless it is started. Ends when the client is closed or the signal aborted; throws what the client
   * was closed for.
   */
  [Symbol.asyncIterator](): AsyncGenerator<RoomItem, void>;
}
