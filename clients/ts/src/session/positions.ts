import { create } from "@bufbuild/protobuf";

import { type Cursor, CursorSchema, type Event, type Gap, GapReason, type Welcome } from "../gen/chat_pb.js";

/** Cursors in one hello, by the contract. */
const MAX_CURSORS = 2_000;
/** Connections on which a promised event may be late before it is no longer expected. */
const MAX_BROKEN_PROMISES = 3;

/** How far a room is. */
export interface Position {
  /** Handed over up to here; undefined until anything was. */
  cursor: bigint | undefined;
  /** Of what was handed over; 0 while unknown. */
  epoch: bigint;
  /** By the last welcome or gap; 0 before. Another one than `epoch`: the room was restored from a backup, a gap follows. */
  serverEpoch: bigint;
  /** The highest seq that is known to exist; 0 while unknown. */
  head: bigint;
  /** The membership has ended. */
  hasLeft: boolean;
}

/** Events that an answer promised. */
interface Promised {
  /** Up to here. */
  seq: bigint;
  /** Expected since. */
  since: number;
  /** Connections that were given up for it. */
  broken: number;
}

const UNKNOWN: Position = { cursor: undefined, epoch: 0n, serverEpoch: 0n, head: 0n, hasLeft: false };

/** How far every room has been handed over: where the next connection resumes. Times are those of a monotonic clock. */
export class Positions {
  /** The room with the latest event last. */
  readonly #rooms = new Map<string, Position>();
  readonly #promised = new Map<string, Promised>();

  /** Resumes from cursors of an earlier client, the latest active room last, where nothing was handed over yet. */
  seed(cursors: Iterable<Cursor>): void {
    for (const { roomId, seq, epoch } of cursors) {
      const position = this.#position(roomId);
      if (position.cursor !== undefined) continue;
      position.cursor = seq;
      position.epoch = epoch;
      position.head ||= seq;
    }
  }

  clear(): void {
    this.#rooms.clear();
    this.#promised.clear();
  }

  /** Cursors for hello, the most recently active rooms first. Rooms beyond the limit begin with a gap, which is exact too. */
  cursors(): Cursor[] {
    const current: Cursor[] = [];
    const left: Cursor[] = [];
    for (const [roomId, { cursor, epoch, hasLeft }] of this.#rooms) {
      if (cursor !== undefined) (hasLeft ? left : current).push(create(CursorSchema, { roomId, seq: cursor, epoch }));
    }
    return [...current.reverse(), ...left.reverse()].slice(0, MAX_CURSORS);
  }

  welcomed(welcome: Welcome, now: number): void {
    this.awake(now);
    for (const { roomId, seq, epoch } of welcome.heads) {
      const position = this.#position(roomId);
      position.hasLeft = false;
      // A changed epoch is learnt from the gap that follows: a connection lost in between
      // would hide it.
      position.epoch ||= epoch;
      position.serverEpoch = epoch;
      // Of another epoch, what was known to exist may not.
      if (seq > position.head || (epoch !== 0n && epoch !== position.epoch)) position.head = seq;
    }
  }

  /** Nothing could come until now: promised events are expected from now on. */
  awake(now: number): void {
    for (const promised of this.#promised.values()) promised.since = now;
  }

  /** Whether the event is new, and to be handed over. */
  event({ roomId, seq }: Event, now: number): boolean {
    const position = this.#position(roomId);
    if (position.cursor !== undefined && seq <= position.cursor) return false;
    position.hasLeft = false;
    this.#rooms.delete(roomId);
    this.#rooms.set(roomId, position);
    this.#reached(roomId, position, seq, now);
    return true;
  }

  /** The gap without what is there already; undefined if that is all of it. */
  gap(gap: Gap, now: number): Gap | undefined {
    const position = this.#position(gap.roomId);
    position.epoch = gap.epoch || position.epoch;
    position.serverEpoch = gap.epoch || position.serverEpoch;
    if (gap.reason === GapReason.RESTORED) {
      // Seqs mean other events now: nothing held before counts.
      position.cursor = gap.toSeq;
      position.head = gap.toSeq;
      this.#promised.delete(gap.roomId);
      return gap;
    }
    const cursor = position.cursor ?? gap.fromSeq - 1n;
    // Without an end: where the room goes on is not known, nor whether what was promised will come.
    if (gap.toSeq === 0n) {
      position.hasLeft ||= gap.reason === GapReason.NOT_MEMBER;
      this.#promised.delete(gap.roomId);
      return gap;
    }
    if (gap.toSeq <= cursor) return undefined;
    if (gap.fromSeq <= cursor) gap.fromSeq = cursor + 1n;
    this.#reached(gap.roomId, position, gap.toSeq, now);
    return gap;
  }

  /** Whether events that are known to exist have not come within this time. Forgets those for which that was said often enough. */
  isBehind(now: number, afterMs: number): boolean {
    let isBehind = false;
    for (const [roomId, promised] of this.#promised) {
      if (now - promised.since <= afterMs) continue;
      if (++promised.broken > MAX_BROKEN_PROMISES) this.#promised.delete(roomId);
      else isBehind = true;
    }
    return isBehind;
  }

  /** How far a room is, as it is now. */
  of(roomId: string): Readonly<Position> {
    return this.#rooms.get(roomId) ?? UNKNOWN;
  }

  /** The answer to a message told its seq: its event comes, too. */
  learn(roomId: string, seq: bigint, now: number): void {
    const position = this.#position(roomId);
    if (seq > position.head) position.head = seq;
    if (position.hasLeft || seq <= (position.cursor ?? 0n)) return;
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
