import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";

import { type Event, EventSchema, type InboxEntry, InboxEntrySchema } from "../gen/chat_pb.js";
import { type ChatMessage, messageOf } from "../room/message.js";
import type { Window } from "../room/timeline.js";
import { isHidden, type RoomState } from "../state/room-state.js";
import { unreadOf } from "../state/unread.js";
import { countOf } from "../state/versioned.js";
import type { StoredMessages } from "../storage/store.js";

/** Messages that are stored of a room: the newest, as far as they fit into {@link MAX_BYTES}. */
const MAX_MESSAGES = 100;
/** Bytes of encoded messages that are stored of a room. */
const MAX_BYTES = 256 * 1024;

/** Encoded once: a message never changes. */
const encoded = new WeakMap<ChatMessage, Uint8Array>();

/** A room as an entry of the inbox, encoded. Read back through the reducer, it is valid at the room's head. */
export function encodeRoom(room: RoomState, userId: string): Uint8Array {
  const { id: roomId, kind, settings, membership, memberCount, head, marks, last } = room;
  const { isMember: active, role } = membership.value;
  return toBinary(
    InboxEntrySchema,
    create(InboxEntrySchema, {
      room: {
        roomId,
        kind,
        settings: settings.value,
        createdAt: timestampFromMs(room.since),
        headSeq: BigInt(head.seq),
        messageCount: BigInt(head.messageCount),
        memberCount: BigInt(countOf(memberCount)),
        epoch: BigInt(room.epoch),
      },
      membership: { userId, role, active },
      ...(last.message && { lastMessage: eventOf(last.message) }),
      unreadCount: BigInt(unreadOf(marks, head).count),
      read: { seq: BigInt(marks.readSeq), messageCount: BigInt(marks.readCount) },
      peerId: room.peerId,
      hidden: isHidden(room),
    }),
  );
}

/** Throws what cannot be decoded. */
export function decodeRoom(entry: Uint8Array): InboxEntry {
  return fromBinary(InboxEntrySchema, entry);
}

/** The newest messages of a window that reaches the end of its room. */
export function encodeMessages(roomId: string, epoch: string, { from, to, hasOlder, messages }: Window): StoredMessages {
  const events: Uint8Array[] = [];
  let bytes = 0;
  for (const message of messages.slice(-MAX_MESSAGES).reverse()) {
    const event = encoded.get(message) ?? toBinary(EventSchema, eventOf(message));
    encoded.set(message, event);
    bytes += event.length;
    if (bytes > MAX_BYTES) break;
    events.unshift(event);
  }
  const isWhole = events.length === messages.length;
  const first = messages[messages.length - events.length]?.seq;
  return { roomId, epoch, from: isWhole ? from : (first ?? to + 1), to, hasOlder: !isWhole || hasOlder, events, writtenAt: Date.now() };
}

/** Throws what cannot be decoded, or is no window. */
export function decodeMessages({ roomId, from, to, hasOlder, events }: StoredMessages): Window {
  const messages = events.map((bytes) => {
    const event = fromBinary(EventSchema, bytes);
    if (event.body.case !== "message" || event.roomId !== roomId) throw new TypeError("not a message of the room");
    const message = messageOf(event, event.body.value);
    encoded.set(message, bytes);
    return message;
  });
  const isSorted = messages.every(({ seq = 0 }, at) => seq > (messages[at - 1]?.seq ?? from - 1) && seq <= to);
  if (!isSorted || !Number.isSafeInteger(from) || !Number.isSafeInteger(to)) throw new TypeError("not a window of messages");
  return { from, to, hasOlder, messages };
}

function eventOf({ key, roomId, seq = 0, senderId, text, at, editedAt, deleted, replyToSeq = 0, reactions, changedSeq }: ChatMessage): Event {
  return create(EventSchema, {
    roomId,
    seq: BigInt(seq),
    at: timestampFromDate(at),
    actorId: senderId,
    requestId: key.slice(senderId.length + 1),
    body: {
      case: "message",
      value: {
        text,
        replyToSeq: BigInt(replyToSeq),
        ...(editedAt && { editedAt: timestampFromDate(editedAt) }),
        deleted,
        reactions: reactions.map(({ emoji, userIds }) => ({ emoji, userIds: [...userIds] })),
        changedSeq: BigInt(changedSeq),
      },
    },
  });
}
