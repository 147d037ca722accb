import { ParlanceError } from "../errors.js";
import type { StorageState } from "../storage/steady.js";
import type { Command } from "./command.js";
import type { Answer } from "./request.js";

export interface QueueEvents {
  /** A command was added, has changed, or is gone. */
  change: Command;
  /** A command was carried out, in this tab or another. */
  confirmed: { command: Command; answer: Answer };
  /** A command was refused for good. */
  failed: Command;
  storage: StorageState;
  /** Whether this tab owns the queue, and what else the tabs share, changed. */
  owner: boolean;
  /** It is about to end: the last moment to write. */
  ends: void;
  /** In another tab the user signed out. */
  erased: void;
}

/** A command that the queue has taken. */
export interface Submitted {
  /** Its id: what `retry` and `discard` take, also after a restart. */
  id: string;
  /** Resolves once it is carried out; with undefined where another command cancelled it. */
  done: Promise<Answer | undefined>;
}

/** A command was discarded before it was carried out. */
export class DiscardedError extends ParlanceError {
  override name = "DiscardedError";
}
