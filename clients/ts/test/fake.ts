import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { Connection, Transport } from "../src/index.js";
import { v1 } from "../src/index.js";
import type { HostEvents, HostListener } from "../src/session/host.js";
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

  /** Called with every sent frame. */
  onsend: (frame: v1.ClientFrame) => void = () => {};

  send(frame: v1.ClientFrame): void {
    this.sent.push(frame);
    this.onsend(frame);
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

  /** Frames sent for this operation. */
  of(name: v1.ClientFrame["operation"]["case"]): v1.ClientFrame[] {
    return this.sent.filter(({ operation }) => operation.case === name);
  }

  /** Answers a frame. */
  reply(requestId: string, result: NonNullable<MessageInitShape<typeof v1.ReplySchema>["result"]>): void {
    this.say({ case: "reply", value: { requestId, result } });
  }

  /** Answers the last frame. */
  answer(result: NonNullable<MessageInitShape<typeof v1.ReplySchema>["result"]>): void {
    this.reply(this.sent.at(-1)!.requestId, result);
  }

  refuse(error: MessageInitShape<typeof v1.ErrorSchema>): void {
    this.answer({ case: "error", value: error });
  }
}

/** A server that may be unavailable. */
export class FakeTransport implements Transport {
  readonly connections: FakeConnection[] = [];
  /** Connecting fails with this error. */
  refusal: Error | undefined;
  /** Accepts connections but never opens them. */
  hangs = false;
  /** Of all attempts. */
  readonly signals: AbortSignal[] = [];
  /** Called with every new connection. */
  onopen: (connection: FakeConnection) => void = () => {};

  async open(token: string, hello: v1.Hello, signal: AbortSignal): Promise<Connection> {
    this.signals.push(signal);
    if (this.hangs) return new Promise(() => {});
    if (this.refusal) throw this.refusal;
    const connection = new FakeConnection(token, hello);
    this.connections.push(connection);
    this.onopen(connection);
    return connection;
  }

  get last(): FakeConnection {
    return this.connections.at(-1)!;
  }
}

/** A device whose network can be switched on and off. */
export class FakeHost implements HostEvents {
  #isOffline = false;
  readonly listeners = new Set<HostListener>();

  isOffline(): boolean {
    return this.#isOffline;
  }

  watch(listener: HostListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  goOffline(): void {
    this.#isOffline = true;
    for (const { offline } of this.listeners) offline();
  }

  goOnline(): void {
    this.#isOffline = false;
    for (const { online } of this.listeners) online();
  }
}

/** Answers the routine calls of clients: an empty inbox, everyone is online, everything is acknowledged. */
export function answerRoutine(connection: FakeConnection): void {
  connection.onsend = ({ requestId, operation: { case: name, value } }) => {
    if (name === "listInbox" || name === "acknowledgeDelivery") connection.reply(requestId, { case: name, value: {} });
    if (name !== "getPresence") return;
    const presences = value.userIds.map((userId) => ({ userId, online: true }));
    connection.reply(requestId, { case: "getPresence", value: { presences } });
  };
}

export function message(roomId: string, seq: bigint, text: string, actorId = "bob", requestId = `${actorId}-${seq}`): v1.Event {
  return create(v1.EventSchema, { roomId, seq, actorId, requestId, messageCount: seq, body: { case: "message", value: { text } } });
}
