import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";

import { type Event, EventSchema, HistoryVisibility, type InboxEntry, InboxEntrySchema } from "../gen/chat_pb.js";
// Only types are imported from modules of the initial page load: a shared module would be one more to load for every page.
import type { RoomInfo } from "../room/info.js";
import type { ChatMessage } from "../room/message.js";
import type { StoredWindow, Window } from "../room/timeline.js";
import type { RoomState } from "../state/room-state.js";
import type { StoredMessages } from "../storage/store.js";

/** Messages stored per room: the newest, as far as they fit into {@link MAX_BYTES}. */
const MAX_MESSAGES = 100;
/** Bytes of encoded messages stored per room. */
const MAX_BYTES = 256 * 1024;

/** Encoded once: messages are immutable. */
const encoded = new WeakMap<ChatMessage, Uint8Array>();

/** Encodes a room as an inbox entry. Restored through the reducer, it is valid at the room's head. */
export function encodeRoom({ epoch, since, marks }: RoomState, info: RoomInfo, userId: string): Uint8Array {
  const { id: roomId, kind, title, topic, imageUrl, data, permissions, role, isMember: active, lastMessage, silencedUntil, mutedUntil } = info;
  const closed = { slowModeSeconds: info.slowModeSeconds, frozen: info.isFrozen, archived: info.isArchived, listed: info.isListed, joining: info.joining };
  const historyVisibility = info.history === "all" ? HistoryVisibility.ALL : HistoryVisibility.SINCE_JOINED;
  return toBinary(
    InboxEntrySchema,
    create(InboxEntrySchema, {
      room: {
        roomId,
        kind,
        settings: { title, topic, imageUrl, historyVisibility, ...closed, ...(data && { data }), ...(permissions && { permissions }) },
        createdAt: timestampFromMs(since),
        headSeq: BigInt(info.headSeq),
        messageCount: BigInt(info.messageCount),
        memberCount: BigInt(info.memberCount),
        epoch: BigInt(epoch),
      },
      membership: { userId, role, active, ...(silencedUntil > 0 && { mute: { until: untilIn(silencedUntil) } }) },
      ...(lastMessage && { lastMessage: eventOf(lastMessage) }),
      unreadCount: BigInt(info.unreadCount),
      read: { seq: BigInt(marks.readSeq), messageCount: BigInt(marks.readCount) },
      peerId: info.peerId,
      hidden: info.isHidden,
      preferences: { pinned: info.isPinned, muted: mutedUntil > 0, markedUnread: info.isMarkedUnread, mutedUntil: untilIn(mutedUntil) },
    }),
  );
}

/** The end of a mute; unset if it has none. */
function untilIn(at: number): Timestamp | undefined {
  return at > 0 && at < Infinity ? timestampFromMs(at) : undefined;
}

/** Throws if it cannot be decoded. */
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

/** Throws if it cannot be decoded, or is not a window. */
export function decodeMessages({ roomId, from, to, hasOlder, events }: StoredMessages): StoredWindow {
  const messages = events.map((bytes) => fromBinary(EventSchema, bytes));
  if (messages.some((event) => event.body.case !== "message" || event.roomId !== roomId)) throw new TypeError("not messages of the room");
  const isSorted = messages.every(({ seq }, at) => seq > (messages[at - 1]?.seq ?? from - 1) && seq <= to);
  if (!isSorted || !Number.isSafeInteger(from) || !Number.isSafeInteger(to)) throw new TypeError("not a window of messages");
  return { from, to, hasOlder, messages };
}

function eventOf({ key, roomId, seq = 0, senderId, kind, text, data, at, editedAt, deleted, replyToSeq = 0, mentionsAll, reactions, changedSeq }: ChatMessage): Event {
  return create(EventSchema, {
    roomId,
    seq: BigInt(seq),
    at: timestampFromDate(at),
    actorId: senderId,
    requestId: key.slice(senderId.length + 1),
    body: {
      case: "message",
      value: {
        kind,
        text,
        ...(data && { data }),
        replyToSeq: BigInt(replyToSeq),
        mentionsAll,
        ...(editedAt && { editedAt: timestampFromDate(editedAt) }),
        deleted,
        reactions: reactions.map(({ emoji, userIds }) => ({ emoji, userIds: [...userIds] })),
        changedSeq: BigInt(changedSeq),
      },
    },
  });
}
