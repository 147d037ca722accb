import { Emitter } from "../emitter.js";
import type { Role, RoomKind } from "../gen/chat_pb.js";
import type { RoomChanges } from "./events.js";
import type { RoomInfo } from "./info.js";
import type { ChatMessage } from "./message.js";
import type { RoomSlices } from "./snapshots.js";

interface RoomEvents<Room> extends RoomChanges {
  /** Anything of the room changed: messages, unread count, title, typing. At most once for everything received together. */
  change: Room;
}

/** The values of a room by name; see {@link RoomInfo}. */
export abstract class RoomValues<Room> extends Emitter<RoomEvents<Room>> {
  /** A value of the room: frozen, and identical until it changes. */
  abstract getSnapshot<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name];

  /** Everything but the messages. */
  get info(): RoomInfo {
    return this.getSnapshot("info");
  }

  get kind(): RoomKind {
    return this.info.kind;
  }

  get title(): string {
    return this.info.title;
  }

  get topic(): string {
    return this.info.topic;
  }

  /** In a direct room: the other user. */
  get peerId(): string {
    return this.info.peerId;
  }

  get memberCount(): number {
    return this.info.memberCount;
  }

  /** The user's own role. */
  get role(): Role {
    return this.info.role;
  }

  /** Whether the user is a member now. */
  get isMember(): boolean {
    return this.info.isMember;
  }

  /** Whether the user has hidden it, without a message since. */
  get isHidden(): boolean {
    return this.info.isHidden;
  }

  /** Since when the user is a member, as far as known; otherwise when the room was created. */
  get memberSince(): Date {
    return this.info.memberSince;
  }

  /** Seq of the last event. */
  get headSeq(): number {
    return this.info.headSeq;
  }

  get messageCount(): number {
    return this.info.messageCount;
  }

  /** The user's read position, over all devices. */
  get readSeq(): number {
    return this.info.readSeq;
  }

  /** Messages after the read mark that are not deleted. */
  get unreadCount(): number {
    return this.info.unreadCount;
  }

  get lastMessage(): ChatMessage | undefined {
    return this.info.lastMessage;
  }
}
