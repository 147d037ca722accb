/** One `Chat` stream to the server, and unary calls next to it. */

import { setTimeout as sleep } from "node:timers/promises";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { backoff, Lost, retryDelay, Unauthenticated } from "./errors.js";
import { ChatService, ClientFrameSchema, RoomService, UserService } from "./gen/chat_pb.js";

/** Timeout of the answer to hello. */
const WELCOME_TIMEOUT_MS = 15_000;

/** Timeout of a page. */
const PAGE_TIMEOUT_MS = 30_000;

/** How often a wait for the server is interrupted to check whether to continue waiting. */
const TICK_MS = 1_000;

/** Trailer in which the server sends error details; errors of proxies have none. */
const ERROR_DETAILS = "grpc-status-details-bin";

/** Maximum size of a page. */
const PAGE_SIZE = 200;

/**
 * A peer that has vanished is detected within interval plus timeout, and an idle connection is closed. Not with
 * `abort` of the session manager, nor with `pingIdleConnection`: on a connection that just broke, both cause an
 * error that cannot be caught.
 */
const CONNECTION = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000, idleConnectionTimeoutMs: 1_000 };

/** A page of 200 messages of 16 KiB, plus overhead. */
const MAX_SERVER_FRAME = 32 * 1024 * 1024;

/**
 * The services of a server, over one HTTP/2 connection.
 * @param {string} server host:port, or with TLS https://host:port
 * @param {string} [token]
 */
export function connect(server, token) {
  const baseUrl = server.includes("://") ? server : `http://${server}`;
  /** @type {import("@connectrpc/connect").Interceptor} */
  const signIn = (next) => (request) => {
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcTransport({
    baseUrl,
    ...CONNECTION,
    interceptors: [signIn],
    readMaxBytes: MAX_SERVER_FRAME,
  });
  return {
    chat: createClient(ChatService, transport),
    rooms: createClient(RoomService, transport),
    users: createClient(UserService, transport),
  };
}

/**
 * Converts an error thrown by gRPC to `Unauthenticated` or `Lost`. Any other refusal, by the server or by a
 * proxy, may succeed on a retry.
 * @param {unknown} thrown
 */
export function failure(thrown) {
  const error = ConnectError.from(thrown);
  const name = Code[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
  const isFromServer = error.details.length > 0 || error.metadata.has(ERROR_DETAILS);
  return error.code === Code.Unauthenticated && isFromServer
    ? new Unauthenticated(name, error.rawMessage)
    : new Lost(`${name}: ${error.rawMessage}`);
}

export class Connection {
  #server;
  #over = new AbortController();
  /** @type {AsyncIterator<import("./gen/chat_pb.js").ServerFrame>} */
  #frames;
  /** @type {(nextFrame: NextFrame) => void} */
  #start = () => {};
  /** Created here, because the welcome may arrive before it is awaited. @type {Promise<NextFrame>} */
  #started = new Promise((resolve) => (this.#start = resolve));
  /** When to leave a draining server. @type {number | undefined} */
  #leaveAt;
  #waitedMs = 0;
  #heardAtMs = 0;
  /** Shared by several calls of `read`. @type {Promise<import("./gen/chat_pb.js").ServerFrame> | undefined} */
  #reading;

  /**
   * @callback NextFrame
   * @param {AbortSignal} signal
   * @returns {Promise<import("./gen/chat_pb.js").ClientFrame>}
   */

  /**
   * @param {string} server
   * @param {string} token
   * @param {import("./gen/chat_pb.js").Hello} hello
   */
  constructor(server, token, hello) {
    this.#server = connect(server, token);
    const answers = this.#server.chat.chat(this.#requests(hello), { signal: this.#over.signal });
    this.#frames = answers[Symbol.asyncIterator]();
  }

  /** @param {import("./gen/chat_pb.js").Hello} hello */
  async *#requests(hello) {
    yield create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: hello } });
    const nextFrame = await this.#started;
    for (;;) yield await nextFrame(this.#over.signal);
  }

  /** Waits for the answer to hello. */
  async welcome() {
    /** @type {import("./gen/chat_pb.js").ServerFrame | undefined} */
    let next;
    while (!(next = await this.read())) {
      if (this.silenceMs > WELCOME_TIMEOUT_MS) throw new Lost("no welcome in time");
    }
    const { frame } = next;
    if (frame.case === "welcome") return frame.value;
    if (frame.case === "reply" && frame.value.result.case === "error") {
      const error = frame.value.result.value;
      if (error.code === Code.Unauthenticated) throw new Unauthenticated(error.reason, error.message);
      throw new Lost(error.message, retryDelay(error, 0));
    }
    throw new Lost("the first frame is no welcome");
  }

  /**
   * From now on sends the frames returned by `nextFrame`.
   * @param {NextFrame} nextFrame
   */
  sendFrom(nextFrame) {
    this.#start(async (signal) => {
      const frame = await nextFrame(signal);
      // Frames that a draining server does not get are sent to the next one.
      return this.#leaveAt === undefined ? frame : new Promise(() => {});
    });
  }

  /** Time spent waiting for the server; excludes time spent in the application. */
  get waitedMs() {
    return this.#waitedMs;
  }

  /** Time waited since the last frame arrived. */
  get silenceMs() {
    return this.#waitedMs - this.#heardAtMs;
  }

  /** Whether the server is draining, and its delay is over. */
  get isToLeave() {
    return this.#leaveAt !== undefined && performance.now() >= this.#leaveAt;
  }

  /** The next frame; undefined if none arrives for a moment. */
  async read() {
    this.#reading ??= this.#next();
    // Handled by a later call, if not by this one.
    this.#reading.catch(() => {});
    const began = performance.now();
    const leftMs = this.#leaveAt === undefined ? TICK_MS : Math.max(0, Math.min(TICK_MS, this.#leaveAt - began));
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    /** @type {Promise<undefined>} */
    const tick = new Promise((resolve) => (timer = setTimeout(() => resolve(undefined), leftMs)));
    try {
      const frame = await Promise.race([this.#reading, tick]);
      if (!frame) return undefined;
      this.#reading = undefined;
      return frame;
    } catch (error) {
      if (this.#leaveAt === undefined) throw error;
      // A draining server may end the stream before the announced time.
      throw new Lost("the server is draining", this.#leaveAt - performance.now());
    } finally {
      clearTimeout(timer);
      this.#waitedMs += performance.now() - began;
      if (!this.#reading) this.#heardAtMs = this.#waitedMs;
    }
  }

  async #next() {
    try {
      const { done, value } = await this.#frames.next();
      if (!done) return value;
    } catch (error) {
      throw failure(error);
    }
    throw new Lost("the server ended the stream");
  }

  /**
   * Leaves a draining server after the delay.
   * @param {number} delayMs
   */
  leaveAfter(delayMs) {
    this.#leaveAt ??= performance.now() + delayMs;
  }

  /**
   * Reads a part of a room's log, page by page, in order.
   * @param {string} roomId
   * @param {bigint} fromSeq
   * @param {bigint} toSeq
   */
  async *history(roomId, fromSeq, toSeq) {
    for (let refusals = 0; fromSeq > 0n && fromSeq <= toSeq; ) {
      const page = await this.#page({ roomId, fromSeq, toSeq, pageSize: PAGE_SIZE });
      if (!page) {
        await sleep(backoff(refusals++));
        continue;
      }
      const parts = [...page.events, ...page.gaps];
      yield* parts.sort((a, b) => Number(firstSeq(a) - firstSeq(b)));
      fromSeq = page.nextFromSeq > fromSeq ? page.nextFromSeq : 0n;
    }
  }

  /**
   * A page; undefined if it has to be requested again later.
   * @param {{roomId: string, fromSeq: bigint, toSeq: bigint, pageSize: number}} request
   */
  async #page(request) {
    try {
      return await this.#server.chat.listEvents(request, {
        signal: this.#over.signal,
        timeoutMs: PAGE_TIMEOUT_MS,
      });
    } catch (error) {
      if (ConnectError.from(error).code === Code.ResourceExhausted) return undefined;
      // Reason enough to reconnect: the server then announces what may be read by that time.
      throw failure(error);
    }
  }

  close() {
    this.#over.abort();
  }
}

/** @param {import("./gen/chat_pb.js").Event | import("./gen/chat_pb.js").Gap} part */
function firstSeq(part) {
  return part.$typeName === "parlance.v1.Event" ? part.seq : part.fromSeq;
}
