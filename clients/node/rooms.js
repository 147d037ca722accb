/** How far the application has each room. */

import { create, toBinary } from "@bufbuild/protobuf";

import { CursorSchema } from "./gen/chat_pb.js";

/** Cursors in one hello, by the contract. */
const MAX_CURSORS = 2_000;

/** Bytes of a hello beside its cursors, at most. */
const HELLO_OVERHEAD = 512;

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

  /**
   * The application has a room up to `seq`.
   * @param {string} roomId
   * @param {bigint} seq
   */
  advance(roomId, seq) {
    const room = this.get(roomId);
    room.advance(seq);
    // Rooms are kept in the order in which something came of them.
    this.#rooms.delete(roomId);
    this.#rooms.set(roomId, room);
  }

  /**
   * How far the application has a room, with the epoch that the seq belongs to; undefined where nothing came of it.
   * @param {string} roomId
   */
  cursor(roomId) {
    const { cursor: seq, epoch = 0n } = this.#rooms.get(roomId) ?? {};
    return seq === undefined ? undefined : create(CursorSchema, { roomId, seq, epoch });
  }

  /**
   * What to say in a hello of at most `maxBytes`: of which rooms something came last. The
   * others begin with a gap, which is right too.
   * @param {number} maxBytes
   */
  cursors(maxBytes) {
    const cursors = [];
    let left = maxBytes - HELLO_OVERHEAD;
    for (const roomId of [...this.#rooms.keys()].reverse()) {
      const cursor = this.cursor(roomId);
      if (!cursor) continue;
      // With its tag and its length.
      left -= toBinary(CursorSchema, cursor).length + 3;
      if (left < 0 || cursors.length === MAX_CURSORS) break;
      cursors.push(cursor);
    }
    return cursors;
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
