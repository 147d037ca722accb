import type { Command } from "../queue/command.js";

/** A message as stored by version 1. */
export interface Version1Message {
  id: string;
  roomId?: string;
  toUser?: string;
  text: string;
  replyToSeq?: number;
  afterSeq?: number;
  writtenAt: number;
  failed?: string;
}

/** The command that sends it. */
export function commandOf({ id, roomId, toUser, text, replyToSeq, afterSeq, writtenAt, failed }: Version1Message): Command {
  return {
    id,
    kind: "send",
    payload: { text, ...(replyToSeq !== undefined && { replyToSeq }) },
    writtenAt,
    // Version 1 set `afterSeq` just before a message was sent.
    state: failed !== undefined ? "failed" : afterSeq !== undefined ? "sending" : "waiting",
    ...(roomId !== undefined && { roomId }),
    ...(toUser !== undefined && { toUser }),
    ...(afterSeq !== undefined && { afterSeq }),
    ...(failed !== undefined && { error: { reason: "", message: failed } }),
  };
}
