import type { Event, Gap, InboxEntry, Role, Room } from "../gen/chat_pb.js";
import type { ReadMark } from "./unread.js";

/**
 * What changes the state. Each input carries the version at which it is valid: the seq and the
 * epoch of its room, or, where the contract gives neither, an `order`: a number that rises with
 * every observation and every question of this client. An answer is as old as its question.
 */
export type Input =
  | { readonly type: "welcome"; readonly userId: string; readonly heads: readonly RoomHead[] }
  | { readonly type: "presence"; readonly userId: string; readonly online: boolean; readonly order: number }
  | RoomInput;

/** An input about one room. */
export type RoomInput =
  | { readonly type: "event"; readonly roomId: string; readonly event: Event }
  | { readonly type: "gap"; readonly roomId: string; readonly gap: Gap }
  /** An entry of the inbox: valid at the room's head in it, and of what has no seq, since it was asked for. */
  | { readonly type: "inbox"; readonly roomId: string; readonly entry: InboxEntry; readonly order: number }
  /** A room and one's role in it, valid at the head in it. */
  | { readonly type: "room"; readonly roomId: string; readonly room: Room; readonly role: Role }
  /** The whole inbox was read and the room was not in it; its head was `headSeq` when the reading began. */
  | { readonly type: "unlisted"; readonly roomId: string; readonly headSeq: number }
  /** One's own read mark: the receipt of another device, or the answer to a call that was made in `epoch`. */
  | { readonly type: "read"; readonly roomId: string; readonly mark: ReadMark; readonly epoch?: number }
  /** How far others are, by a signal or a list that was asked for in `epoch`. */
  | { readonly type: "receipts"; readonly roomId: string; readonly receipts: readonly ReceiptInput[]; readonly epoch?: number }
  | { readonly type: "hidden"; readonly roomId: string; readonly hidden: boolean; readonly order: number }
  /** Events that were read back, messages in some form, by a call that was made in `epoch`. */
  | { readonly type: "history"; readonly roomId: string; readonly events: readonly Event[]; readonly epoch: number }
  /** Someone types until `until`, in milliseconds of the caller's clock. */
  | { readonly type: "typing"; readonly roomId: string; readonly userId: string; readonly until: number }
  | { readonly type: "typingExpired"; readonly roomId: string; readonly userId: string; readonly until: number }
  /** All members; the list was asked for in `epoch`, when events up to `seq` were there. */
  | {
      readonly type: "members";
      readonly roomId: string;
      readonly members: readonly MemberInput[];
      readonly seq: number;
      readonly epoch?: number;
    };

export interface RoomHead {
  readonly roomId: string;
  readonly seq: number;
  readonly epoch: number;
}

export interface ReceiptInput {
  readonly userId: string;
  readonly deliveredSeq: number;
  readonly readSeq: number;
}

export interface MemberInput {
  readonly userId: string;
  readonly role: number;
}
