import { ROOM_RESTORED } from "../errors.js";
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
  if (command.kind !== "send") return command;
  const { replyToSeq: _, ...payload } = command.payload;
  return { ...command, payload };
}

/** Whether a failure can be shown on its message, or has a text to keep. Others are reported to their caller, and removed. */
export function staysWhenFailed(command: Command): boolean {
  const { kind, error } = command;
  if (error?.reason === ROOM_RESTORED) return false;
  return kind === "send" || kind === "edit" || (changesMessage(command) && error?.reason !== "message_deleted");
}
