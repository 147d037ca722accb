/** A session that survives its connections. */

import { setTimeout as sleep } from "node:timers/promises";

import { create } from "@bufbuild/protobuf";

import { Connection } from "./connection.js";
import { backoff, Lost, milliseconds, Refused, retryDelay, Unauthenticated } from "./errors.js";
import { GapReason, HelloSchema, SendMessageRequestSchema, SendMessageResponseSchema } from "./gen/chat_pb.js";
import { Outbox } from "./outbox.js";
import { Rooms } from "./rooms.js";

/** Delivery is acknowledged this often at most: one mark stands for all before it. */
const ACKNOWLEDGE_INTERVAL_MS = 2_000;

/** A connection that lasts so long was a good one. */
const STABLE_MS = 10_000;

/** After so long a silence something is asked; the answer may take so long. */
const SILENCE_MS = 25_000;
const PROBE_TIMEOUT_MS = 10_000;

/** How long any answer may take. The server allows itself 20 s. */
const ANSWER_TIMEOUT_MS = 25_000;

/** Fresh tokens that may be refused one after the other, and the time before the second. */
const MAX_FRESH_TOKENS = 3;
const TOKEN_DELAY_MS = 2_000;

/** How long a fresh token may take. */
const TOKEN_TIMEOUT_MS = 30_000;

/** Bytes that a frame may have, until the server tells. */
const MAX_FRAME_BYTES = 128 * 1024;

/** Gaps of events that are gone, or not one's to see. Others can be paged. */
const HIDDEN = new Set([GapReason.RETENTION, GapReason.NOT_MEMBER]);

/**
 * The connection was lost; the session reconnects by itself.
 * @typedef {{$typeName: "disconnected", reason: string, retryInMs: number}} Disconnected
 */

/**
 * The updates of a session. A gap is one that cannot be filled, or that precedes the application's events of the
 * room, or that announces with `RESTORED` that the room starts over.
 * @typedef {import("./gen/chat_pb.js").Welcome
 *   | import("./gen/chat_pb.js").Event
 *   | import("./gen/chat_pb.js").Gap
 *   | Disconnected} Update
 */

/**
 * Stays connected while `run` runs, and passes every event of a room to `onUpdate` once and in order, across
 * connection failures.
 *
 * `cursors` are the application's positions. Rooms without one start after what the user's devices have acknowledged;
 * the application can page earlier events at any time.
 *
 * `freshToken` returns another token when the server no longer accepts the last one. Only the server decides whether
 * a token has expired, since the local clock may be wrong.
 */
export class Session {
  #server;
  #token;
  #onUpdate;
  #deviceId;
  #rooms;
  #outbox = new Outbox();
  #userId = "";
  #end = new AbortController();
  #freshToken;
  #maxFrameBytes = MAX_FRAME_BYTES;

  /**
   * @param {object} options
   * @param {string} options.server host:port, or with TLS https://host:port
   * @param {string} options.token
   * @param {(update: Update) => void | Promise<void>} options.onUpdate
   * @param {import("./gen/chat_pb.js").Cursor[]} [options.cursors]
   * @param {string} [options.deviceId]
   * @param {() => Promise<string>} [options.freshToken]
   */
  constructor({ server, token, onUpdate, cursors = [], deviceId = "", freshToken }) {
    this.#freshToken = freshToken;
    this.#server = server;
    this.#token = token;
    this.#onUpdate = onUpdate;
    this.#deviceId = deviceId;
    this.#rooms = new Rooms(cursors);
  }

  /**
   * Sends a message. Resolves once it is durable, over any number of connections; rejects with `Refused` if the
   * server refuses it permanently or the session ends.
   *
   * An application that keeps unsent messages across restarts passes their id, and the head of the room known before
   * they were first sent.
   * @param {string} roomId
   * @param {string} text
   * @param {{clientMessageId?: string, afterSeq?: bigint}} [again]
   */
  send(roomId, text, again = {}) {
    const target = { case: /** @type {const} */ ("roomId"), value: roomId };
    // An unpaired surrogate is not valid text: it becomes U+FFFD.
    text = text.toWellFormed();
    return this.#outbox.send(create(SendMessageRequestSchema, { target, text, ...again }));
  }

  /** Ends `run`. */
  close() {
    this.#end.abort();
  }

  /**
   * The position up to which `onUpdate` has processed a room: to be stored together with its effects, and passed to
   * the next session in `cursors`. Its epoch lets that session detect that the room was restored from a backup
   * meanwhile.
   * @param {string} roomId
   */
  cursor(roomId) {
    return this.#rooms.cursor(roomId);
  }

  /**
   * Runs until `close`. Rejects with `Refused` if the server accepts neither the token nor fresh ones; nothing else
   * ends it.
   */
  async run() {
    let failures = 0;
    let refusals = 0;
    while (!this.#end.signal.aborted) {
      const cursors = this.#rooms.cursors(this.#maxFrameBytes);
      const hello = create(HelloSchema, { deviceId: this.#deviceId, cursors });
      let welcomedAt = Infinity;
      try {
        await this.#connect(hello, () => {
          welcomedAt = performance.now();
          refusals = 0;
        });
      } catch (error) {
        if (this.#end.signal.aborted) return;
        const isRefused = error instanceof Unauthenticated;
        if (!(error instanceof Lost || (isRefused && this.#freshToken && refusals < MAX_FRESH_TOKENS))) {
          this.#outbox.end(/** @type {Error} */ (error));
          throw error;
        }
        let askedMs = error instanceof Lost ? error.delayMs : 0;
        if (isRefused && refusals++ > 0) askedMs = TOKEN_DELAY_MS * 2 ** (refusals - 2);
        // A server that disconnects right after the welcome must not cause constant reconnects.
        if (performance.now() - welcomedAt >= STABLE_MS) failures = 0;
        const retryInMs = Math.max(askedMs, backoff(failures++));
        await this.#onUpdate({ $typeName: "disconnected", reason: error.message, retryInMs });
        await sleep(retryInMs, undefined, { signal: this.#end.signal }).catch(() => {});
        if (refusals > 0 && this.#freshToken) await this.#renewToken(this.#freshToken);
      }
    }
  }

  /**
   * Requests a fresh token until there is one. The old one is useless, but a temporary failure to get a new one does
   * not end the session.
   * @param {() => Promise<string>} freshToken
   */
  async #renewToken(freshToken) {
    const end = this.#end.signal;
    for (let failures = 0; !end.aborted; failures++) {
      const over = new AbortController();
      try {
        const late = sleep(TOKEN_TIMEOUT_MS, undefined, { signal: AbortSignal.any([end, over.signal]) }).then(() => {
          throw new Error("it takes too long");
        });
        this.#token = await Promise.race([freshToken(), late]);
        return;
      } catch (error) {
        if (end.aborted) return;
        console.error("parlance: no fresh token, asking again:", error);
      } finally {
        over.abort();
      }
      await sleep(backoff(failures), undefined, { signal: end }).catch(() => {});
    }
  }

  /**
   * Connects, and serves the connection.
   * @param {import("./gen/chat_pb.js").Hello} hello
   * @param {() => void} onWelcome
   */
  async #connect(hello, onWelcome) {
    const connection = new Connection(this.#server, this.#token, hello);
    const close = () => connection.close();
    this.#end.signal.addEventListener("abort", close);
    try {
      const welcome = await connection.welcome();
      onWelcome();
      await this.#serve(connection, welcome);
    } finally {
      this.#end.signal.removeEventListener("abort", close);
      close();
    }
  }

  /**
   * Serves a connection until it is lost, or until it has to be left.
   * @param {Connection} connection
   * @param {import("./gen/chat_pb.js").Welcome} welcome
   */
  async #serve(connection, welcome) {
    this.#userId = welcome.userId;
    this.#rooms.welcomed(welcome);
    this.#maxFrameBytes = welcome.limits?.maxFrameBytes || MAX_FRAME_BYTES;
    this.#outbox.reconnected(() => connection.waitedMs);
    await this.#onUpdate(welcome);
    connection.sendFrom((signal) => this.#outbox.nextFrame(this.#rooms, welcome.limits, signal));
    const acknowledging = setInterval(() => {
      for (const mark of this.#rooms.toAcknowledge()) this.#outbox.acknowledge(mark);
    }, ACKNOWLEDGE_INTERVAL_MS);
    try {
      for (let next; (next = await this.#next(connection)); ) {
        const { frame } = next;
        if (frame.case === "event") await this.#takeEvent(frame.value);
        else if (frame.case === "gap") await this.#takeGap(connection, frame.value);
        else if (frame.case === "reply") await this.#takeReply(connection, frame.value);
        else if (frame.case === "draining") {
          const { reconnectAfter } = frame.value;
          connection.leaveAfter(reconnectAfter ? milliseconds(reconnectAfter) : 0);
        }
      }
    } finally {
      clearInterval(acknowledging);
    }
  }

  /**
   * The next frame; undefined once it is time to leave. Detects a server that has vanished, or hangs but still
   * answers pings.
   * @param {Connection} connection
   */
  async #next(connection) {
    for (let isProbed = false; ; ) {
      const frame = await connection.read();
      const isSilent = connection.silenceMs > SILENCE_MS + PROBE_TIMEOUT_MS;
      if (isSilent || this.#outbox.longestWaitMs > ANSWER_TIMEOUT_MS) throw new Lost("the server does not answer");
      if (frame || connection.isToLeave) return frame;
      if (connection.silenceMs > SILENCE_MS && !isProbed) {
        isProbed = true;
        this.#outbox.probe();
      }
    }
  }

  /** @param {import("./gen/chat_pb.js").Event} event */
  async #takeEvent(event) {
    const room = this.#rooms.get(event.roomId);
    if (room.cursor !== undefined && event.seq <= room.cursor) return;
    if (!room.follows(event.seq)) {
      console.error(`parlance: room ${event.roomId}: nothing came between seq ${room.cursor} and ${event.seq}`);
    }
    await this.#onUpdate(event);
    // Only now: an event that was not processed has to be delivered again.
    this.#rooms.advance(event.roomId, event.seq);
  }

  /**
   * @param {Connection} connection
   * @param {import("./gen/chat_pb.js").Gap} gap
   */
  async #takeGap(connection, gap) {
    const room = this.#rooms.get(gap.roomId);
    room.epoch = gap.epoch || room.epoch;
    if (gap.reason === GapReason.RESTORED) {
      await this.#onUpdate(gap);
      room.restart(gap);
    }
    if (room.cursor === undefined || HIDDEN.has(gap.reason)) return this.#skip(gap);
    const from = gap.fromSeq > room.cursor ? gap.fromSeq : room.cursor + 1n;
    // Meanwhile the stream is not read, so that events after the gap follow it. The server holds them.
    for await (const part of connection.history(gap.roomId, from, gap.toSeq)) {
      if (part.$typeName === "parlance.v1.Event") await this.#takeEvent(part);
      else await this.#skip(part);
    }
  }

  /** @param {import("./gen/chat_pb.js").Gap} gap */
  async #skip(gap) {
    const room = this.#rooms.get(gap.roomId);
    if (room.cursor !== undefined && gap.toSeq > 0n && gap.toSeq <= room.cursor) return;
    await this.#onUpdate(gap);
    if (gap.toSeq > 0n) this.#rooms.advance(gap.roomId, gap.toSeq);
    else room.openEnded = true;
  }

  /**
   * @param {Connection} connection
   * @param {import("./gen/chat_pb.js").Reply} reply
   */
  async #takeReply(connection, { requestId, result }) {
    const message = this.#outbox.unanswered(requestId);
    if (!message) return;
    if (result.case === "sendMessage") return this.#answer(message, result.value);
    if (result.case !== "error") return;
    const error = result.value;
    const delayMs = retryDelay(error, message.refusals);
    if (delayMs !== undefined) {
      this.#outbox.again(message, delayMs);
    } else if (error.reason === "catch_up_first" && message.request.afterSeq !== undefined) {
      await this.#lookFor(connection, message, BigInt(error.metadata.head_seq));
    } else if (error.reason === "cursor_ahead") {
      // The room was restored from a backup, which cannot contain the message: the backup is older than the events up
      // to `afterSeq`.
      message.request.afterSeq = BigInt(error.metadata.head_seq);
      this.#outbox.again(message, 0);
    } else {
      message.fail(new Refused(error.reason, error.message));
    }
  }

  /**
   * Too many events since `afterSeq` for the server to search for the message: pages through the room to find out.
   * @param {Connection} connection
   * @param {import("./outbox.js").Unanswered} message
   * @param {bigint} head
   */
  async #lookFor(connection, message, head) {
    const { clientMessageId, target, afterSeq = 0n } = message.request;
    for await (const part of connection.history(target.value ?? "", afterSeq + 1n, head)) {
      if (part.$typeName !== "parlance.v1.Event") continue;
      if (part.actorId === this.#userId && part.requestId === clientMessageId) {
        const { roomId, seq, at, messageCount } = part;
        this.#answer(message, create(SendMessageResponseSchema, { roomId, seq, at, messageCount, isRepeat: true }));
        return;
      }
    }
    message.request.afterSeq = head > afterSeq ? head : afterSeq;
    this.#outbox.again(message, 0);
  }

  /**
   * @param {import("./outbox.js").Unanswered} message
   * @param {import("./gen/chat_pb.js").SendMessageResponse} response
   */
  #answer(message, response) {
    this.#rooms.get(response.roomId).learnHead(response.seq);
    message.answer(response);
  }
}
