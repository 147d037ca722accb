import { create } from "@bufbuild/protobuf";

import type { Rooms } from "../client/rooms.js";
import { type Cursor, CursorSchema } from "../gen/chat_pb.js";
import type { CommandQueue } from "../queue/queue.js";
import type { Session } from "../session/session.js";
import type { SteadyStore } from "../storage/steady.js";
import type { Change } from "../storage/store.js";
import { type LastRoom, read } from "./read.js";
import { encodeMessages, encodeRoom } from "./records.js";

/** Delay after which changes are written together. */
const WRITE_AFTER_MS = 1_000;
/** Delay after a failed write. */
const RETRY_MS = 60_000;
/** Rooms per write: a large one would block the commands behind it. */
const ROOMS_AT_ONCE = 200;
/** Version of the stored form. Other versions are ignored. */
const VERSION = "1";
/** What is stored here. */
const STATE = ["rooms", "messages", "cursors", "meta"] as const;

/** The cached parts of a client, and their storage. */
interface Parts {
  readonly session: Session;
  readonly queue: CommandQueue;
  readonly rooms: Rooms;
  /** Reads the inbox again. */
  refresh(): Promise<void>;
}

/** The last written state of a room. */
interface Written {
  readonly entry: Uint8Array | undefined;
  readonly cursor: Cursor | undefined;
  readonly messages: readonly unknown[] | undefined;
  readonly to: number;
}

/**
 * The last state of a client in its storage: written a second after a change, and read on the next start.
 * Each room is written in one transaction, so its cursor never covers events that are missing.
 */
export class StateCache {
  readonly #store: SteadyStore;
  readonly #parts: Parts;
  readonly #dirty = new Set<string>();
  readonly #written = new Map<string, Written>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWriting = false;
  #isRestoring = false;
  /** Whether the user and the version are stored: they are written once all rooms are. */
  #isNamed = false;
  #isEnded = false;

  constructor(parts: Parts) {
    const { queue, session, rooms } = (this.#parts = parts);
    this.#store = queue.store;
    rooms.onchange = (roomId) => this.touch(roomId);
    queue.store.on("renewed", () => this.#writeAll());
    queue.on("owner", (isOwner) => isOwner && this.#writeAll());
    queue.on("erased", () => (this.#isEnded = true));
    session.on("hidden", () => this.#write(Infinity));
    session.on("replaced", () => void this.#erase());
    queue.on("ends", () => this.close());
    if (session.state.status === "closed") this.close();
  }

  /** A room has changed, or all rooms are known. */
  touch(roomId?: string): void {
    if (this.#isRestoring || this.#isEnded) return;
    if (roomId !== undefined) this.#dirty.add(roomId);
    this.#later(WRITE_AFTER_MS);
  }

  /** Writes pending changes. */
  close(): void {
    this.#write(Infinity);
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }

  /** Rewrites everything: another tab may have written, or the storage has lost it. */
  #writeAll(): void {
    this.#written.clear();
    this.#isNamed = false;
    for (const roomId of this.#parts.rooms.confirmed.rooms.keys()) this.touch(roomId);
  }

  async #erase(): Promise<void> {
    this.#dirty.clear();
    this.#written.clear();
    this.#isNamed = false;
    await this.#store.clear(STATE);
  }

  #later(ms: number): void {
    if (this.#parts.queue.isOwner) this.#timer ??= setTimeout(() => this.#write(ROOMS_AT_ONCE), ms);
  }

  #write(most: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { queue, rooms: all, session } = this.#parts;
    if (this.#isEnded || !queue.isOwner || !all.isWhole || (this.#isWriting && most < Infinity)) return;
    const rooms = [...this.#dirty].slice(0, most);
    const changes = rooms.flatMap((roomId) => {
      this.#dirty.delete(roomId);
      return this.#changesOf(roomId);
    });
    if (this.#dirty.size === 0 && !this.#isNamed) {
      for (const [name, value] of [["user", session.userId], ["version", VERSION]] as const) changes.push({ collection: "meta", key: name, value: { name, value } });
      this.#isNamed = true;
    }
    if (changes.length === 0) return this.#dirty.size > 0 ? this.#later(0) : undefined;
    this.#isWriting = true;
    void this.#store.writeCopy(changes).then((isDurable) => {
      this.#isWriting = false;
      if (this.#isEnded) return;
      if (!isDurable) this.#forget(rooms);
      if (this.#dirty.size > 0) this.#later(isDurable ? WRITE_AFTER_MS : RETRY_MS);
    });
  }

  /** They could not be written: their stored records are replaced. */
  #forget(rooms: readonly string[]): void {
    this.#isNamed = false;
    for (const roomId of rooms) {
      this.#written.delete(roomId);
      this.#dirty.add(roomId);
    }
  }

  #changesOf(roomId: string): Change[] {
    const { rooms, session } = this.#parts;
    const room = rooms.stateOf(roomId);
    const before = this.#written.get(roomId);
    if (!room.membership.value.isMember) {
      this.#written.delete(roomId);
      return before || !this.#isNamed ? removal(roomId) : [];
    }
    const entry = encodeRoom(room, rooms.infoOf(roomId), session.userId);
    const cursor = cursorOf(session, roomId);
    const end = rooms.get(roomId)?.end;
    const changes: Change[] = [];
    if (!isSame(before?.entry, entry)) changes.push({ collection: "rooms", key: roomId, value: { roomId, entry } });
    if (cursor && (cursor.seq !== before?.cursor?.seq || cursor.epoch !== before.cursor.epoch)) {
      changes.push({ collection: "cursors", key: roomId, value: { roomId, seq: Number(cursor.seq), epoch: String(cursor.epoch) } });
    }
    let { messages, to = 0 } = before ?? {};
    if (end && (end.messages !== messages || end.to !== to)) {
      changes.push({ collection: "messages", key: roomId, value: encodeMessages(roomId, String(cursor?.epoch ?? 0n), end) });
      [messages, to] = [end.messages, end.to];
    } else if (end === null && messages) {
      changes.push({ collection: "messages", key: roomId, value: undefined });
      messages = undefined;
    }
    this.#written.set(roomId, { entry, cursor, messages, to });
    return changes;
  }

  /** Reads and shows the state left by an earlier client. */
  async restore(): Promise<void> {
    const store = this.#store;
    // Cursors first: then they cover nothing that another tab writes meanwhile.
    const cursors = await store.readAll("cursors");
    const messages = await store.readAll("messages");
    const rooms = await store.readAll("rooms");
    const facts = new Map((await store.readAll("meta")).map(({ name, value }) => [name, value]));
    if (messages.length > 0) await this.#parts.rooms.prepare().catch(() => {});
    if (this.#isEnded) return;
    const [owner, { userId }] = [facts.get("user"), this.#parts.session];
    if (facts.get("version") !== VERSION || !owner || (userId && userId !== owner)) {
      if (cursors.length + messages.length + rooms.length + facts.size > 0) await this.#erase();
      return;
    }
    if (this.#parts.rooms.isWhole) {
      // Too late: the current state replaces it.
      await this.#erase();
      return this.#writeAll();
    }
    const last = read({ cursors, messages, rooms });
    this.#isNamed = this.#isRestoring = true;
    this.#show(owner, last.rooms);
    this.#isRestoring = false;
    if (last.remove.length > 0 && this.#parts.queue.isOwner) void store.writeCopy(last.remove);
  }

  #show(userId: string, last: ReadonlyMap<string, LastRoom>): void {
    const { rooms, session } = this.#parts;
    // The room may have been restored from a backup since: then seqs refer to other events.
    const isCurrent = (cursor: Cursor) => [0n, cursor.epoch].includes(session.position(cursor.roomId).epoch);
    session.resumeFrom([...last.values()].flatMap(({ cursor }) => (cursor && isCurrent(cursor) ? [cursor] : [])), userId);
    if (rooms.confirmed.userId === "") rooms.apply({ type: "welcome", userId, heads: [] });
    for (const [roomId, { entry, bytes, cursor, window }] of last) {
      rooms.apply({ type: "inbox", roomId, entry, order: 0 });
      let messages: readonly unknown[] | undefined = window?.messages;
      if (window && cursor && isCurrent(cursor)) messages = rooms.of(roomId).restore(window, Number(session.position(roomId).cursor)) ?? messages;
      this.#written.set(roomId, { entry: bytes, cursor, messages, to: window?.to ?? 0 });
    }
    rooms.complete();
    // An earlier answer of the server may have omitted one of these.
    if (session.state.status === "online") void this.#parts.refresh();
  }
}

function cursorOf(session: Session, roomId: string): Cursor | undefined {
  const { cursor: seq, epoch } = session.position(roomId);
  return seq === undefined ? undefined : create(CursorSchema, { roomId, seq, epoch });
}

function removal(roomId: string): Change[] {
  return (["rooms", "messages", "cursors"] as const).map((collection) => ({ collection, key: roomId, value: undefined }));
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a?.length === b.length && a.every((byte, at) => byte === b[at]);
}
