import type { ParlanceError } from "../errors.js";
import type { Event, Gap, Signal, Welcome } from "../gen/chat_pb.js";
import type { Attempt } from "./attempt.js";
import type { Link } from "./link.js";

/** The state of the connection to the server. */
export type ConnectionState =
  | { status: "idle" }
  | { status: "connecting" }
  | { status: "online"; userId: string; nodeId: string }
  /** Not connected. The next attempt is at `retryAt`, as in `Date.now()`. An `OfflineError` means that the device has no network. */
  | { status: "waiting"; retryAt: number; error: ParlanceError | undefined }
  /** Permanently: closed, or refused in a way that a retry cannot fix. */
  | { status: "closed"; error: ParlanceError | undefined };

/** A refusal of a call. */
export interface Refused {
  readonly operation: string;
  readonly error: unknown;
  readonly retryInMs?: number;
}

/** Events of a session. */
export interface SessionEvents {
  state: ConnectionState;
  welcome: Welcome;
  /** Of each room in order, exactly once. */
  event: Event;
  /** Events that exist but are not delivered. */
  gap: Gap;
  signal: Signal;
  /** The page is hidden, and may end without further notice. */
  hidden: void;
  /** A call was refused, by the server or before it was sent. It is sent again after `retryInMs`; without that, it is rejected. */
  refused: Refused;
  /** The session belongs to another user from now on: nothing delivered before is theirs. */
  replaced: string;
}

/** The current phase. Every change is one of the transitions of `Session`. */
export type Phase =
  | { name: "idle" }
  | { name: "connecting"; attempt: Attempt }
  /** Connected, with or without a welcome so far. */
  | { name: "linked"; link: Link }
  /** Until a timer fires; `notBefore` is what the server asked for, by the clock's `now`. */
  | { name: "waiting"; notBefore: number; error: ParlanceError | undefined; cancel: () => void }
  | { name: "closed" };
