import { messageOf, ParlanceError, RefusedError, refused } from "../errors.js";
import type { Command } from "./command.js";

/** What tabs tell each other about the queue that they share. */
export type TabMessage =
  /** For the owner: to be carried out, or tried again. It is stored already. */
  | { type: "submitted"; command: Command }
  /** Of the owner: it will be. */
  | { type: "accepted"; id: string }
  | { type: "changed"; command: Command }
  /** It is gone: carried out, replaced, or discarded. */
  | { type: "removed"; id: string; isDiscarded: boolean }
  /** The user signed out: what is stored is erased, commands too unless they are kept. */
  | { type: "erased"; keepUnsent: boolean }
  | { type: "confirmed"; command: Command; answer: Uint8Array }
  | { type: "refused"; command: Command; error: SentError };

/** An error as it is sent between tabs. */
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
