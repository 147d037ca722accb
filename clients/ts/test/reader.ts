import { type ChatMessage, messageOf } from "../src/room/message.js";
import { changed, changeOf, messageWith, withForm } from "../src/state/changes.js";
import type { Input } from "../src/state/inputs.js";
import { isHidden, type RoomState } from "../src/state/room-state.js";
import { apply, emptyState, type State } from "../src/state/state.js";
import { unreadOf } from "../src/state/unread.js";
import { countOf } from "../src/state/versioned.js";

/** The parts of a message that are compared with a server's. */
export const fields = ({ seq, text, deleted, changedSeq, reactions }: ChatMessage) => ({ seq, text, deleted, changedSeq, reactions });

/** Applies inputs like a client with all messages displayed: forms from history are kept, and changed by pushed
 * events. */
export class Reader {
  readonly #held = new Map<string, Map<number, ChatMessage>>();
  state: State;

  constructor(self: string) {
    this.state = emptyState(self);
  }

  take(input: Input): void {
    const epochBefore = "roomId" in input ? this.room(input.roomId)?.epoch : 0;
    this.state = apply(this.state, input);
    if (input.type !== "event" && input.type !== "history") return;
    if (epochBefore && this.room(input.roomId)!.epoch !== epochBefore) this.#held.delete(input.roomId);
    const held = this.#held.get(input.roomId) ?? new Map<number, ChatMessage>();
    this.#held.set(input.roomId, held);
    for (const event of input.type === "event" ? [input.event] : input.events) {
      const change = changeOf(event);
      const before = held.get(change?.target ?? Number(event.seq));
      if (change && before) held.set(change.target, changed(before, change));
      if (event.body.case !== "message") continue;
      const form = messageOf(event, event.body.value);
      const changes = this.room(input.roomId)!.changes.get(Number(event.seq));
      held.set(Number(event.seq), before ? withForm(before, form, changes) : messageWith(form, changes));
    }
  }

  room(roomId: string): RoomState | undefined {
    return this.state.rooms.get(roomId);
  }

  messages(roomId: string) {
    return [...(this.#held.get(roomId)?.values() ?? [])].map(fields).sort((a, b) => a.seq! - b.seq!);
  }

  last(roomId: string) {
    const last = this.room(roomId)?.last;
    return last && fields(last);
  }
}

/** The displayed values of a room, apart from its messages. */
export function viewOf({ settings, memberCount, membership, head, marks, receipts, members, ...rest }: RoomState) {
  return {
    title: settings.value.title,
    isArchived: settings.value.isArchived,
    memberCount: countOf(memberCount),
    role: membership.value.role,
    silencedUntil: membership.value.silencedUntil,
    isMember: membership.value.isMember,
    headSeq: head.seq,
    messageCount: head.messageCount,
    readSeq: marks.readSeq,
    unreadCount: unreadOf(marks, head).count,
    isHidden: isHidden({ head, ...rest } as RoomState),
    receipts: Object.fromEntries([...receipts.byUser].sort()),
    members: Object.fromEntries([...members.byUser].filter(([, { isMember }]) => isMember).map(([userId, { role }]) => [userId, role]).sort()),
    silenced: Object.fromEntries([...members.byUser].filter(([, { isMember }]) => isMember).map(([userId, { silencedUntil }]) => [userId, silencedUntil]).sort()),
  };
}
