import { create } from "@bufbuild/protobuf";

import { type Cursor, CursorSchema, type Event, type Gap, GapReason, type Welcome } from "../gen/chat_pb.js";

/** Cursors in one hello, by the contract. */
const MAX_CURSORS = 2_000;

interface Position {
  /** Handed over up to here; undefined until anything was. */
  cursor: bigint | undefined;
  epoch: bigint;
  /** The highest seq that is known to exist. */
  head: bigint;
}

/** How far every room has been handed over: what is resumed from after a break. */
export class Positions {
  readonly #rooms = new Map<string, Position>();
  /** Where events are known to exist that have not come: since when, and up to which. */
  readonly #promised = new Map<string, { seq: bigint; since: number }>();

  /** What to say in hello. Past the limit, the others begin with a gap, which is exact too. */
  cursors(): Cursor[] {
    const cursors: Cursor[] = [];
    for (const [roomId, { cursor, epoch }] of this.#rooms) {
      if (cursor !== undefined && cursors.length < MAX_CURSORS) cursors.push(create(CursorSchema, { roomId, seq: cursor, epoch }));
    }
    return cursors;
  }

  welcomed(welcome: Welcome): void {
    for (const promised of this.#promised.values()) promised.since = Date.now();
    for (const { roomId, seq, epoch } of welcome.heads) {
      const position = this.#position(roomId);
      // A changed epoch is learnt from the gap that follows: a connection lost in between
      // would hide it.
      position.epoch ||= epoch;
      if (seq > position.head) position.head = seq;
    }
  }

  /** Whether the event is new, and to be handed over. */
  event({ roomId, seq }: Event): boolean {
    const position = this.#position(roomId);
    if (position.cursor !== undefined && seq <= position.cursor) return false;
    this.#reached(roomId, position, seq);
    return true;
  }

  /** The gap without what is there already; undefined if that is all of it. */
  gap(gap: Gap): Gap | undefined {
    const position = this.#position(gap.roomId);
    position.epoch = gap.epoch || position.epoch;
    if (gap.reason === GapReason.RESTORED) {
      // Seqs mean other events now: nothing held before counts.
      position.cursor = gap.toSeq;
      position.head = gap.toSeq;
      return gap;
    }
    const cursor = position.cursor ?? gap.fromSeq - 1n;
    // Without an end it is that of a membership: where the room goes on is not known.
    if (gap.toSeq === 0n) return gap;
    if (gap.toSeq <= cursor) return undefined;
    if (gap.fromSeq <= cursor) gap.fromSeq = cursor + 1n;
    this.#reached(gap.roomId, position, gap.toSeq);
    return gap;
  }

  /** Whether events that are known to exist have not come within this time. */
  isBehind(afterMs: number): boolean {
    for (const { since } of this.#promised.values()) if (Date.now() - since > afterMs) return true;
    return false;
  }

  /** The highest seq of a room that is known to exist. */
  head(roomId: string): bigint | undefined {
    return this.#rooms.get(roomId)?.head;
  }

  /** The answer to a message told its seq: its event comes, too. */
  learn(roomId: string, seq: bigint): void {
    const position = this.#position(roomId);
    if (seq > position.head) position.head = seq;
    if (seq <= (position.cursor ?? 0n)) return;
    const since = this.#promised.get(roomId)?.since ?? Date.now();
    this.#promised.set(roomId, { seq, since });
  }

  #reached(roomId: string, position: Position, seq: bigint): void {
    position.cursor = seq;
    if (seq > position.head) position.head = seq;
    const promised = this.#promised.get(roomId);
    if (!promised) return;
    if (seq >= promised.seq) this.#promised.delete(roomId);
    else promised.since = Date.now();
  }

  #position(roomId: string): Position {
    let position = this.#rooms.get(roomId);
    if (!position) this.#rooms.set(roomId, (position = { cursor: undefined, epoch: 0n, head: 0n }));
    return position;
  }
}
