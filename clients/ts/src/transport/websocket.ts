import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";

import { Code, ConfigurationError, fromFrame, frameTooLarge, type ParlanceError, refused, TransportError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, ErrorSchema, type Hello, type ServerFrame, ServerFrameSchema } from "../gen/chat_pb.js";
import { encodeJson, utf8Length } from "./json.js";
import { Queue } from "./queue.js";
import type { Connection, Transport } from "./transport.js";
import { serverUrl } from "./url.js";

const CONNECT_TIMEOUT_MS = 10_000;
const ASK_TIMEOUT_MS = 3_000;
/** Close code for a message larger than the peer accepts. */
const TOO_LARGE = 1009;

/** The required part of a WebSocket: available in browsers, Node and `ws`. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** Canonical proto3 JSON over a WebSocket: one connection for everything. */
export class WebSocketTransport implements Transport {
  readonly #url: string;
  readonly #WebSocket: WebSocketConstructor | undefined;
  /** Frames are measured before they are sent: encoded once for both. */
  readonly #encoded = new WeakMap<ClientFrame, string>();

  /**
   * `url` is the server's, as `https://host` or `http://host:port`. Node before 22 has no built-in WebSocket: pass one
   * with the same interface, such as that of `ws`.
   */
  constructor(url: string, implementation: WebSocketConstructor | undefined = globalThis.WebSocket) {
    this.#url = url;
    this.#WebSocket = implementation;
  }

  size(frame: ClientFrame): number {
    return utf8Length(this.#encode(frame));
  }

  async open(token: string, hello: Hello, signal?: AbortSignal): Promise<Connection> {
    const url = serverUrl(this.#url);
    if (!this.#WebSocket) {
      throw new ConfigurationError("this runtime has no WebSocket: pass one, such as `ws`, to WebSocketTransport");
    }
    signal?.throwIfAborted();
    const socket = this.#connect(new URL(`${url.replace(/^http/, "ws")}/ws`), token);
    return new Promise((resolve, reject) => {
      const frames = new Queue<ServerFrame>();
      const connection: Connection = {
        frames,
        send: (frame) => socket.readyState === 1 && socket.send(this.#encode(frame)),
        close: () => {
          frames.end();
          socket.close(1000);
        },
      };
      const abort = () => {
        reject(signal?.reason);
        connection.close();
      };
      signal?.addEventListener("abort", abort, { once: true });
      const late = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
      const settled = () => {
        clearTimeout(late);
        signal?.removeEventListener("abort", abort);
      };
      let opened = false;
      socket.onopen = () => {
        opened = true;
        settled();
        connection.send(helloFrame(hello));
        resolve(connection);
      };
      socket.onmessage = ({ data }: { data: unknown }) => {
        try {
          // A later version may send unknown fields.
          frames.push(fromJson(ServerFrameSchema, JSON.parse(data as string), { ignoreUnknownFields: true }));
        } catch (cause) {
          // Skipping it could skip an event: the next connection resumes before it.
          frames.fail(new TransportError("the server sent an unreadable frame", { cause }));
          socket.close(1000);
        }
      };
      // The following close event has the reason.
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
        settled();
        if (code === 1000) frames.end();
        else if (code === TOO_LARGE) frames.fail(frameTooLarge(reason || "a frame was too large"));
        else frames.fail(new TransportError(reason || `the connection closed (${code})`));
        if (!opened && !signal?.aborted) void this.#whyNot(url, token).then(reject);
      };
    });
  }

  #connect(url: URL, token: string): WebSocketLike {
    // A browser cannot set headers here: the token is sent as a subprotocol. This client may be newer than the server.
    const protocols = ["parlance.v1", "unknown-fields.ignore", `bearer.${token}`];
    try {
      return new this.#WebSocket!(url.href, protocols);
    } catch (cause) {
      if (!(cause instanceof Error) || cause.name !== "SyntaxError") throw cause;
      // The URL is valid, so the token is not.
      throw refused({ code: Code.Unauthenticated, reason: "token_invalid", message: "the token has invalid characters", metadata: {} });
    }
  }

  #encode(frame: ClientFrame): string {
    let text = this.#encoded.get(frame);
    if (text === undefined) this.#encoded.set(frame, (text = encodeJson(frame)));
    return text;
  }

  /** Browsers do not report why a handshake failed: the answer to a plain request does. */
  async #whyNot(url: string, token: string): Promise<ParlanceError> {
    let status = "";
    try {
      const response = await fetch(`${url}/v1/users/me`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
      });
      status = ` (HTTP ${response.status})`;
      const body = (await response.json()) as { error?: JsonValue };
      const error = fromJson(ErrorSchema, body.error ?? {}, { ignoreUnknownFields: true });
      if (error.code === Code.Unauthenticated) return fromFrame(error);
    } catch {
      // No answer there either, or one of something other than Parlance.
    }
    return new TransportError(`the server cannot be reached${status}`);
  }
}

/** `hello` as the first frame of a stream. */
export function helloFrame(hello: Hello): ClientFrame {
  return create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: hello } });
}
