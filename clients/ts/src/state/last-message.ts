import type { Event } from "../gen/chat_pb.js";
import { type ChatMessage, changed, messageOf, targetOf } from "../room/message.js";

/** Changes that may wait for a message that is not there. */
const MAX_EARLY_CHANGES = 64;

/** The last message of a room. */
export interface LastMessage {
  readonly message: ChatMessage | undefined;
  /** Changes to later messages: they were received before the message was. */
  readonly early: readonly Event[];
}

export const NO_MESSAGE: LastMessage = { message: undefined, early: [] };

/** Takes an event as it is received. */
export function lastAfterEvent(last: LastMessage, event: Event): LastMessage {
  if (event.body.case === "message") return lastAfter(last, messageOf(event, event.body.value));
  const target = targetOf(event);
  const seq = last.message?.seq ?? 0;
  if (target === undefined || target < seq) return last;
  if (last.message && target === seq) {
    const message = changed(last.message, event);
    return message === last.message ? last : { ...last, message };
  }
  if (last.early.some((early) => early.seq === event.seq)) return last;
  return { ...last, early: [...last.early, event].slice(-MAX_EARLY_CHANGES) };
}

/** Takes a message in the form of an event or a snapshot: of one message, the form with the later change. */
export function lastAfter(last: LastMessage, message: ChatMessage): LastMessage {
  const seq = message.seq ?? 0;
  const held = last.message?.seq ?? 0;
  if (seq < held || (seq === held && message.changedSeq <= (last.message?.changedSeq ?? 0))) return last;
  const early = last.early.filter((event) => (targetOf(event) ?? 0) >= seq);
  const after = early.filter((event) => targetOf(event) === seq).reduce(changed, message);
  return { message: after, early: early.filter((event) => targetOf(event) !== seq) };
}
