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

  /** What to say in hello. Past the limit, the others begin with a gap, which is exact too. */
  cursors(): Cursor[] {
    const cursors: Cursor[] = [];
    for (const [roomId, { cursor, epoch }] of this.#rooms) {
      if (cursor !== undefined && cursors.length < MAX_CURSORS) cursors.push(create(CursorSchema, { roomId, seq: cursor, epoch }));
    }
    return cursors;
  }

  welcomed(welcome: Welcome): void {
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
    position.cursor = seq;
    if (seq > position.head) position.head = seq;
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
    position.cursor = gap.toSeq;
    if (gap.toSeq > position.head) position.head = gap.toSeq;
    return gap;
  }

  /** The highest seq of a room that is known to exist. */
  head(roomId: string): bigint | undefined {
    return this.#rooms.get(roomId)?.head;
  }

  /** Something else told of a seq. */
  learn(roomId: string, seq: bigint): void {
    const position = this.#position(roomId);
    if (seq > position.head) position.head = seq;
  }

  #position(roomId: string): Position {
    let position = this.#rooms.get(roomId);
    if (!position) this.#rooms.set(roomId, (position = { cursor: undefined, epoch: 0n, head: 0n }));
    return position;
  }
}
