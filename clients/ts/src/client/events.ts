import { ConfigurationError, ParlanceError } from "../errors.js";
import type { Event, Gap } from "../gen/chat_pb.js";
import type { Session } from "../session/session.js";
import type { Startup } from "./startup.js";

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

/** Reads a session from its start. The reader is loaded here, for few pages have one; the start waits for it. */
export function roomEvents(session: Session, startup: Startup, options: EventsOptions): RoomEvents {
  if (session.state.status !== "idle" || startup.isBegun) throw new ParlanceError("events are read from before the start of a client: what happened since would be skipped");
  const from = [...(options.cursors ?? [])];
  let current: { readonly cursors: readonly RoomCursor[] } = { cursors: from };
  let isRead = false;
  const loaded = import("./reader.js").then(({ Reader }) => (current = new Reader(session, { ...options, cursors: from })));
  loaded.catch((cause) => session.close(new ConfigurationError("the reader of events cannot be loaded", { cause })));
  startup.needed = loaded;
  return {
    get cursors() {
      return current.cursors;
    },
    async *[Symbol.asyncIterator]() {
      if (isRead) throw new ParlanceError("events are read once: another reader would not get what this one has got");
      isRead = true;
      void startup.start({});
      yield* (await loaded).read();
    },
  };
}
