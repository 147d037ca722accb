import { create, type DescMessage, type DescMethodUnary, type DescService, type Message, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport as Rpc } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { durationOf } from "../duration.js";
import { Code, type ParlanceError, RefusedError, refused, TransportError } from "../errors.js";
import {
  ChatService,
  type ClientFrame,
  type Error as ErrorMessage,
  ErrorSchema,
  type Hello,
  InboxService,
  type Reply,
  RoomService,
  ServerService,
  type ServerFrame,
  ServerFrameSchema,
  SubscribeRequestSchema,
  UserService,
} from "../gen/chat_pb.js";
import { type Asked, isMark, isChange, roomOf } from "../session/operations.js";
import { Queue } from "./queue.js";
import { fromStatus } from "./status.js";
import type { Connection, Transport } from "./transport.js";
import { serverUrl } from "./url.js";

/** The unary call of each operation, which has the same name. */
const METHODS = new Map<string, DescMethodUnary>();
for (const service of [ChatService, UserService, RoomService, InboxService, ServerService] as DescService[]) {
  for (const method of service.methods) if (method.methodKind === "unary") METHODS.set(method.localName, method as DescMethodUnary);
}

/**
 * Probes are separate calls, so an answer does not show that the stream works: its heartbeats do. A stream without one for
 * this long after it was due is dead.
 */
const HEARTBEAT_GRACE_MS = 10_000;
/** Likewise if the server is too old for heartbeats: the stream is reopened, just in case. */
const STREAM_SILENCE_MS = 5 * 60_000;

/** What a header can hold, and what it keeps as it is. */
const IN_HEADER = /^[\x21-\x7e]*$/;

/** grpc-web to `url`, which is `https://host` or `http://host:port`: events on a stream, each operation as a separate
 * call. */
export function grpcWeb(url: string): Transport {
  return new GrpcWebTransport(url);
}

/** See {@link grpcWeb}. */
export class GrpcWebTransport implements Transport {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  size({ operation }: ClientFrame): number {
    if (operation.case === "hello") {
      return toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { hello: operation.value })).length;
    }
    const { input } = methodOf(operation.case);
    return toBinary(input as DescMessage, operation.value as Message).length;
  }

  async open(token: string, hello: Hello, signal?: AbortSignal): Promise<Connection> {
    const baseUrl = serverUrl(this.#url);
    signal?.throwIfAborted();
    // `fetch` would fail as if there were no server, with the token in its message.
    if (!IN_HEADER.test(token.trim())) throw refused({ code: Code.Unauthenticated, reason: "token_invalid", message: "the token has invalid characters", metadata: {} });
    const stream = createClient(ChatService, createGrpcWebTransport({ baseUrl, fetch: fetchStream }));
    const connection = new GrpcWebConnection(createGrpcWebTransport({ baseUrl }), token);
    const abort = () => connection.close();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await connection.open(stream, hello);
      signal?.throwIfAborted();
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
}

class GrpcWebConnection implements Connection {
  readonly frames = new Queue<ServerFrame>();
  readonly #rpc: Rpc;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #end = new AbortController();
  /** Changes of one room run one after the other, in the order of their requests. */
  readonly #last = new Map<string, Promise<void>>();
  /** One per call: on a shared signal, each call would leave a listener behind. */
  readonly #calls = new Set<AbortController>();

  constructor(rpc: Rpc, token: string) {
    this.#rpc = rpc;
    this.#headers = { authorization: `Bearer ${token}` };
  }

  async open(chat: Client<typeof ChatService>, hello: Hello): Promise<void> {
    const events = chat.subscribe({ hello }, { signal: this.#end.signal, headers: this.#headers })[Symbol.asyncIterator]();
    const first = await events.next().catch((error: unknown) => {
      throw asStreamError(fromStatus(error));
    });
    if (!first.done) this.frames.push(first.value);
    void this.#pump(events, first.done ? undefined : heartbeatMs(first.value));
  }

  send(frame: ClientFrame): void {
    const operation = frame.operation as Asked;
    // Marks only move forward, so their order does not matter: nothing waits for them.
    if (!isChange(operation.case) || isMark(operation.case)) return void this.#call(frame);
    const place = roomOf(operation) || (operation.case === "sendMessage" ? `@${operation.value.target.value}` : "");
    const call = (this.#last.get(place) ?? Promise.resolve()).then(() => this.#call(frame));
    this.#last.set(place, call);
    void call.then(() => this.#last.get(place) === call && this.#last.delete(place));
  }

  close(): void {
    this.frames.end();
    this.#end.abort();
    for (const call of this.#calls) call.abort();
  }

  async #pump(events: AsyncIterator<ServerFrame>, heartbeatMs: number | undefined): Promise<void> {
    let silent: ReturnType<typeof setTimeout> | undefined;
    // A draining server is left immediately and without an error.
    const leave = () => this.frames.push(create(ServerFrameSchema, { frame: { case: "draining", value: {} } }));
    const fail = () => this.frames.fail(new TransportError("the stream is silent, without a heartbeat"));
    const heard = () => {
      clearTimeout(silent);
      silent = heartbeatMs === undefined ? setTimeout(leave, STREAM_SILENCE_MS) : setTimeout(fail, heartbeatMs + HEARTBEAT_GRACE_MS);
    };
    const stop = () => clearTimeout(silent);
    this.#end.signal.addEventListener("abort", stop, { once: true });
    try {
      heard();
      for (let next = await events.next(); !next.done; next = await events.next()) {
        heard();
        this.frames.push(next.value);
      }
      this.frames.end();
    } catch (error) {
      if (!this.#end.signal.aborted) this.frames.fail(asStreamError(fromStatus(error)));
    } finally {
      stop();
    }
  }

  /** Makes one call and delivers its reply. The connection only fails if there was no answer at all. */
  async #call({ requestId, operation, asUser }: ClientFrame): Promise<void> {
    if (this.#end.signal.aborted) return;
    const abort = new AbortController();
    this.#calls.add(abort);
    try {
      const result = await this.#result(operation as Asked, asUser, abort.signal);
      this.frames.push(create(ServerFrameSchema, { frame: { case: "reply", value: { requestId, result } } }));
    } catch (error) {
      this.frames.fail(error);
    } finally {
      this.#calls.delete(abort);
    }
  }

  async #result(operation: Asked, asUser: string, signal: AbortSignal): Promise<Reply["result"]> {
    const method = methodOf(operation.case);
    // Would break the connection instead of being refused, on each attempt.
    if (!IN_HEADER.test(asUser)) return { case: "error", value: toFrame(refused({ code: Code.InvalidArgument, reason: "invalid_field", message: "as_user: is not a user id", metadata: {} })) };
    try {
      const headers = asUser ? { ...this.#headers, "parlance-as-user": asUser } : this.#headers;
      const { message } = await this.#rpc.unary(method, signal, undefined, headers, operation.value as Message);
      return { case: method.localName, value: message } as Reply["result"];
    } catch (error) {
      const refusal = fromStatus(error);
      if (!(refusal instanceof RefusedError)) throw refusal;
      return { case: "error", value: toFrame(refusal) };
    }
  }
}

/** The heartbeat interval of a stream, if it has one. */
function heartbeatMs({ frame }: ServerFrame): number | undefined {
  const after = frame.case === "welcome" ? frame.value.heartbeatAfter : undefined;
  return after && Number(after.seconds) * 1_000 + after.nanos / 1e6;
}

function methodOf(name: string | undefined): DescMethodUnary {
  const method = METHODS.get(name ?? "");
  if (!method) throw new TypeError(`${name} is no operation`);
  return method;
}

/** A stream refused by something other than Parlance, such as a proxy, counts as a failed connection. */
function asStreamError(error: ParlanceError): ParlanceError {
  return error instanceof RefusedError && error.reason === "" ? new TransportError(error.message, { cause: error }) : error;
}

/**
 * `fetch` for a long-lived answer that the signal can end. In Node a garbage collection makes `fetch` forget the signal
 * (https://github.com/nodejs/undici/issues/3644): a stream closed after that would stay open, at both ends.
 */
async function fetchStream(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init);
  return new Response(response.body?.pipeThrough(new TransformStream(), init?.signal ? { signal: init.signal } : {}), response);
}

/** Converts an error to its form in a frame. */
function toFrame(error: RefusedError): ErrorMessage {
  const { code, reason, message, metadata, retryDelayMs } = error;
  return create(ErrorSchema, { code, reason, message, metadata, ...(retryDelayMs !== undefined && { retryDelay: durationOf(retryDelayMs / 1_000) }) });
}
