/** How far the application has each room. */

import { create } from "@bufbuild/protobuf";

import { CursorSchema } from "./gen/chat_pb.js";

/** Cursors in one hello, by the contract. */
const MAX_CURSORS = 2_000;

/** A position in a room's log. */
class Room {
  /** The application has everything up to here; undefined until anything came. @type {bigint | undefined} */
  cursor;
  /** Changes when the room was restored from a backup; 0 while unknown. */
  epoch = 0n;
  /** The highest seq that is known to exist. */
  head = 0n;
  /** A gap without an end was named: whatever comes next follows it. */
  openEnded = false;
  /** Acknowledged as delivered up to here, on this connection. */
  acknowledged = 0n;

  /** @param {bigint} seq */
  advance(seq) {
    this.cursor = seq;
    this.learnHead(seq);
    this.openEnded = false;
  }

  /** @param {bigint} seq */
  learnHead(seq) {
    if (seq > this.head) this.head = seq;
  }

  /**
   * Seqs mean other events now; nothing held before counts.
   * @param {import("./gen/chat_pb.js").Gap} gap
   */
  restart(gap) {
    this.cursor = gap.fromSeq > 0n ? gap.fromSeq - 1n : 0n;
    this.head = gap.toSeq;
    this.acknowledged = 0n;
  }

  /**
   * Whether `seq` is what has to come next.
   * @param {bigint} seq
   */
  follows(seq) {
    return this.cursor === undefined || this.openEnded || seq === this.cursor + 1n;
  }
}

export class Rooms {
  /** @type {Map<string, Room>} */
  #rooms = new Map();

  /** @param {Iterable<import("./gen/chat_pb.js").Cursor>} cursors */
  constructor(cursors) {
    for (const { roomId, seq, epoch } of cursors) {
      const room = this.get(roomId);
      room.advance(seq);
      room.epoch = epoch;
    }
  }

  /** @param {string} roomId */
  get(roomId) {
    let room = this.#rooms.get(roomId);
    if (!room) this.#rooms.set(roomId, (room = new Room()));
    return room;
  }

  /** What to say in hello. Rooms beyond the limit begin with a gap, which is right too. */
  cursors() {
    return [...this.#rooms]
      .filter(([, room]) => room.cursor !== undefined)
      .slice(0, MAX_CURSORS)
      .map(([roomId, { cursor, epoch }]) => create(CursorSchema, { roomId, seq: cursor, epoch }));
  }

  /** @param {import("./gen/chat_pb.js").Welcome} welcome */
  welcomed(welcome) {
    // The last one may have been on its way when the connection broke.
    for (const room of this.#rooms.values()) room.acknowledged = 0n;
    for (const head of welcome.heads) {
      const room = this.get(head.roomId);
      // A changed epoch is learnt from the gap that follows, not here: a connection lost
      // in between would hide it.
      room.epoch ||= head.epoch;
      room.learnHead(head.seq);
    }
  }

  /** Rooms that came further since they were last acknowledged, and how far. */
  toAcknowledge() {
    const moved = [];
    for (const [roomId, room] of this.#rooms) {
      if (room.cursor === undefined || room.cursor <= room.acknowledged) continue;
      room.acknowledged = room.cursor;
      moved.push({ roomId, seq: room.cursor });
    }
    return moved;
  }
}
