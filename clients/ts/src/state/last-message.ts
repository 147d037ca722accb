import type { ChatMessage } from "../room/message.js";
import { changed, changeOf, messageWith, type ChangesByMessage, withForm } from "./changes.js";
import type { Event } from "../gen/chat_pb.js";

/** The last message of a room after an event that changes one. */
export function lastAfterChange(last: ChatMessage | undefined, event: Event): ChatMessage | undefined {
  const change = changeOf(event);
  return last && change && change.target === last.seq ? changed(last, change) : last;
}

/** Applies a message in the form of an event or a snapshot: the later message, in its later
 * form. */
export function lastAfter(last: ChatMessage | undefined, form: ChatMessage, changes: ChangesByMessage): ChatMessage | undefined {
  const [seq, held] = [form.seq ?? 0, last?.seq ?? 0];
  if (seq < held) return last;
  return last && seq === held ? withForm(last, form) : messageWith(form, changes.get(seq));
}
