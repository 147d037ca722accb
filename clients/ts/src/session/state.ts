import type { ParlanceError } from "../errors.js";

/** How a client stands with its server. */
export type ConnectionState =
  | { status: "idle" }
  | { status: "connecting" }
  | { status: "online"; userId: string; nodeId: string }
  /** Not connected. It is tried again at `retryAt`, as `Date.now()` has it. An `OfflineError` says that the device has no network. */
  | { status: "waiting"; retryAt: number; error: ParlanceError | undefined }
  /** For good: closed, or refused in a way that trying again does not mend. */
  | { status: "closed"; error: ParlanceError | undefined };
