import { ParlanceError } from "../errors.js";
import type { StorageState } from "../storage/steady.js";
import type { Command } from "./command.js";
import type { Answer } from "./request.js";

export interface QueueEvents {
  /** A command was added, changed, or removed. */
  change: Command;
  /** A command was carried out, in this tab or another. */
  confirmed: { command: Command; answer: Answer };
  /** A command was refused permanently. */
  failed: Command;
  storage: StorageState;
  /** Whether this tab owns the queue, or other state shared by the tabs, has changed. */
  owner: boolean;
  /** The page is about to end: the last moment to write. */
  ends: void;
  /** The user signed out in another tab. */
  erased: void;
}

/** A command accepted by the queue. */
export interface Submitted {
  /** Its id for `retry` and `discard`, also after a restart. */
  id: string;
  /** Resolves once it is carried out; with undefined if another command cancelled it. */
  done: Promise<Answer | undefined>;
}

/** A command was discarded before it was carried out. */
export class DiscardedError extends ParlanceError {
  override name = "DiscardedError";
}
