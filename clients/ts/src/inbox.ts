/**
 * Parts of the inbox as the server has it: {@link listInbox}, and by page {@link inboxPages}. All rooms, kept up to date, are `Client.rooms`.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { type InboxEntry, InboxOrder, type ListInboxResponse, type RoomKind } from "./gen/chat_pb.js";
import { infoOf, type RoomInfo, valuesOf } from "./room/info.js";
import { date } from "./room/message.js";
import { pages } from "./session/pages.js";
import { applyToRoom } from "./state/apply-room.js";
import { emptyRoom } from "./state/room-state.js";

const PAGE = 50;

/** Which rooms are listed, and how. Archived and hidden ones are only listed if they are asked for. */
export interface InboxOptions {
  /** Default: `latest` first, of the first 2,000 rooms by id; {@link InboxPage.isPartial} says whether there are more. */
  order?: "latest" | "id";
  /** Only rooms with unread messages, or marked as unread. */
  unreadOnly?: boolean;
  pinnedOnly?: boolean;
  /** Only rooms of these kinds. */
  kinds?: readonly RoomKind[];
  includeHidden?: boolean;
  includeArchived?: boolean;
  /** Rooms per request, at most 200. */
  pageSize?: number;
  signal?: AbortSignal;
}

/** A page of the inbox. */
export interface InboxPage {
  readonly rooms: readonly RoomInfo[];
  /** Whether the user has more rooms than are put in order and listed: with `latest`, only the first 2,000 by id are. */
  readonly isPartial: boolean;
  /** Rooms that are unreadable at present. By id, those of this page; with `latest` they have no place, and each page names all. */
  readonly unreadableRoomIds: readonly string[];
}

/**
 * The user's rooms, read page by page as the loop goes on, each once and as it was when it was read. Where `latest` takes several
 * pages, rooms that get a message during the loop may come at its end. Rooms that are unreadable at present are left out, and so are
 * those beyond the first 2,000 with `latest`: {@link inboxPages} says so.
 */
export async function* listInbox(client: Client, options: InboxOptions = {}): AsyncGenerator<RoomInfo, void> {
  for await (const { rooms } of inboxPages(client, options)) yield* rooms;
}

/** The pages of {@link listInbox}, with what they leave out. */
export async function* inboxPages(client: Client, { order = "latest", kinds = [], pageSize = PAGE, signal, ...which }: InboxOptions = {}): AsyncGenerator<InboxPage, void> {
  const request = { ...which, kinds: [...kinds], pageSize, order: order === "latest" ? InboxOrder.LATEST : InboxOrder.ROOM };
  const [listed, unreadable] = [new Set<string>(), new Set<string>()];
  let end: number | undefined;
  for (;;) {
    let [count, isNew, begin] = [0, false, undefined as number | undefined];
    for await (const page of pages((pageToken) => client.call("listInbox", { ...request, pageToken }, signal))) {
      const entries = page.entries.filter(({ room }) => added(listed, room?.roomId ?? ""));
      const left = page.unreadableRoomIds.filter((roomId) => added(unreadable, roomId) && !listed.has(roomId));
      if (end === undefined || entries.length > 0 || left.length > 0) yield pageOf(client, page, entries);
      count += 1;
      isNew ||= entries.length > 0;
      begin ??= activeAt(page.entries[0]);
      if (end !== undefined && (activeAt(page.entries.at(-1)) ?? end) < end) break;
    }
    // A room that gets a message between two pages goes before those to come: it is in another walk, down to where this one began.
    if (order !== "latest" || count < 2 || !isNew || begin === undefined) return;
    end = begin;
  }
}

/** Adds to `ids`; false if it was there already. */
function added(ids: Set<string>, id: string): boolean {
  return ids.size < ids.add(id).size;
}

function activeAt(entry: InboxEntry | undefined): number | undefined {
  return entry?.activeAt && date(entry.activeAt).getTime();
}

function pageOf(client: Client, { isPartial, unreadableRoomIds }: ListInboxResponse, entries: readonly InboxEntry[]): InboxPage {
  const rooms = entries.map((entry) => {
    const roomId = entry.room?.roomId ?? "";
    const room = applyToRoom(emptyRoom(roomId), { type: "inbox", roomId, entry, order: 1 }, client.userId);
    return Object.freeze(infoOf(room, valuesOf(room)));
  });
  return Object.freeze({ rooms: Object.freeze(rooms), isPartial, unreadableRoomIds: Object.freeze(unreadableRoomIds) });
}

/** Unread messages in all rooms together, without archived and hidden ones. */
export interface UnreadTotal {
  readonly messages: number;
  /** Rooms with unread messages, or marked as unread. */
  readonly rooms: number;
  /** Whether some rooms are not counted: those after the first 2,000, or unreadable at present. */
  readonly isPartial: boolean;
}

/** Reads the count for a badge. */
export async function unreadTotal(client: Client, { withoutMuted = false, signal }: { withoutMuted?: boolean; signal?: AbortSignal } = {}): Promise<UnreadTotal> {
  const { unreadCount, unreadRooms, isPartial } = await client.call("getUnreadTotal", { withoutMuted }, signal);
  return Object.freeze({ messages: Number(unreadCount), rooms: unreadRooms, isPartial });
}
