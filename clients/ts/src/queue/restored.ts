import { Code, type RefusedError, refused } from "../errors.js";
import { changesMessage, type Command } from "./command.js";

/**
 * What becomes of a command whose room was restored from a backup since it was issued. The backup does not hold it, and
 * seqs may mean other events now:
 * - `send`: it goes out as if for the first time.
 * - `fail`: it names an event, and might change another one.
 * - `drop`: it names an event, and nobody misses it.
 */
export function fateOf({ kind, state, payload }: Command): "send" | "fail" | "drop" {
  const namesEvent = kind === "change" ? typeof payload.request === "object" && payload.request !== null && "seq" in payload.request : "seq" in payload;
  if (state === "confirmed") return "drop";
  if (!namesEvent) return "send";
  return kind === "markRead" || state === "failed" ? "drop" : "fail";
}

/** A message without the one that it answers: that may be another one now. */
export function withoutReply(command: Command): Command {
  return command.kind === "send" ? { ...command, payload: { text: command.payload.text } } : command;
}

/** The reason of {@link roomRestored}. */
export const ROOM_RESTORED = "room_restored";

/** Why a command failed that names an event of before. */
export function roomRestored(roomId: string): RefusedError {
  const message = "the room was restored from a backup: what this changes may be something else now";
  return refused({ code: Code.FailedPrecondition, reason: ROOM_RESTORED, message, metadata: { room_id: roomId } });
}

/** Whether there is something to show it on. Others are told to their caller, and forgotten. */
export function staysWhenFailed(command: Command): boolean {
  return command.error?.reason !== ROOM_RESTORED && (command.kind === "send" || changesMessage(command));
}
