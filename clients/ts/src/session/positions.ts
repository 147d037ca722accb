import { create } from "@bufbuild/protobuf";

import { type Cursor, CursorSchema, type Event, type Gap, GapReason, type Welcome } from "../gen/chat_pb.js";

/** Cursors in one hello, according to the contract. */
const MAX_CURSORS = 2_000;
/** Connections on which a promised event may be late before it is no longer expected. */
const MAX_BROKEN_PROMISES = 3;

/** The position in a room. */
export interface Position {
  /** Delivered up to here; undefined before the first event. */
  cursor: bigint | undefined;
  /** The epoch of the delivered events; 0 while unknown. */
  epoch: bigint;
  /** According to the last welcome or gap; 0 before. If it differs from `epoch`, the room was restored from a backup, and a gap
   * follows. */
  serverEpoch: bigint;
  /** The highest known seq; 0 while unknown. */
  head: bigint;
  /** Whether no events are expected: the membership has ended, or none was seen, as of a room that an app's backend only writes to. */
  isApart: boolean;
}

/** Events promised by an answer. */
interface Promised {
  /** Up to here. */
  seq: bigint;
  /** Expected since then. */
  since: number;
  /** Connections abandoned because of it. */
  broken: number;
}

const UNKNOWN: Position = { cursor: undefined, epoch: 0n, serverEpoch: 0n, head: 0n, isApart: true };

/** The positions of all rooms: where the next connection resumes. Times are those of a monotonic clock. */
export class Positions {
  /** The room with the latest event last. */
  readonly #rooms = new Map<string, Position>();
  readonly #promised = new Map<string, Promised>();

  /** Sets cursors of an earlier client, the most recently active room last, for rooms where nothing was delivered yet. */
  seed(cursors: Iterable<Cursor>): void {
    for (const { roomId, seq, epoch } of cursors) {
      const position = this.#position(roomId);
      if (position.cursor !== undefined) continue;
      position.isApart = false;
      position.cursor = seq;
      position.epoch = epoch;
      position.head ||= seq;
    }
  }

  clear(): void {
    this.#rooms.clear();
    this.#promised.clear();
  }

  /** Cursors for hello, the most recently active rooms first. Rooms beyond the limit start with a gap, which is correct, too. */
  cursors(): Cursor[] {
    const current: Cursor[] = [];
    const left: Cursor[] = [];
    for (const [roomId, { cursor, epoch, isApart }] of this.#rooms) {
      if (cursor !== undefined) (isApart ? left : current).push(create(CursorSchema, { roomId, seq: cursor, epoch }));
    }
    return [...current.reverse(), ...left.reverse()].slice(0, MAX_CURSORS);
  }

  welcomed(welcome: Welcome, now: number): void {
    this.awake(now);
    for (const { roomId, seq, epoch } of welcome.heads) {
      const position = this.#position(roomId);
      position.isApart = false;
      // A changed epoch is taken from the following gap: a connection lost in between would hide it.
      position.epoch ||= epoch;
      position.serverEpoch = epoch;
      // In another epoch, seqs that were known may not exist.
      if (seq > position.head || (epoch !== 0n && epoch !== position.epoch)) position.head = seq;
    }
  }

  /** Nothing could arrive until now: timeouts of promised events start now. */
  awake(now: number): void {
    for (const promised of this.#promised.values()) promised.since = now;
  }

  /** Whether the event is new, and has to be delivered. */
  event({ roomId, seq }: Event, now: number): boolean {
    const position = this.#position(roomId);
    if (position.cursor !== undefined && seq <= position.cursor) return false;
    position.isApart = false;
    this.#rooms.delete(roomId);
    this.#rooms.set(roomId, position);
    this.#reached(roomId, position, seq, now);
    return true;
  }

  /** The gap without what was already delivered; undefined if nothing is left. */
  gap(gap: Gap, now: number): Gap | undefined {
    const position = this.#position(gap.roomId);
    position.epoch = gap.epoch || position.epoch;
    position.serverEpoch = gap.epoch || position.serverEpoch;
    if (gap.reason === GapReason.RESTORED) {
      // Seqs refer to other events now; the previous state is invalid.
      position.cursor = gap.toSeq;
      position.head = gap.toSeq;
      this.#promised.delete(gap.roomId);
      return gap;
    }
    const cursor = position.cursor ?? gap.fromSeq - 1n;
    // Open-ended: where the room continues is unknown, and whether promised events will arrive.
    if (gap.toSeq === 0n) {
      position.isApart ||= gap.reason === GapReason.NOT_MEMBER;
      this.#promised.delete(gap.roomId);
      return gap;
    }
    if (gap.toSeq <= cursor) return undefined;
    if (gap.fromSeq <= cursor) gap.fromSeq = cursor + 1n;
    this.#reached(gap.roomId, position, gap.toSeq, now);
    return gap;
  }

  /** Whether known events have not arrived within this time. Drops those reported often enough. */
  isBehind(now: number, afterMs: number): boolean {
    let isBehind = false;
    for (const [roomId, promised] of this.#promised) {
      if (now - promised.since <= afterMs) continue;
      if (++promised.broken > MAX_BROKEN_PROMISES) this.#promised.delete(roomId);
      else isBehind = true;
    }
    return isBehind;
  }

  /** The current position in a room. */
  of(roomId: string): Readonly<Position> {
    return this.#rooms.get(roomId) ?? UNKNOWN;
  }

  /** The answer to a message contained its seq: its event will arrive, too. */
  learn(roomId: string, seq: bigint, now: number): void {
    const position = this.#position(roomId);
    if (seq > position.head) position.head = seq;
    if (position.isApart || seq <= (position.cursor ?? 0n)) return;
    const promised = this.#promised.get(roomId) ?? { seq, since: now, broken: 0 };
    promised.seq = seq;
    this.#promised.set(roomId, promised);
  }

  #reached(roomId: string, position: Position, seq: bigint, now: number): void {
    position.cursor = seq;
    if (seq > position.head) position.head = seq;
    const promised = this.#promised.get(roomId);
    if (!promised) return;
    if (seq >= promised.seq) this.#promised.delete(roomId);
    else promised.since = now;
  }

  #position(roomId: string): Position {
    let position = this.#rooms.get(roomId);
    if (!position) this.#rooms.set(roomId, (position = { ...UNKNOWN }));
    return position;
  }
}
