import type { ClientFrame, Hello, ServerFrame } from "../gen/chat_pb.js";

/** One way into a server. */
export interface Transport {
  /** Opens a stream that begins with `hello`. Rejects if there is no connection. */
  open(token: string, hello: Hello): Promise<Connection>;
}

/** An open stream. */
export interface Connection {
  /** Hands a frame over. It may never arrive: that is what replies are for. */
  send(frame: ClientFrame): void;
  /**
   * What the server says, in order; the first frame is the welcome, or a refusal. Ends
   * when the server has ended the stream in good order, throws when it broke.
   */
  readonly frames: AsyncIterable<ServerFrame>;
  /** Ends the stream. */
  close(): void;
}
