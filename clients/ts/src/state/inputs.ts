import type { Event, Gap, InboxEntry, Role, Room, RoomPreferences } from "../gen/chat_pb.js";
import type { ReadMark } from "./unread.js";

/**
 * Inputs of the state. Each has the version at which it is valid: the seq and the epoch of its room, or, if
 * the contract has neither, an `order`: a number that increases with every observation and every request of
 * this client. An answer is as old as its request.
 */
export type Input =
  | { readonly type: "welcome"; readonly userId: string; readonly heads: readonly RoomHead[] }
  | { readonly type: "presence"; readonly userId: string; readonly online: boolean; readonly order: number }
  | RoomInput;

/** An input about one room. */
export type RoomInput =
  | { readonly type: "event"; readonly roomId: string; readonly event: Event }
  | { readonly type: "gap"; readonly roomId: string; readonly gap: Gap }
  /** An entry of the inbox: valid at the room's head in it, or for parts without a seq, as of the request. */
  | { readonly type: "inbox"; readonly roomId: string; readonly entry: InboxEntry; readonly order: number }
  /** A room and the user's role in it, valid at the head in it. */
  | { readonly type: "room"; readonly roomId: string; readonly room: Room; readonly role: Role }
  /** The whole inbox was read and did not contain the room; its head was `headSeq` when the reading
   * started. */
  | { readonly type: "unlisted"; readonly roomId: string; readonly headSeq: number }
  /** The user's own read mark: from another device's receipt, or the answer to a call made in `epoch`. */
  | { readonly type: "read"; readonly roomId: string; readonly mark: ReadMark; readonly epoch?: number }
  /** Positions of others, from a signal or a list requested in `epoch`. */
  | { readonly type: "receipts"; readonly roomId: string; readonly receipts: readonly ReceiptInput[]; readonly epoch?: number }
  | { readonly type: "hidden"; readonly roomId: string; readonly hidden: boolean; readonly order: number }
  | { readonly type: "preferences"; readonly roomId: string; readonly preferences: RoomPreferences | undefined; readonly order: number }
  /** Events read back, with messages in any form, by a call made in `epoch`. */
  | { readonly type: "history"; readonly roomId: string; readonly events: readonly Event[]; readonly epoch: number }
  /** A user is typing until `until`, in milliseconds of the caller's clock. */
  | { readonly type: "typing"; readonly roomId: string; readonly userId: string; readonly until: number }
  | { readonly type: "typingExpired"; readonly roomId: string; readonly userId: string; readonly until: number }
  /** All members; the list was requested in `epoch`, and includes events up to `seq`. */
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
  /** Former members may be muted, and come back so. */
  readonly isMember: boolean;
  readonly silencedUntil: number;
}
