import type { CommandFor } from "../queue/command.js";
import type { StoredMessage } from "../storage/storage.js";

/** A message on its way, as the projection takes it. */
export function pendingSend({ id, roomId, toUser, text, replyToSeq, writtenAt, failed }: StoredMessage): CommandFor<"send"> {
  return {
    id,
    kind: "send",
    payload: { text, ...(replyToSeq !== undefined && { replyToSeq }) },
    ...(roomId !== undefined && { roomId }),
    ...(toUser !== undefined && { toUser }),
    writtenAt,
    state: failed ? "failed" : "sending",
    ...(failed && { error: { reason: "", message: failed } }),
  };
}
