import type { Event, Role } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { RoomInfo } from "./info.js";
import type { ChatMessage } from "./message.js";

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

/** A member was added or removed, or has another role. */
export interface MemberEvent {
  readonly roomId: string;
  readonly seq: number;
  readonly userId: string;
  readonly kind: "added" | "removed" | "role" | "banned" | "unbanned";
  /** The new role, if it was changed. */
  readonly role: Role | undefined;
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
  /** Data of the room other than its messages changed: title, counts, unread, last message. */
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
