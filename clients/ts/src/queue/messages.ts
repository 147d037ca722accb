import { messageOf, ParlanceError, RefusedError, refused } from "../errors.js";
import type { Command } from "./command.js";

/** Messages between tabs about their shared queue. */
export type TabMessage =
  /** To the owner: to be carried out or retried. It is already stored. */
  | { type: "submitted"; command: Command }
  /** From the owner: it will be. */
  | { type: "accepted"; id: string }
  | { type: "changed"; command: Command }
  /** It is finished: carried out, replaced, or discarded. */
  | { type: "removed"; id: string; isDiscarded: boolean }
  /** The user signed out: stored data is erased, including commands unless they are
   * kept. */
  | { type: "erased"; keepUnsent: boolean }
  | { type: "confirmed"; command: Command; answer: Uint8Array }
  | { type: "refused"; command: Command; error: SentError };

/** An error in the form sent between tabs. */
export interface SentError {
  message: string;
  refusal?: Pick<RefusedError, "code" | "reason" | "metadata">;
}

export function encodeError(error: unknown): SentError {
  const message = messageOf(error);
  if (!(error instanceof RefusedError)) return { message };
  const { code, reason, metadata } = error;
  return { message, refusal: { code, reason, metadata } };
}

export function decodeError({ message, refusal }: SentError): ParlanceError {
  return refusal ? refused({ ...refusal, message }) : new ParlanceError(message);
}
