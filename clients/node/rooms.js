/** The application's position in each room. */

import { create, toBinary } from "@bufbuild/protobuf";

import { CursorSchema } from "./gen/chat_pb.js";

/** Cursors in one hello, according to the contract. */
const MAX_CURSORS = 2_000;

/** Maximum size of a hello without its cursors, bytes. */
const HELLO_OVERHEAD = 512;

/** A position in a room's log. */
class Room {
  /** The application has everything up to here; undefined before the first event. @type {bigint | undefined} */
  cursor;
  /** Changes when the room is restored from a backup; 0 while unknown. */
  epoch = 0n;
  /** The highest known seq. */
  head = 0n;
  /** After an open-ended gap: any event may follow. */
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
   * Seqs refer to other events now; the previous state is invalid.
   * @param {import("./gen/chat_pb.js").Gap} gap
   */
  restart(gap) {
    this.cursor = gap.fromSeq > 0n ? gap.fromSeq - 1n : 0n;
    this.head = gap.toSeq;
    this.acknowledged = 0n;
  }

  /**
   * Whether `seq` is the next expected one.
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
    // Rooms are kept in order of their last event.
    this.#rooms.delete(roomId);
    this.#rooms.set(roomId, room);
  }

  /**
   * The application's position in a room, with the epoch of the seq; undefined before the first event.
   * @param {string} roomId
   */
  cursor(roomId) {
    const { cursor: seq, epoch = 0n } = this.#rooms.get(roomId) ?? {};
    return seq === undefined ? undefined : create(CursorSchema, { roomId, seq, epoch });
  }

  /**
   * The cursors for a hello of at most `maxBytes`: those of the most recently active rooms. The others start with a
   * gap, which is correct, too.
   * @param {number} maxBytes
   */
  cursors(maxBytes) {
    const cursors = [];
    let left = maxBytes - HELLO_OVERHEAD;
    for (const roomId of [...this.#rooms.keys()].reverse()) {
      const cursor = this.cursor(roomId);
      if (!cursor) continue;
      // Including its tag and length.
      left -= toBinary(CursorSchema, cursor).length + 3;
      if (left < 0 || cursors.length === MAX_CURSORS) break;
      cursors.push(cursor);
    }
    return cursors;
  }

  /** @param {import("./gen/chat_pb.js").Welcome} welcome */
  welcomed(welcome) {
    // The last one may have been lost with the connection.
    for (const room of this.#rooms.values()) room.acknowledged = 0n;
    for (const head of welcome.heads) {
      const room = this.get(head.roomId);
      // A changed epoch is taken from the following gap, not here: a connection lost in between would hide it.
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
