import { Code, type RefusedError, refused } from "../errors.js";
import { changesMessage, type Command } from "./command.js";

/**
 * How to handle a command whose room was restored from a backup after it was issued. The backup does not contain it,
 * and seqs may refer to other events now:
 * - `send`: sent as if for the first time.
 * - `fail`: it refers to an event, and might change another one.
 * - `drop`: it refers to an event, and can be dropped silently.
 */
export function fateOf({ kind, state, payload }: Command): "send" | "fail" | "drop" {
  const namesEvent = kind === "change" ? typeof payload.request === "object" && payload.request !== null && "seq" in payload.request : "seq" in payload;
  if (state === "confirmed") return "drop";
  if (!namesEvent) return "send";
  return kind === "markRead" || state === "failed" ? "drop" : "fail";
}

/** Removes the reply reference of a message: that may be another message now. */
export function withoutReply(command: Command): Command {
  return command.kind === "send" ? { ...command, payload: { text: command.payload.text } } : command;
}

/** The reason of {@link roomRestored}. */
export const ROOM_RESTORED = "room_restored";

/** The error of a command that refers to an event from before the restore. */
export function roomRestored(roomId: string): RefusedError {
  const message = "the room was restored from a backup";
  return refused({ code: Code.FailedPrecondition, reason: ROOM_RESTORED, message, metadata: { room_id: roomId } });
}

/** Whether a failure can be shown on its message. Others are reported to their caller, and removed. */
export function staysWhenFailed(command: Command): boolean {
  return command.error?.reason !== ROOM_RESTORED && (command.kind === "send" || changesMessage(command));
}
