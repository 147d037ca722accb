import type { ParlanceError } from "../errors.js";
import type { Event, Gap, Signal, Welcome } from "../gen/chat_pb.js";
import type { Attempt } from "./attempt.js";
import type { Link } from "./link.js";

/** How a client stands with its server. */
export type ConnectionState =
  | { status: "idle" }
  | { status: "connecting" }
  | { status: "online"; userId: string; nodeId: string }
  /** Not connected. It is tried again at `retryAt`, as `Date.now()` has it. An `OfflineError` says that the device has no network. */
  | { status: "waiting"; retryAt: number; error: ParlanceError | undefined }
  /** For good: closed, or refused in a way that trying again does not mend. */
  | { status: "closed"; error: ParlanceError | undefined };

/** What a session tells its listeners. */
export interface SessionEvents {
  state: ConnectionState;
  welcome: Welcome;
  /** Of each room in order, each once. */
  event: Event;
  /** Events that exist and are not handed over. */
  gap: Gap;
  signal: Signal;
  /** The page is hidden, and may end without another word. */
  hidden: void;
  /** It is another user's session from now on: nothing that was handed over before is theirs. */
  replaced: string;
}

/** What the session does now. Every change of it is one of the transitions of `Session`. */
export type Phase =
  | { name: "idle" }
  | { name: "connecting"; attempt: Attempt }
  /** Connected, with or without a welcome so far. */
  | { name: "linked"; link: Link }
  /** Until a timer; `notBefore` is what the server asked for, by the clock's `now`. */
  | { name: "waiting"; notBefore: number; error: ParlanceError | undefined; cancel: () => void }
  | { name: "closed" };
