import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { Event, Role } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { RoomInfo } from "./info.js";
import { type ChatMessage, date } from "./message.js";

/** A message was changed. */
export interface MessageEdit {
  readonly roomId: string;
  readonly seq: number;
  readonly kind: "text" | "deleted" | "reactions";
  /** The acting user. */
  readonly userId: string;
}

/** A member has received or read more of a room. */
export interface ReadEvent {
  readonly roomId: string;
  readonly userId: string;
  readonly deliveredSeq: number;
  readonly readSeq: number;
}

export interface TypingEvent {
  readonly roomId: string;
  readonly userId: string;
  readonly isTyping: boolean;
}

/**
 * A member was added or removed, has another role, or was kept out or quiet by a moderator; or somebody was invited, or is no longer: they
 * have declined if they are the acting user.
 */
export interface MemberEvent {
  readonly roomId: string;
  readonly seq: number;
  readonly userId: string;
  readonly kind: "added" | "removed" | "role" | "banned" | "unbanned" | "muted" | "unmuted" | "invited" | "uninvited";
  /** The new role, if it was changed. */
  readonly role: Role | undefined;
  /** When a ban, mute or invitation ends by itself, if it does. */
  readonly until: Date | undefined;
  /** Why someone was banned or muted; may be empty. */
  readonly reason: string;
  /** The acting user. */
  readonly byUserId: string;
}

/** A room was deleted, with all that was in it. */
export interface RoomDeletion {
  readonly roomId: string;
  readonly seq: number;
  /** The acting user. */
  readonly byUserId: string;
}

/** Events of rooms; a room and its client emit the same ones. */
export interface RoomChanges {
  /** A message was sent, by any user. Own messages appear earlier in `Room.messages`. */
  message: ChatMessage;
  edited: MessageEdit;
  read: ReadEvent;
  typing: TypingEvent;
  member: MemberEvent;
  /** The room was deleted: it is in no list any more. */
  deleted: RoomDeletion;
  /** Data of the room other than its messages changed: title, counts, unread, last message. */
  room: RoomInfo;
}

export function editOf(roomId: string, { target, kind, userId }: MessageChange): MessageEdit {
  return { roomId, seq: target, kind: kind === "text" || kind === "deleted" ? kind : "reactions", userId };
}

const KINDS: Partial<Record<NonNullable<Event["body"]["case"]>, MemberEvent["kind"]>> = {
  memberAdded: "added",
  memberRemoved: "removed",
  roleChanged: "role",
  memberBanned: "banned",
  memberUnbanned: "unbanned",
  memberMuted: "muted",
  memberUnmuted: "unmuted",
  memberInvited: "invited",
  invitationEnded: "uninvited",
};

export function memberEventOf({ roomId, seq, actorId, body }: Event): MemberEvent | undefined {
  const kind = body.case && KINDS[body.case];
  if (!kind) return undefined;
  const { userId, role, until, reason = "" } = body.value as { userId: string; role?: Role; until?: Timestamp; reason?: string };
  return { roomId, seq: Number(seq), userId, kind, role, until: until && date(until), reason, byUserId: actorId };
}
