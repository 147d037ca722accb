import type { JsonObject } from "@bufbuild/protobuf";

import type { RoomValues } from "../queue/project.js";
import type { Receipt, Role, RoomJoining, RoomKind, RoomPermissions } from "../gen/chat_pb.js";
import type { Members } from "../state/members.js";
import type { Receipts } from "../state/receipts.js";
import { type HistoryAccess, isHidden, type RoomState } from "../state/room-state.js";
import { unreadOf } from "../state/unread.js";
import { countOf } from "../state/versioned.js";
import type { ChatMessage } from "./message.js";

/** A room without its messages. Immutable: a change creates a new value. */
export interface RoomInfo {
  readonly id: string;
  readonly kind: RoomKind;
  readonly title: string;
  readonly topic: string;
  /** URL of a picture; empty for none. */
  readonly imageUrl: string;
  /** Data of the app. */
  readonly data: JsonObject | undefined;
  /** In a direct room: the other user; otherwise empty. */
  readonly peerId: string;
  readonly memberCount: number;
  /** The user's own role. */
  readonly role: Role;
  readonly isMember: boolean;
  /** Whether the user has hidden it, with no message since. */
  readonly isHidden: boolean;
  /** Whether the user has pinned it: pinned rooms are listed first. */
  readonly isPinned: boolean;
  /**
   * Until when the user wants no notifications of it, in milliseconds since 1970: 0 if they want them, Infinity if there is no
   * end. Compare it with `Client.serverTime`.
   */
  readonly mutedUntil: number;
  /** Whether the user has marked it as unread, and not read it since. */
  readonly isMarkedUnread: boolean;
  /** Until when a moderator has muted the user: they can neither send nor edit messages nor react. In the form of `mutedUntil`. */
  readonly silencedUntil: number;
  /** Seconds that a member waits between two messages; 0 if the room is not in slow mode. Not for owner and admins. */
  readonly slowModeSeconds: number;
  /** Whether nobody but the app writes, reacts, joins or adds members for now. */
  readonly isFrozen: boolean;
  /** Whether it is only read, by everyone: then it is in `Client.archivedRooms`. */
  readonly isArchived: boolean;
  /** Whether everyone finds it in the directory: see `@parlance/client/directory`. */
  readonly isListed: boolean;
  /** How much of the history a new member may read. */
  readonly history: HistoryAccess;
  /** How users become members, if the room says: see `@parlance/client/join-requests`. */
  readonly joining: RoomJoining;
  /** The lowest roles that the room has set itself; `may` of `@parlance/client/permissions` says what the user may do. */
  readonly permissions: RoomPermissions | undefined;
  /** When the user joined, as far as known; otherwise when the room was created. */
  readonly memberSince: Date;
  /** Seq of the last event. */
  readonly headSeq: number;
  /** Messages sent so far. */
  readonly messageCount: number;
  /** How far the user has read, on any device. */
  readonly readSeq: number;
  /** Messages after that, except deleted ones. */
  readonly unreadCount: number;
  readonly lastMessage: ChatMessage | undefined;
}

/** How far a member has received and read a room. */
export interface RoomReceipt {
  readonly userId: string;
  readonly deliveredSeq: number;
  readonly readSeq: number;
}

/** A member of a room. */
export interface RoomMember {
  readonly userId: string;
  readonly role: Role;
  /** Until when a moderator has muted them; see {@link RoomInfo.silencedUntil}. */
  readonly silencedUntil: number;
}

/** The data of a room that pending commands may change. */
export function valuesOf(state: RoomState): RoomValues {
  return {
    headSeq: state.head.seq,
    readSeq: state.marks.readSeq,
    unreadCount: unreadOf(state.marks, state.head).count,
    isHidden: isHidden(state),
    isMember: state.membership.value.isMember,
    isPinned: state.preferences.isPinned,
    mutedUntil: state.preferences.mutedUntil,
    isMarkedUnread: state.preferences.unreadAt === state.marks.readSeq,
  };
}

export function infoOf(state: RoomState, values: RoomValues): RoomInfo {
  return {
    id: state.id,
    kind: state.kind,
    ...state.settings.value,
    peerId: state.peerId,
    memberCount: countOf(state.memberCount),
    role: state.membership.value.role,
    silencedUntil: state.membership.value.silencedUntil,
    ...values,
    memberSince: new Date(state.since),
    messageCount: state.head.messageCount,
    lastMessage: state.last,
  };
}

export function receiptOf({ userId, deliveredSeq, readSeq }: Receipt): RoomReceipt {
  return { userId, deliveredSeq: Number(deliveredSeq), readSeq: Number(readSeq) };
}

export function receiptsOf({ byUser }: Receipts): readonly RoomReceipt[] {
  return [...byUser].map(([userId, { delivered, read }]) => Object.freeze({ userId, deliveredSeq: delivered, readSeq: read }));
}

export function membersOf({ byUser, listedSeq }: Members): readonly RoomMember[] {
  if (listedSeq < 0) return [];
  const active = [...byUser].filter(([, { isMember }]) => isMember);
  return active.map(([userId, { role, silencedUntil }]) => Object.freeze({ userId, role, silencedUntil })).sort((a, b) => (a.userId < b.userId ? -1 : 1));
}

/** `before` if it is equal, so that unchanged values stay identical; otherwise `after`, frozen. */
export function stableObject<T extends object>(before: T | undefined, after: T): T {
  if (before === undefined) return Object.freeze(after);
  const same = (Object.keys(after) as (keyof T)[]).every((key) => isSame(before[key], after[key]));
  return same ? before : Object.freeze(after);
}

/** The same for a list, by identity of its elements. */
export function stableList<T>(before: readonly T[] | undefined, after: readonly T[]): readonly T[] {
  if (before === after) return before;
  const same = before?.length === after.length && after.every((element, at) => element === before[at]);
  return same && before ? before : Object.freeze(after);
}

function isSame(a: unknown, b: unknown): boolean {
  // Dates, data, and messages that were read again.
  return a === b || (typeof a === "object" && JSON.stringify(a) === JSON.stringify(b));
}
