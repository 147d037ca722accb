import { Role, RoomKind } from "../gen/chat_pb.js";
import type { ChatMessage } from "../room/message.js";
import { type ChangesByMessage, UNCHANGED } from "./changes.js";
import { type Members, UNLISTED } from "./members.js";
import { NO_RECEIPTS, type Receipts } from "./receipts.js";
import { type Head, type Marks, UNMARKED, unreadOf } from "./unread.js";
import { type Counter, isCounted, UNCOUNTED, type Versioned } from "./versioned.js";

/** What is confirmed of a room. Plain values: it can be stored and cloned. */
export interface RoomState {
  readonly id: string;
  /** The epoch that everything here belongs to; 0 while unknown. */
  readonly epoch: number;
  /** The epoch that events of the stream belong to; 0 while unknown. */
  readonly streamEpoch: number;
  /** The last event that was received: what may be acknowledged as delivered. */
  readonly receivedSeq: number;
  readonly head: Head;
  readonly kind: RoomKind;
  readonly peerId: string;
  readonly settings: Versioned<Settings>;
  readonly membership: Versioned<Membership>;
  /** Since when one is a member, in milliseconds since 1970; at least since when the room exists. */
  readonly since: number;
  readonly memberCount: Counter;
  readonly marks: Marks;
  readonly hidden: Hidden;
  readonly last: ChatMessage | undefined;
  /** What changed messages lately, apart from the forms that they come in. */
  readonly changes: ChangesByMessage;
  readonly receipts: Receipts;
  /** Who types, and until when. */
  readonly typing: ReadonlyMap<string, number>;
  readonly members: Members;
  /** Head of the latest inbox entry; -1 before there was one. */
  readonly listedSeq: number;
}

export interface Settings {
  readonly title: string;
  readonly topic: string;
}

export interface Membership {
  readonly isMember: boolean;
  readonly role: Role;
}

/** The flag holds until the room has more messages than `messageCount`. */
export interface Hidden {
  readonly isHidden: boolean;
  readonly messageCount: number;
  readonly order: number;
}

export const NO_TYPING: ReadonlyMap<string, number> = new Map();

export function emptyRoom(id: string): RoomState {
  return {
    id,
    epoch: 0,
    streamEpoch: 0,
    receivedSeq: 0,
    head: { seq: 0, messageCount: 0 },
    kind: RoomKind.UNSPECIFIED,
    peerId: "",
    settings: { value: { title: "", topic: "" }, seq: 0 },
    membership: { value: { isMember: false, role: Role.UNSPECIFIED }, seq: -1 },
    since: 0,
    memberCount: UNCOUNTED,
    marks: UNMARKED,
    hidden: { isHidden: false, messageCount: 0, order: 0 },
    last: undefined,
    changes: UNCHANGED,
    receipts: NO_RECEIPTS,
    typing: NO_TYPING,
    members: UNLISTED,
    listedSeq: -1,
  };
}

/** Whether one is or was a member, as an event or the inbox said; otherwise it is only heard of. */
export function isKnown({ membership }: RoomState): boolean {
  return membership.seq >= 0;
}

/** One has hidden it, and there was no message since. */
export function isHidden({ hidden, head }: RoomState): boolean {
  return hidden.isHidden && head.messageCount <= hidden.messageCount;
}

/** Something of the room is known by an estimate only, until the inbox is read again. */
export function isStale(room: RoomState): boolean {
  if (!room.membership.value.isMember) return false;
  const isFromStart = room.marks.coveredFrom <= 1;
  return (room.listedSeq < 0 && !isFromStart) || !isCounted(room.memberCount) || !unreadOf(room.marks, room.head).isExact;
}
