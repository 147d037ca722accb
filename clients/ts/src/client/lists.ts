import type { RoomInfo } from "../room/info.js";
import type { Room } from "../room/room.js";
import { RoomKind } from "../gen/chat_pb.js";

/** Unread messages over all rooms that are listed. */
export interface Unread {
  readonly messages: number;
  /** Rooms with unread messages, or marked as unread. */
  readonly rooms: number;
}

/** A room is in one of them at most. */
const LISTS = ["listed", "hidden", "archived"] as const;
type ListName = (typeof LISTS)[number];

interface Entry {
  readonly room: Room;
  readonly info: RoomInfo;
  readonly list: ListName | "none";
  readonly isPinned: boolean;
  /** Time of its last message, or of joining. */
  readonly at: number;
}

/** Above this many moves, sorting again is cheaper. */
const MAX_MOVES = 8;
const NOTHING_UNREAD: Unread = Object.freeze({ messages: 0, rooms: 0 });

/** Ordered lists of all rooms. The cost of a change depends on the rooms it moves, not on their number. */
export class RoomLists {
  readonly #entries = new Map<string, Entry>();
  readonly #dirty = new Set<Room>();
  readonly #direct = new Map<string, Room>();
  readonly #sorted: Record<ListName, readonly Entry[]> = { listed: [], hidden: [], archived: [] };
  readonly #rooms: { [List in ListName]?: readonly Room[] } = {};
  readonly #infos: { [List in ListName]?: readonly RoomInfo[] } = {};
  #unread = NOTHING_UNREAD;

  /** A room has changed. */
  touch(room: Room): void {
    this.#dirty.add(room);
  }

  /** The user's rooms, pinned ones before the others, latest first; identical until one is added, removed or moved. */
  rooms(list: ListName): readonly Room[] {
    this.#settle();
    return (this.#rooms[list] ??= Object.freeze(this.#sorted[list].map(({ room }) => room)));
  }

  /** Their values; identical until one of them changes. */
  infos(list: ListName): readonly RoomInfo[] {
    this.#settle();
    return (this.#infos[list] ??= Object.freeze(this.#sorted[list].map(({ info }) => info)));
  }

  get unread(): Unread {
    this.#settle();
    return this.#unread;
  }

  /** The direct room with someone, hidden or not. */
  directWith(userId: string): Room | undefined {
    this.#settle();
    return this.#direct.get(userId);
  }

  #settle(): void {
    if (this.#dirty.size === 0) return;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    const moved: Entry[] = [];
    const left = new Set<Entry | undefined>();
    let { messages, rooms } = this.#unread;
    for (const room of dirty) {
      const before = this.#entries.get(room.id);
      const { info } = room;
      if (before?.info === info) continue;
      const after = entryOf(room, info);
      this.#entries.set(room.id, after);
      this.#index(room, before?.info.peerId, info);
      for (const [entry, by] of [[before, -1], [after, 1]] as const) {
        if (entry?.list !== "listed") continue;
        messages += by * entry.info.unreadCount;
        rooms += by * (entry.info.unreadCount > 0 || entry.info.isMarkedUnread ? 1 : 0);
      }
      left.add(before);
      moved.push(after);
    }
    if (messages !== this.#unread.messages || rooms !== this.#unread.rooms) this.#unread = Object.freeze({ messages, rooms });
    for (const list of LISTS) this.#move(list, left, moved.filter((entry) => entry.list === list));
  }

  #move(list: ListName, left: ReadonlySet<Entry | undefined>, moved: readonly Entry[]): void {
    const before = this.#sorted[list];
    const after = before.filter((entry) => !left.has(entry));
    if (after.length === before.length && moved.length === 0) return;
    delete this.#infos[list];
    if (moved.length > MAX_MOVES) {
      after.push(...moved);
      after.sort(byTime);
    } else for (const entry of moved) after.splice(placeOf(after, entry), 0, entry);
    this.#sorted[list] = after;
    const isSame = after.length === before.length && after.every(({ room }, at) => room === before[at]?.room);
    if (!isSame) delete this.#rooms[list];
  }

  #index(room: Room, before: string | undefined, { kind, peerId, isMember }: RoomInfo): void {
    if (before && this.#direct.get(before) === room) this.#direct.delete(before);
    if (kind === RoomKind.DIRECT && peerId && isMember) this.#direct.set(peerId, room);
  }
}

function entryOf(room: Room, info: RoomInfo): Entry {
  const list = !info.isMember ? "none" : info.isArchived ? "archived" : info.isHidden ? "hidden" : "listed";
  const at = Math.max(info.lastMessage?.at.getTime() ?? 0, info.memberSince.getTime());
  return { room, info, list, isPinned: info.isPinned, at };
}

/** Pinned ones, then latest first. */
function byTime(a: Entry, b: Entry): number {
  return Number(b.isPinned) - Number(a.isPinned) || b.at - a.at || (a.info.id < b.info.id ? -1 : 1);
}

function placeOf(entries: readonly Entry[], entry: Entry): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byTime(entries[middle]!, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
