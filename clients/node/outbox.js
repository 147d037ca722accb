/** Messages that have not been answered yet. */

import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";

import { create, toBinary } from "@bufbuild/protobuf";

import { Refused } from "./errors.js";
import { ClientFrameSchema } from "./gen/chat_pb.js";

/** Maximum number of unanswered messages; further senders wait. */
const MAX_UNANSWERED = 256;

/**
 * A message in flight.
 * @typedef {object} Unanswered
 * @property {import("./gen/chat_pb.js").SendMessageRequest} request
 * @property {(response: import("./gen/chat_pb.js").SendMessageResponse) => void} answer
 * @property {(error: Error) => void} fail
 * @property {boolean} tried was sent at least once: id and afterSeq are fixed from then on
 * @property {boolean} sent was sent on this connection
 * @property {number} sentAtMs when it was sent, in time waited for the server
 * @property {number} refusals
 * @property {number} due not to be sent before this time
 */

export class Outbox {
  /** By the requestId of their frames, in order of creation. @type {Map<string, Unanswered>} */
  #messages = new Map();
  /** Frames whose answers are ignored. @type {import("./gen/chat_pb.js").ClientFrame[]} */
  #beside = [];
  #waitedMs = () => 0;
  #events = new EventEmitter();
  #free = MAX_UNANSWERED;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {Error | undefined} */
  #ended;
  #nextKey = 0;
  /** Two sessions of a user must not generate the same ids. */
  #prefix = randomUUID();

  /**
   * Resolves once the message is answered, on any connection.
   * @param {import("./gen/chat_pb.js").SendMessageRequest} request
   * @returns {Promise<import("./gen/chat_pb.js").SendMessageResponse>}
   */
  async send(request) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    const key = String(this.#nextKey++);
    try {
      if (this.#ended) throw this.#ended;
      request.clientMessageId ||= `${this.#prefix}-${key}`;
      return await new Promise((answer, fail) => {
        this.#messages.set(key, { request, answer, fail, tried: false, sent: false, sentAtMs: 0, refusals: 0, due: 0 });
        this.#changed();
      });
    } finally {
      this.#messages.delete(key);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
      this.#changed();
    }
  }

  /**
   * Acknowledges delivery; the answer is ignored.
   * @param {{roomId: string, seq: bigint}} mark
   */
  acknowledge(mark) {
    const operation = { case: /** @type {const} */ ("acknowledgeDelivery"), value: mark };
    this.#beside.push(create(ClientFrameSchema, { operation }));
    this.#changed();
  }

  /** Sends a cheap request, so that the server has to answer. */
  probe() {
    const operation = { case: /** @type {const} */ ("getUser"), value: { userId: "me" } };
    this.#beside.push(create(ClientFrameSchema, { requestId: "probe", operation }));
    this.#changed();
  }

  /**
   * On a new connection all unanswered messages are sent again, in order.
   * @param {() => number} waitedMs the time spent waiting for the server on it
   */
  reconnected(waitedMs) {
    for (const message of this.#messages.values()) message.sent = false;
    this.#beside = [];
    this.#waitedMs = waitedMs;
  }

  /** How long the oldest message on this connection has been unanswered. */
  get longestWaitMs() {
    for (const message of this.#messages.values()) if (message.sent) return this.#waitedMs() - message.sentAtMs;
    return 0;
  }

  /**
   * Waits for the next frame to send on this connection.
   * @param {import("./rooms.js").Rooms} rooms
   * @param {import("./gen/chat_pb.js").Limits | undefined} limits
   * @param {AbortSignal} signal
   */
  async nextFrame(rooms, limits, signal) {
    for (;;) {
      signal.throwIfAborted();
      const frame = this.#beside.shift() ?? this.#take(rooms, limits);
      if (frame) return frame;
      await once(this.#events, "changed", { signal });
    }
  }

  /**
   * @param {import("./rooms.js").Rooms} rooms
   * @param {import("./gen/chat_pb.js").Limits | undefined} limits
   */
  #take(rooms, limits) {
    const now = performance.now();
    const messages = [...this.#messages];
    const underWay = messages.filter(([, message]) => message.sent).length;
    if (underWay >= (limits?.maxInFlight || MAX_UNANSWERED)) return undefined;
    for (const [requestId, message] of messages) {
      if (message.sent || message.due > now) continue;
      const { request } = message;
      // The highest head known before the first attempt: with it the server recognises a repeat at any time.
      if (!message.tried && request.afterSeq === undefined && request.target.case === "roomId") {
        request.afterSeq = rooms.get(request.target.value).head || undefined;
      }
      message.tried = message.sent = true;
      message.sentAtMs = this.#waitedMs();
      const frame = create(ClientFrameSchema, { requestId, operation: { case: "sendMessage", value: request } });
      if (!limits?.maxFrameBytes || toBinary(ClientFrameSchema, frame).length <= limits.maxFrameBytes) return frame;
      // The server would close the stream because of it, and so would the next one.
      message.fail(new Refused("frame_too_large", `more than ${limits.maxFrameBytes} bytes`));
    }
    return undefined;
  }

  /** @param {string} key */
  unanswered(key) {
    return this.#messages.get(key);
  }

  /**
   * Sends a message again, with the same id, after a delay.
   * @param {Unanswered} message
   * @param {number} delayMs
   */
  again(message, delayMs) {
    message.sent = false;
    message.refusals += 1;
    message.due = performance.now() + delayMs;
    // A timer may fire slightly early.
    setTimeout(() => this.#changed(), delayMs + 1).unref();
  }

  /**
   * The session has ended: nothing will be answered.
   * @param {Error} error
   */
  end(error) {
    this.#ended = error;
    for (const message of this.#messages.values()) message.fail(error);
  }

  #changed() {
    this.#events.emit("changed");
  }
}
