import { create, type JsonObject } from "@bufbuild/protobuf";

import { HistoryVisibility, Role, type RoomJoining, RoomKind, type RoomPermissions, type RoomSettings, RoomSettingsSchema } from "../gen/chat_pb.js";
import type { ChatMessage } from "../room/message.js";
import { type ChangesByMessage, UNCHANGED } from "./changes.js";
import { type Members, UNLISTED } from "./members.js";
import { NO_RECEIPTS, type Receipts } from "./receipts.js";
import { type Head, type Marks, UNMARKED, unreadOf } from "./unread.js";
import { type Counter, isCounted, UNCOUNTED, type Versioned } from "./versioned.js";

/** How much of the history a member may read: everything, or what was sent since they joined. */
export type HistoryAccess = "all" | "since_joined";

/** The confirmed state of a room. Plain values: it can be stored and cloned. */
export interface RoomState {
  readonly id: string;
  /** The epoch of the whole state; 0 while unknown. */
  readonly epoch: number;
  /** The epoch of the stream's events; 0 while unknown. */
  readonly streamEpoch: number;
  /** The last received event: may be acknowledged as delivered. */
  readonly receivedSeq: number;
  readonly head: Head;
  readonly kind: RoomKind;
  readonly peerId: string;
  readonly settings: Versioned<Settings>;
  readonly membership: Versioned<Membership>;
  /** Since when the user is a member, in milliseconds since 1970; otherwise when the room was
   * created. */
  readonly since: number;
  readonly memberCount: Counter;
  readonly marks: Marks;
  readonly hidden: Hidden;
  readonly preferences: Preferences;
  readonly last: ChatMessage | undefined;
  /** Recent changes of messages, apart from the forms they were received in. */
  readonly changes: ChangesByMessage;
  readonly receipts: Receipts;
  /** Users who are typing, and until when. */
  readonly typing: ReadonlyMap<string, number>;
  readonly members: Members;
  /** Head of the latest inbox entry; -1 before the first. */
  readonly listedSeq: number;
  /** Whether its last event was received, that of its deletion. */
  readonly isDeleted: boolean;
}

export interface Settings {
  readonly title: string;
  readonly topic: string;
  readonly imageUrl: string;
  readonly data: JsonObject | undefined;
  readonly slowModeSeconds: number;
  readonly isFrozen: boolean;
  readonly isArchived: boolean;
  readonly isListed: boolean;
  readonly history: HistoryAccess;
  readonly joining: RoomJoining;
  readonly permissions: RoomPermissions | undefined;
}

export interface Membership {
  readonly isMember: boolean;
  readonly role: Role;
  /** See `endOf`. */
  readonly silencedUntil: number;
}

/** The flag applies until the room has more messages than `messageCount`. */
export interface Hidden {
  readonly isHidden: boolean;
  readonly messageCount: number;
  readonly order: number;
}

/** The user's own preferences. */
export interface Preferences {
  readonly isPinned: boolean;
  /** See `endOf`. */
  readonly mutedUntil: number;
  /** The read mark when the room was marked as unread: it is as long as that has not moved. -1 if it was not. */
  readonly unreadAt: number;
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
    settings: { value: settingsOf(), seq: 0 },
    membership: { value: { isMember: false, role: Role.UNSPECIFIED, silencedUntil: 0 }, seq: -1 },
    since: 0,
    memberCount: UNCOUNTED,
    marks: UNMARKED,
    hidden: { isHidden: false, messageCount: 0, order: 0 },
    preferences: { isPinned: false, mutedUntil: 0, unreadAt: -1, order: 0 },
    last: undefined,
    changes: UNCHANGED,
    receipts: NO_RECEIPTS,
    typing: NO_TYPING,
    members: UNLISTED,
    listedSeq: -1,
    isDeleted: false,
  };
}

export function settingsOf(settings: RoomSettings = create(RoomSettingsSchema)): Settings {
  const { title, topic, imageUrl, data, slowModeSeconds, frozen: isFrozen, archived: isArchived, listed: isListed, historyVisibility, joining, permissions } = settings;
  const history = historyVisibility === HistoryVisibility.ALL ? "all" : "since_joined";
  return { title, topic, imageUrl, data, slowModeSeconds, isFrozen, isArchived, isListed, history, joining, permissions };
}

/** Whether the user is or was a member, according to an event or the inbox; otherwise it was only
 * mentioned. */
export function isKnown({ membership }: RoomState): boolean {
  return membership.seq >= 0;
}

/** Whether the user has hidden it, without a message since. */
export function isHidden({ hidden, head }: RoomState): boolean {
  return hidden.isHidden && head.messageCount <= hidden.messageCount;
}

/** Whether part of the room is only an estimate, until the inbox is read again. */
export function isStale(room: RoomState): boolean {
  if (!room.membership.value.isMember) return false;
  const isFromStart = room.marks.coveredFrom <= 1;
  return (room.listedSeq < 0 && !isFromStart) || !isCounted(room.memberCount) || !unreadOf(room.marks, room.head).isExact;
}
