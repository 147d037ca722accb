import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { Connection, Transport } from "../src/index.js";
import { v1 } from "../src/index.js";
import { Queue } from "../src/transport/queue.js";

type Frame = NonNullable<MessageInitShape<typeof v1.ServerFrameSchema>["frame"]>;

/** A connection whose other end is the test. */
export class FakeConnection implements Connection {
  readonly frames = new Queue<v1.ServerFrame>();
  readonly sent: v1.ClientFrame[] = [];
  closed = false;

  constructor(
    readonly token: string,
    readonly hello: v1.Hello,
  ) {}

  send(frame: v1.ClientFrame): void {
    this.sent.push(frame);
  }

  close(): void {
    this.closed = true;
    this.frames.end();
  }

  say(frame: Frame): void {
    this.frames.push(create(v1.ServerFrameSchema, { frame }));
  }

  welcome(heads: { roomId: string; seq: bigint; epoch?: bigint }[] = []): void {
    this.say({ case: "welcome", value: { userId: "alice", nodeId: "n1", heads } });
  }

  event(roomId: string, seq: bigint, text = `${seq}`): void {
    this.say({ case: "event", value: message(roomId, seq, text) });
  }

  /** Answers the last frame. */
  answer(result: NonNullable<MessageInitShape<typeof v1.ReplySchema>["result"]>): void {
    this.say({ case: "reply", value: { requestId: this.sent.at(-1)!.requestId, result } });
  }

  refuse(error: MessageInitShape<typeof v1.ErrorSchema>): void {
    this.answer({ case: "error", value: error });
  }
}

/** A server that is there, or not. */
export class FakeTransport implements Transport {
  readonly connections: FakeConnection[] = [];
  /** Fails to connect with this. */
  refusal: Error | undefined;

  async open(token: string, hello: v1.Hello): Promise<Connection> {
    if (this.refusal) throw this.refusal;
    const connection = new FakeConnection(token, hello);
    this.connections.push(connection);
    return connection;
  }

  get last(): FakeConnection {
    return this.connections.at(-1)!;
  }
}

export function message(roomId: string, seq: bigint, text: string, actorId = "bob", requestId = `${actorId}-${seq}`): v1.Event {
  return create(v1.EventSchema, { roomId, seq, actorId, requestId, messageCount: seq, body: { case: "message", value: { text } } });
}
