import { create } from "@bufbuild/protobuf";

import { Emitter } from "../emitter.js";
import { ClosedError, Code, fromFrame, milliseconds, type ParlanceError, RefusedError, TransportError, UnauthenticatedError } from "../errors.js";
import { type Event, type Gap, HelloSchema, type ServerFrame, type Signal, type Welcome } from "../gen/chat_pb.js";
import { backoff } from "../random.js";
import type { Connection, Transport } from "../transport/transport.js";
import { Calls } from "./calls.js";
import { ask, type OperationName, type RequestOf, type ResponseOf } from "./operations.js";
import { Positions } from "./positions.js";

/** A connection is dead when an answer is not there after this long; the server allows itself 20 s. */
const ANSWER_TIMEOUT_MS = 25_000;
/** The same for one that may have died while the machine slept: nothing else was asked. */
const PROBE_TIMEOUT_MS = 5_000;
/** A connection that does not begin within this time will not. */
const OPEN_TIMEOUT_MS = 15_000;
/** An event that the answer to a message promised is there by then, or the stream is dead. */
const EVENT_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 1_000;
/** Connections that do not last this long count as failures. */
const STABLE_MS = 10_000;

/** How a client stands with its server. */
export type ConnectionState =
  | { status: "idle" }
  | { status: "connecting" }
  | { status: "online"; userId: string; nodeId: string }
  /** Not connected. It is tried again at `retryAt`, as `Date.now()` has it. */
  | { status: "waiting"; retryAt: number; error: ParlanceError | undefined }
  /** For good: closed, or refused in a way that trying again does not mend. */
  | { status: "closed"; error: ParlanceError | undefined };

/** Gives a token. `refused` says that the server took the last one no more. */
export type TokenProvider = (asked: { refused: boolean }) => string | Promise<string>;

export interface SessionOptions {
  transport: Transport;
  token: TokenProvider;
  /** Names this device among those of its user. */
  deviceId?: string | undefined;
}

interface SessionEvents {
  state: ConnectionState;
  welcome: Welcome;
  /** Of each room in order, each once. */
  event: Event;
  /** Events that exist and are not handed over. */
  gap: Gap;
  signal: Signal;
}

/** Stays connected, resumes where it was, and repeats what was not answered. */
export class Session extends Emitter<SessionEvents> {
  readonly #options: SessionOptions;
  readonly #positions = new Positions();
  readonly #calls = new Calls(this.#positions);
  #state: ConnectionState = { status: "idle" };
  #connection: Connection | undefined;
  #closed = false;
  /** Ends the wait between two connections. */
  #wake: () => void = () => {};
  /** By when something has to be heard of a connection in doubt. */
  #doubtedUntil: number | undefined;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whose session it is; empty before the first welcome. */
  get userId(): string {
    return this.#calls.user;
  }

  /** Connects, and stays so. */
  start(): void {
    if (this.#state.status === "idle") void this.#run();
  }

  /** Ends it for good: what is not answered is rejected. */
  close(error?: ParlanceError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection?.close();
    this.#calls.fail(error ?? new ClosedError("the client was closed"));
    this.#set({ status: "closed", error });
    this.#wake();
  }

  /**
   * Carries out an operation, over as many connections as that takes. What changes
   * something is carried out once, however often it goes out.
   */
  async call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>> {
    if (this.#closed) throw new ClosedError("the client was closed");
    const { value } = await this.#calls.add(ask(name, request), signal);
    return value as ResponseOf<Name>;
  }

  /** Resolves once there is a connection, rejects once there will be none. */
  online(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (state: ConnectionState) => {
        if (state.status === "online") settle(resolve);
        else if (state.status === "closed") settle(() => reject(state.error ?? new ClosedError("the client was closed")));
      };
      const abort = () => settle(() => reject(signal?.reason));
      const off = this.on("state", look);
      const settle = (done: () => void) => {
        off();
        signal?.removeEventListener("abort", abort);
        done();
      };
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) abort();
      else look(this.#state);
    });
  }

  /** The highest seq of a room that is known to exist. */
  head(roomId: string): bigint | undefined {
    return this.#positions.head(roomId);
  }

  /** The network or the page is back: tries at once, and doubts a connection from before. */
  wake(): void {
    this.#wake();
    if (this.#state.status !== "online") return;
    this.#doubtedUntil ??= Date.now() + PROBE_TIMEOUT_MS;
    this.call("getPresence", { userIds: [] }).catch(() => {});
  }

  async #run(): Promise<void> {
    let failures = 0;
    let refused = false;
    while (!this.#closed) {
      this.#set({ status: "connecting" });
      const end = await this.#once(refused);
      if (this.#closed) return;
      const { error } = end;
      if (end.lastedMs >= STABLE_MS) refused = false;
      if (error instanceof RefusedError && isFinal(error)) {
        // A token may have come to its end: another one is asked for, once.
        if (!(error instanceof UnauthenticatedError) || refused) return this.close(error);
        refused = true;
        continue;
      }
      failures = end.lastedMs >= STABLE_MS || end.drained ? 0 : failures + 1;
      const asked = error instanceof RefusedError ? (error.retryDelayMs ?? 0) : 0;
      const delay = end.drained ? 0 : Math.max(asked, backoff(failures - 1));
      this.#set({ status: "waiting", retryAt: Date.now() + delay, error });
      await this.#rest(delay);
    }
  }

  /** One connection, from its beginning to its end. */
  async #once(refused: boolean): Promise<{ error: ParlanceError | undefined; lastedMs: number; drained: boolean }> {
    let welcomedAt: number | undefined;
    let drained = false;
    let dead: TransportError | undefined;
    const timers: ReturnType<typeof setTimeout>[] = [];
    const ended = (error: ParlanceError | undefined) => ({
      error,
      lastedMs: welcomedAt === undefined ? 0 : Math.max(1, Date.now() - welcomedAt),
      drained,
    });
    try {
      const token = await this.#options.token({ refused });
      const hello = create(HelloSchema, { deviceId: this.#options.deviceId ?? "", cursors: this.#positions.cursors() });
      const connection = await withinTime(this.#options.transport.open(token, hello));
      if (this.#closed) return connection.close(), ended(undefined);
      const openedAt = Date.now();
      this.#connection = connection;
      const kill = (why: string) => {
        dead = new TransportError(why);
        connection.close();
      };
      const look = () => {
        const late = welcomedAt === undefined && Date.now() - openedAt > OPEN_TIMEOUT_MS;
        if (late || this.#isDead()) kill("the server does not answer");
      };
      timers.push(setInterval(look, LOOK_EVERY_MS));
      for await (const frame of connection.frames) {
        this.#doubtedUntil = undefined;
        if (frame.frame.case === "welcome") welcomedAt = Date.now();
        if (frame.frame.case === "draining") {
          const { reconnectAfter } = frame.frame.value;
          const leave = () => {
            drained = true;
            connection.close();
          };
          timers.push(setTimeout(leave, reconnectAfter ? milliseconds(reconnectAfter) : 0));
        }
        this.#take(frame, connection);
        if (this.#closed) break;
      }
      return ended(dead);
    } catch (error) {
      return ended(error instanceof Error ? asOwn(error) : undefined);
    } finally {
      timers.forEach((timer) => clearTimeout(timer));
      this.#connection?.close();
      this.#connection = undefined;
      this.#doubtedUntil = undefined;
      this.#calls.disconnected();
    }
  }

  #take({ frame }: ServerFrame, connection: Connection): void {
    switch (frame.case) {
      case "welcome":
        this.#positions.welcomed(frame.value);
        this.#calls.user = frame.value.userId;
        this.#set({ status: "online", userId: frame.value.userId, nodeId: frame.value.nodeId });
        this.emit("welcome", frame.value);
        this.#calls.connected((frame) => connection.send(frame), frame.value.limits?.maxInFlight ?? 0);
        break;
      case "reply": {
        const { requestId, result } = frame.value;
        // Not about a call: the connection itself was refused, and ends.
        if (result.case === "error" && (requestId === "" || requestId === "hello")) throw fromFrame(result.value);
        this.#calls.answered(frame.value);
        break;
      }
      case "event":
        if (this.#positions.event(frame.value)) this.emit("event", frame.value);
        break;
      case "gap": {
        const gap = this.#positions.gap(frame.value);
        if (gap) this.emit("gap", gap);
        break;
      }
      case "signal":
        this.emit("signal", frame.value);
        break;
    }
  }

  #isDead(): boolean {
    const since = this.#calls.waitingSince();
    if (since !== undefined && Date.now() - since > ANSWER_TIMEOUT_MS) return true;
    if (this.#positions.isBehind(EVENT_TIMEOUT_MS)) return true;
    return this.#doubtedUntil !== undefined && Date.now() > this.#doubtedUntil;
  }

  async #rest(delay: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, delay);
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.emit("state", state);
  }
}

/** The connection; one that comes too late is closed. */
async function withinTime(opening: Promise<Connection>): Promise<Connection> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const giveUp = () => {
      opening.then((connection) => connection.close(), () => {});
      reject(new TransportError("the server does not answer"));
    };
    timer = setTimeout(giveUp, OPEN_TIMEOUT_MS);
  });
  return Promise.race([opening, late]).finally(() => clearTimeout(timer));
}

/** What comes from elsewhere, such as a token provider that fails, is no reason to give up. */
function asOwn(error: Error): ParlanceError {
  return error instanceof RefusedError || error instanceof TransportError ? error : new TransportError(error.message, { cause: error });
}

/** Whether the same connection would be refused again. */
function isFinal({ code, reason }: RefusedError): boolean {
  const passing = [Code.Unavailable, Code.ResourceExhausted, Code.DeadlineExceeded, Code.Internal];
  return reason !== "hello_timeout" && !passing.includes(code);
}
