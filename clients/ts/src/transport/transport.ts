import type { ClientFrame, Hello, ServerFrame } from "../gen/chat_pb.js";

/** A way to connect to a server. */
export interface Transport {
  /**
   * Opens a stream that starts with `hello`. Rejects if there is no connection, and when `signal` is aborted: nothing of
   * the attempt is left then. A `ConfigurationError` ends the client, any other error is followed by another attempt.
   */
  open(token: string, hello: Hello, signal: AbortSignal): Promise<Connection>;
  /**
   * Encoded size of a frame on this transport, in bytes. A frame larger than the server's limit is refused before it is
   * sent. Without this method frames are measured as JSON.
   */
  size?(frame: ClientFrame): number;
}

/** An open stream. */
export interface Connection {
  /** Sends a frame. It may never arrive: replies confirm it. */
  send(frame: ClientFrame): void;
  /**
   * Frames of the server in order; the first one is the welcome, or a refusal. Ends when the server has ended the stream
   * normally, throws when it broke.
   */
  readonly frames: AsyncIterable<ServerFrame>;
  /** Ends the stream. */
  close(): void;
}
