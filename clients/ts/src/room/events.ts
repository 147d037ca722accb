import type { Event, Role } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { RoomInfo } from "./info.js";
import type { ChatMessage } from "./message.js";

/** A message was changed. */
export interface MessageEdit {
  readonly roomId: string;
  readonly seq: number;
  readonly kind: "text" | "deleted" | "reactions";
  /** Who did it. */
  readonly userId: string;
}

/** Someone has received or read more of a room. */
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

/** Someone came, left, or has another role. */
export interface MemberEvent {
  readonly roomId: string;
  readonly seq: number;
  readonly userId: string;
  readonly kind: "added" | "removed" | "role" | "banned" | "unbanned";
  /** The role now, where it was given. */
  readonly role: Role | undefined;
  /** Who did it. */
  readonly byUserId: string;
}

/** What happens in rooms; a room and its client emit the same. */
export interface RoomChanges {
  /** A message was sent, by anyone. One's own are there before: see `Room.messages`. */
  message: ChatMessage;
  edited: MessageEdit;
  read: ReadEvent;
  typing: TypingEvent;
  member: MemberEvent;
  /** Anything of the room but its messages changed: title, counts, unread, last message. */
  room: RoomInfo;
}

export function editOf(roomId: string, { target, kind, userId }: MessageChange): MessageEdit {
  return { roomId, seq: target, kind: kind === "text" || kind === "deleted" ? kind : "reactions", userId };
}

export function memberEventOf({ roomId, seq, actorId, body }: Event): MemberEvent | undefined {
  const of = (kind: MemberEvent["kind"], userId: string, role?: Role): MemberEvent => {
    return { roomId, seq: Number(seq), userId, kind, role, byUserId: actorId };
  };
  switch (body.case) {
    case "memberAdded":
      return of("added", body.value.userId, body.value.role);
    case "memberRemoved":
      return of("removed", body.value.userId);
    case "roleChanged":
      return of("role", body.value.userId, body.value.role);
    case "memberBanned":
      return of("banned", body.value.userId);
    case "memberUnbanned":
      return of("unbanned", body.value.userId);
    default:
      return undefined;
  }
}
