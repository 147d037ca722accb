import { create, type DescMethodUnary, type DescService, type Message } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport as Rpc } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { fromStatus, RefusedError, toFrame } from "../errors.js";
import {
  ChatService,
  type ClientFrame,
  type Hello,
  InboxService,
  type Reply,
  RoomService,
  type ServerFrame,
  ServerFrameSchema,
  UserService,
} from "../gen/chat_pb.js";
import { isChange } from "../session/operations.js";
import { Queue } from "./queue.js";
import type { Connection, Transport } from "./transport.js";

/** The unary call of each operation: they share their names. */
const METHODS = new Map<string, DescMethodUnary>();
for (const service of [ChatService, UserService, RoomService, InboxService] as DescService[]) {
  for (const method of service.methods) if (method.methodKind === "unary") METHODS.set(method.localName, method as DescMethodUnary);
}

/** grpc-web: events on a stream, each operation a call of its own. */
export class GrpcWebTransport implements Transport {
  readonly #rpc: Rpc;
  readonly #chat: Client<typeof ChatService>;

  /** `url` is where the server is, as `https://host` or `http://host:port`. */
  constructor(url: string) {
    const baseUrl = url.replace(/\/$/, "");
    this.#rpc = createGrpcWebTransport({ baseUrl });
    this.#chat = createClient(ChatService, createGrpcWebTransport({ baseUrl, fetch: fetchStream }));
  }

  async open(token: string, hello: Hello): Promise<Connection> {
    const end = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const frames = new Queue<ServerFrame>();
    const events = this.#chat.subscribe({ hello }, { signal: end.signal, headers })[Symbol.asyncIterator]();
    const first = await events.next().catch((error: unknown) => {
      throw fromStatus(error);
    });
    if (!first.done) frames.push(first.value);
    void this.#pump(events, frames, end.signal);
    // What changes something goes one after the other, so that it happens in the order in
    // which it was asked for.
    let last: Promise<void> = Promise.resolve();
    // One for each call: on a signal that all share, each would leave a listener behind.
    const calls = new Set<AbortController>();
    return {
      frames,
      send: (frame) => {
        const call = async () => {
          if (end.signal.aborted) return;
          const abort = new AbortController();
          calls.add(abort);
          await this.#call(frame, headers, abort.signal)
            .then((reply) => frames.push(reply), frames.fail.bind(frames))
            .finally(() => calls.delete(abort));
        };
        if (isChange(frame.operation.case)) last = last.then(call);
        else void call();
      },
      close: () => {
        frames.end();
        end.abort();
        for (const call of calls) call.abort();
      },
    };
  }

  async #pump(events: AsyncIterator<ServerFrame>, frames: Queue<ServerFrame>, end: AbortSignal): Promise<void> {
    try {
      for (let next = await events.next(); !next.done; next = await events.next()) frames.push(next.value);
      frames.end();
    } catch (error) {
      if (!end.aborted) frames.fail(fromStatus(error));
    }
  }

  /** The reply that a stream would have carried. Rejects if the server cannot be reached. */
  async #call(frame: ClientFrame, headers: HeadersInit, end: AbortSignal): Promise<ServerFrame> {
    const { requestId, operation } = frame;
    const method = METHODS.get(operation.case ?? "");
    if (!method) throw new TypeError(`${operation.case} is no operation`);
    let result: Reply["result"];
    try {
      const answer = await this.#rpc.unary(method, end, undefined, headers, operation.value as Message);
      result = { case: method.localName, value: answer.message } as Reply["result"];
    } catch (error) {
      const refusal = fromStatus(error);
      if (!(refusal instanceof RefusedError)) throw refusal;
      result = { case: "error", value: toFrame(refusal) };
    }
    return create(ServerFrameSchema, { frame: { case: "reply", value: { requestId, result } } });
  }
}

/**
 * `fetch` for an answer that lasts, and ends when the signal says so. In Node a garbage collection
 * makes `fetch` forget the signal (https://github.com/nodejs/undici/issues/3644): a stream that is
 * closed after that would stay open, at both ends.
 */
async function fetchStream(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init);
  return new Response(response.body?.pipeThrough(new TransformStream(), init?.signal ? { signal: init.signal } : {}), response);
}
