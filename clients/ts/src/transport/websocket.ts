import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";

import { Code, fromFrame, type ParlanceError, TransportError } from "../errors.js";
import {
  ClientFrameSchema,
  ErrorSchema,
  type Hello,
  type ServerFrame,
  ServerFrameSchema,
} from "../gen/chat_pb.js";
import { Queue } from "./queue.js";
import type { Connection, Transport } from "./transport.js";

const CONNECT_TIMEOUT_MS = 10_000;
const ASK_TIMEOUT_MS = 3_000;

/** Canonical proto3 JSON over a WebSocket: one connection for everything. */
export class WebSocketTransport implements Transport {
  readonly #http: string;
  readonly #WebSocket: typeof WebSocket;

  /**
   * `url` is where the server is, as `https://host` or `http://host:port`. Node before 22
   * has no WebSocket of its own: give one with the same interface, such as that of `ws`.
   */
  constructor(url: string, implementation: typeof WebSocket = globalThis.WebSocket) {
    this.#http = url.replace(/\/$/, "");
    this.#WebSocket = implementation;
  }

  open(token: string, hello: Hello): Promise<Connection> {
    return new Promise((resolve, reject) => {
      // A browser cannot set headers here: the token travels as a subprotocol.
      // This client may be newer than the server.
      const protocols = ["parlance.v1", "unknown-fields.ignore", `bearer.${token}`];
      const socket = new this.#WebSocket(`${this.#http.replace(/^http/, "ws")}/ws`, protocols);
      const frames = new Queue<ServerFrame>();
      const connection: Connection = {
        frames,
        send: (frame) => socket.readyState === 1 && socket.send(JSON.stringify(toJson(ClientFrameSchema, frame))),
        close: () => {
          frames.end();
          socket.close(1000);
        },
      };
      let opened = false;
      const late = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
      socket.onopen = () => {
        opened = true;
        clearTimeout(late);
        connection.send(create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: hello } }));
        resolve(connection);
      };
      socket.onmessage = ({ data }) => {
        // What a later version says beside is not ours to refuse.
        frames.push(fromJson(ServerFrameSchema, JSON.parse(data as string), { ignoreUnknownFields: true }));
      };
      // What is wrong, the close after it says.
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }) => {
        clearTimeout(late);
        if (code === 1000) frames.end();
        else frames.fail(new TransportError(reason || `the connection closed (${code})`));
        if (!opened) void this.#whyNot(token).then(reject);
      };
    });
  }

  /** A browser does not tell why a handshake failed: what a plain request says, does. */
  async #whyNot(token: string): Promise<ParlanceError> {
    try {
      const response = await fetch(`${this.#http}/v1/users/me`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
      });
      const body = (await response.json()) as { error?: JsonValue };
      const error = fromJson(ErrorSchema, body.error ?? {}, { ignoreUnknownFields: true });
      if (error.code === Code.Unauthenticated) return fromFrame(error);
    } catch {
      // Nobody answers there either.
    }
    return new TransportError("the server cannot be reached");
  }
}
