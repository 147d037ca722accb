import { create, toBinary } from "@bufbuild/protobuf";

import { type Cursor, CursorSchema, type InboxEntry } from "../gen/chat_pb.js";
import type { StoredWindow } from "../room/timeline.js";
import type { Change, StoredCursor, StoredMessages, StoredRoom } from "../storage/store.js";
import { decodeMessages, decodeRoom } from "./records.js";

/** Rooms whose messages are restored: the most recently written ones. */
const MAX_ROOMS = 16;

/** Records of a store. */
export interface Stored {
  readonly rooms: readonly StoredRoom[];
  readonly cursors: readonly StoredCursor[];
  readonly messages: readonly StoredMessages[];
}

/** A room as left by an earlier client. */
export interface LastRoom {
  readonly entry: InboxEntry;
  /** The stored entry. */
  readonly bytes: Uint8Array;
  readonly cursor: Cursor | undefined;
  /** Of the same epoch as the cursor. */
  readonly window: StoredWindow | undefined;
}

/** Combines records to rooms, the most recently active one last. Unreadable or unusable records are to be
 * removed. */
export function read({ rooms, cursors, messages }: Stored): { rooms: ReadonlyMap<string, LastRoom>; remove: Change[] } {
  const remove: Change[] = [];
  const each = <R extends { readonly roomId: string }, T>(collection: keyof Stored, records: readonly R[], decode: (record: R) => T | undefined) => {
    const decoded = new Map<string, T>();
    for (const record of records) {
      const value = attempt(() => decode(record));
      if (value === undefined) remove.push({ collection, key: record.roomId, value: undefined });
      else decoded.set(record.roomId, value);
    }
    return decoded;
  };
  const entries = each("rooms", rooms, ({ roomId, entry: bytes }) => {
    const entry = decodeRoom(bytes);
    return entry.room?.roomId === roomId ? { entry, bytes } : undefined;
  });
  const positions = each("cursors", cursors, ({ roomId, seq, epoch }) => {
    const cursor = create(CursorSchema, { roomId, seq: BigInt(seq), epoch: BigInt(epoch) });
    // Throws if a value is out of range.
    toBinary(CursorSchema, cursor);
    return entries.has(roomId) ? cursor : undefined;
  });
  let kept = 0;
  const windows = each("messages", [...messages].sort((a, b) => b.writtenAt - a.writtenAt), (record) => {
    const isUseful = positions.get(record.roomId)?.epoch === BigInt(record.epoch) && kept < MAX_ROOMS;
    const window = isUseful ? decodeMessages(record) : undefined;
    if (window) kept++;
    return window;
  });
  const byTime = [...entries].sort(([, a], [, b]) => activeAt(a.entry) - activeAt(b.entry));
  return {
    rooms: new Map(byTime.map(([roomId, room]) => [roomId, { ...room, cursor: positions.get(roomId), window: windows.get(roomId) }])),
    remove,
  };
}

function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

function activeAt({ lastMessage, room }: InboxEntry): number {
  return Number((lastMessage?.at ?? room?.createdAt)?.seconds ?? 0n);
}
