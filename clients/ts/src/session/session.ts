import { create } from "@bufbuild/protobuf";

import { onAbort } from "../abort.js";
import { Emitter } from "../emitter.js";
import { ClosedError, closedBy, fromFrame, milliseconds, OfflineError, ParlanceError, RefusedError, TransportError, UnauthenticatedError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, type Cursor, type Draining, type Reply, type ServerFrame, type Welcome } from "../gen/chat_pb.js";
import { encodeJson, utf8Length } from "../transport/json.js";
import type { Connection, Transport } from "../transport/transport.js";
import { Attempt, TOKEN_TIMEOUT_MS, type TokenProvider } from "./attempt.js";
import { type CallOptions, Calls } from "./calls.js";
import { type Clock, systemClock } from "./clock.js";
import { helloWithin } from "./hello.js";
import { browserEvents, type HostEvents } from "./host.js";
import { Link } from "./link.js";
import { type Finding, LOOK_EVERY_MS } from "./liveness.js";
import { ask, type OperationName, type RequestOf, type ResponseOf } from "./operations.js";
import { type Position, Positions } from "./positions.js";
import { type Ended, Reconnect } from "./reconnect.js";
import type { ConnectionState, Phase, SessionEvents } from "./state.js";

export type { TokenProvider } from "./attempt.js";
export type { ConnectionState } from "./state.js";

/** How long an event promised by an answer may take before the stream counts as dead. */
const EVENT_TIMEOUT_MS = 10_000;
/** An attempt younger than this is not abandoned when the network is back. */
const FRESH_ATTEMPT_MS = 2_000;
/** Maximum frame size before the server announces it: that of the contract. */
const MAX_FRAME_BYTES = 128 * 1024;

export interface SessionOptions {
  transport: Transport;
  token: TokenProvider;
  /** The session's user, if known. */
  userId?: string | undefined;
  /** Identifies this device among those of its user. */
  deviceId?: string | undefined;
  /** Where rooms resume. */
  cursors?: Iterable<Cursor> | undefined;
  /** Time and timers. Default: those of the runtime. */
  clock?: Clock | undefined;
  /** Events of the device. Default: those of a browser. */
  host?: HostEvents | undefined;
}

/** Stays connected, resumes at its position, and retries unanswered calls. */
export class Session extends Emitter<SessionEvents> {
  readonly #options: SessionOptions;
  readonly #clock: Clock;
  readonly #host: HostEvents;
  readonly #positions = new Positions();
  readonly #calls: Calls;
  readonly #reconnect = new Reconnect();
  #phase: Phase = { name: "idle" };
  #state: ConnectionState = { status: "idle" };
  #unwatch: () => void = () => {};
  #stopLooking: () => void = () => {};
  /** Maximum size of a hello: reduced when one is refused. */
  #helloBytes = MAX_FRAME_BYTES;
  #maxFrameBytes = MAX_FRAME_BYTES;
  /** The network came back during an attempt that may fail because of the earlier outage. */
  #retryAtOnce = false;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#host = options.host ?? browserEvents;
    this.#calls = new Calls(this.#positions, this.#clock);
    this.#calls.onTokenRefused = (error) => this.#phase.name === "linked" && this.#ended(this.#phase.link, error);
    this.#calls.onRefused = (refusal) => this.emit("refused", refusal);
    this.resumeFrom(options.cursors ?? [], options.userId);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The session's user; empty while unknown. */
  get userId(): string {
    return this.#calls.user;
  }

  /** Time and timers of this session. */
  get clock(): Clock {
    return this.#clock;
  }

  /** Connects, and stays connected. */
  start(): void {
    if (this.#phase.name !== "idle") return;
    this.#unwatch = this.#host.watch({
      online: () => this.#networkChanged(),
      offline: () => this.#wentOffline(),
      shown: () => this.wake(),
      hidden: () => this.emit("hidden", undefined),
    });
    this.#connect();
  }

  /** Ends it permanently: unanswered calls are rejected. Never throws. */
  close(error?: ParlanceError): void {
    const phase = this.#phase;
    if (phase.name === "closed") return;
    this.#phase = { name: "closed" };
    const cause = closedBy(error);
    this.#leave(phase, cause);
    this.#unwatch();
    this.#calls.fail(error ?? cause);
    this.#set({ status: "closed", error });
  }

  /** Makes rooms resume from a user's cursors, if nothing of them was delivered yet. */
  resumeFrom(cursors: Iterable<Cursor>, userId = ""): void {
    this.#calls.user ||= userId;
    this.#positions.seed(cursors);
  }

  /**
   * Executes an operation, over any number of connections. Mutations are carried out once, however often they are sent.
   * Transient operations, such as `sendTyping`, are sent now or rejected with a {@link TransportError}.
   */
  async call<Name extends OperationName>(name: Name, request: RequestOf<Name>, options: CallOptions = {}): Promise<ResponseOf<Name>> {
    if (this.#state.status === "closed") throw closedBy(this.#state.error);
    const { value } = await this.#calls.add(ask(name, request), options);
    return value as ResponseOf<Name>;
  }

  /** Resolves once there is a connection, rejects once there will be none. */
  online(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (state: ConnectionState) => {
        if (state.status === "online") settle(resolve);
        else if (state.status === "closed") settle(() => reject(state.error ?? closedBy(undefined)));
      };
      const offs = [this.on("state", look)];
      const settle = (done: () => void) => {
        for (const off of offs) off();
        done();
      };
      offs.push(onAbort(signal, (reason) => settle(() => reject(reason))));
      look(this.#state);
    });
  }

  /** The position in a room, and its known state. */
  position(roomId: string): Readonly<Position> {
    return this.#positions.of(roomId);
  }

  /** The machine or the page was asleep: connects immediately, and doubts an existing connection. */
  wake(): void {
    const phase = this.#phase;
    if (phase.name === "waiting") this.#wait(Math.max(0, phase.notBefore - this.#clock.now()), phase.notBefore, phase.error);
    else if (phase.name === "connecting") {
      this.#retryAtOnce = true;
      if (this.#clock.now() - phase.attempt.startedAt > FRESH_ATTEMPT_MS) phase.attempt.abort(new TransportError("the network came back"));
    } else if (phase.name === "linked") this.#act(phase.link, phase.link.liveness.doubt(this.#clock.now()));
  }

  // === Transitions ===

  #connect(): void {
    const attempt = new Attempt(this.#clock);
    this.#phase = { name: "connecting", attempt };
    this.#set({ status: "connecting" });
    const { token, transport, deviceId = "" } = this.#options;
    const hello = () => helloWithin(this.#helloBytes, deviceId, this.#positions.cursors(), this.#size);
    attempt.open(token, this.#reconnect.needsFreshToken, transport, hello).then(
      (connection) => this.#opened(attempt, connection),
      (error: ParlanceError) => this.#isCurrent(attempt) && this.#next({ error, lastedMs: undefined, drained: false }),
    );
  }

  #opened(attempt: Attempt, connection: Connection): void {
    const link = new Link(connection, this.#clock);
    if (!this.#isCurrent(attempt)) return link.close();
    this.#retryAtOnce = false;
    this.#phase = { name: "linked", link };
    this.#lookAgain(link);
    void this.#read(link);
  }

  /** A connection ended: on its own, or abandoned because of `error`. */
  #ended(link: Link, error: ParlanceError | undefined): void {
    const phase = this.#phase;
    if (phase.name !== "linked" || phase.link !== link) return;
    const { welcomedAt, drained } = link;
    const isTooLarge = error instanceof RefusedError && error.reason === "frame_too_large";
    if (isTooLarge && welcomedAt === undefined) this.#helloBytes /= 2;
    else if (isTooLarge) this.#calls.tooLarge(error);
    this.#leave(phase, error);
    this.#next({ error: error ?? link.error, lastedMs: welcomedAt === undefined ? undefined : this.#clock.now() - welcomedAt, drained });
  }

  /** Releases the resources of a phase. */
  #leave(phase: Phase, reason: ParlanceError | undefined): void {
    if (phase.name === "connecting") phase.attempt.abort(reason ?? closedBy(undefined));
    else if (phase.name === "waiting") phase.cancel();
    else if (phase.name === "linked") {
      this.#stopLooking();
      phase.link.close();
      this.#calls.disconnected();
    }
  }

  #next(ended: Ended): void {
    const isOffline = this.#host.isOffline();
    const error = isOffline && ended.error instanceof TransportError ? asOffline(ended.error) : ended.error;
    const next = this.#reconnect.after({ ...ended, error });
    if ("closeWith" in next) return this.close(next.closeWith);
    const delay = this.#retryAtOnce ? next.askedMs : next.delayMs;
    this.#retryAtOnce = false;
    if (delay === 0) return this.#connect();
    this.#wait(delay, this.#clock.now() + next.askedMs, error);
  }

  #wait(delay: number, notBefore: number, error: ParlanceError | undefined): void {
    if (this.#phase.name === "waiting") this.#phase.cancel();
    if (delay === 0) return this.#connect();
    const cancel = this.#clock.after(delay, () => this.#connect());
    this.#phase = { name: "waiting", notBefore, error, cancel };
    this.#set({ status: "waiting", retryAt: this.#clock.date() + delay, error });
  }

  #networkChanged(): void {
    this.#reconnect.networkChanged();
    this.wake();
  }

  /** Reports it immediately. Attempts continue: a server on this machine needs no network. */
  #wentOffline(): void {
    const error = asOffline(undefined);
    const phase = this.#phase;
    if (phase.name === "linked") this.#ended(phase.link, error);
    else if (phase.name === "connecting") phase.attempt.abort(error);
    else if (phase.name === "waiting") this.#set({ ...(this.#state as ConnectionState & { status: "waiting" }), error });
  }

  // === One connection ===

  async #read(link: Link): Promise<void> {
    try {
      for await (const frame of link.connection.frames) {
        if (this.#phase.name !== "linked" || this.#phase.link !== link) return;
        link.liveness.heard(this.#clock.now());
        this.#take(link, frame);
      }
      this.#ended(link, link.error);
    } catch (error) {
      // The server's error about the stream is more specific than how it broke.
      const own = error instanceof ParlanceError ? error : new TransportError(String(error), { cause: error });
      this.#ended(link, own instanceof TransportError ? (link.error ?? own) : own);
    }
  }

  #take(link: Link, { frame }: ServerFrame): void {
    const now = this.#clock.now();
    switch (frame.case) {
      case "welcome":
        this.#welcomed(link, frame.value);
        break;
      case "reply":
        this.#replied(link, frame.value);
        break;
      case "event":
        if (this.#positions.event(frame.value, now)) this.emit("event", frame.value);
        break;
      case "gap": {
        const gap = this.#positions.gap(frame.value, now);
        if (gap) this.emit("gap", gap);
        break;
      }
      case "signal":
        this.emit("signal", frame.value);
        break;
      case "draining":
        this.#draining(link, frame.value);
        break;
      case "tokenExpiring":
        void this.#refresh(link.connection);
        break;
    }
  }

  #welcomed(link: Link, welcome: Welcome): void {
    const now = this.#clock.now();
    if (this.#calls.user !== "" && this.#calls.user !== welcome.userId) return this.#replaced(link, welcome.userId);
    link.welcomedAt = now;
    link.liveness.welcomed();
    this.#positions.welcomed(welcome, now);
    this.#calls.user = welcome.userId;
    this.#maxFrameBytes = welcome.limits?.maxFrameBytes || MAX_FRAME_BYTES;
    this.#helloBytes = Math.min(this.#helloBytes, this.#maxFrameBytes);
    this.#set({ status: "online", userId: welcome.userId, nodeId: welcome.nodeId });
    this.emit("welcome", welcome);
    // A listener may have closed it.
    if (this.#phase.name !== "linked" || this.#phase.link !== link) return;
    const { connection } = link;
    this.#calls.connected({
      send: (frame) => connection.send(frame),
      size: this.#size,
      maxBytes: this.#maxFrameBytes,
      maxInFlight: welcome.limits?.maxInFlight ?? 0,
    });
  }

  /** The token belongs to another user: neither the received data nor the hello is theirs. */
  #replaced(link: Link, userId: string): void {
    this.#positions.clear();
    this.#calls.user = userId;
    this.emit("replaced", userId);
    this.#calls.fail(new ClosedError("the token is another user's"));
    link.drained = true;
    this.#ended(link, undefined);
  }

  #replied(link: Link, reply: Reply): void {
    const { requestId, result } = reply;
    const probedAt = link.probedAt(requestId);
    if (probedAt !== undefined) return this.#calls.overtake(probedAt);
    if (result.case !== "error" || (requestId !== "" && requestId !== "hello")) return this.#calls.answered(reply);
    // An error not about a call, but about the stream or an unreadable frame.
    const error = fromFrame(result.value);
    link.error = error;
    const isFinal = link.welcomedAt === undefined || error instanceof UnauthenticatedError || error.reason === "frame_too_large";
    if (isFinal) this.#ended(link, error);
  }

  /** Sends a new token. Without one the connection ends with the old one, and another connection is made. */
  async #refresh(connection: Connection): Promise<void> {
    try {
      const token = await this.#options.token({ refused: true, signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS) });
      connection.send(create(ClientFrameSchema, { requestId: "refresh", operation: { case: "refresh", value: { token } } }));
    } catch {
      // As said.
    }
  }

  #draining(link: Link, { reconnectAfter }: Draining): void {
    link.leaving?.();
    link.leaving = this.#clock.after(reconnectAfter ? milliseconds(reconnectAfter) : 0, () => {
      link.drained = true;
      this.#ended(link, undefined);
    });
  }

  /** Checks the connection once a second while it lasts. */
  #lookAgain(link: Link): void {
    this.#stopLooking = this.#clock.after(LOOK_EVERY_MS, () => {
      const now = this.#clock.now();
      this.#act(link, link.liveness.look(now, this.#clock.date(), this.#calls.waitingSince()));
      if (this.#phase.name !== "linked" || this.#phase.link !== link) return;
      if (this.#positions.isBehind(now, EVENT_TIMEOUT_MS)) return this.#ended(link, new TransportError("the stream is behind"));
      this.#lookAgain(link);
    });
  }

  #act(link: Link, finding: Finding): void {
    if (finding === "dead") this.#ended(link, link.error ?? new TransportError("the server does not answer"));
    else if (finding === "probe") link.probe();
    else if (finding === "woke") {
      this.#calls.awake();
      this.#positions.awake(this.#clock.now());
      this.wake();
    }
  }

  readonly #size = (frame: ClientFrame): number => this.#options.transport.size?.(frame) ?? utf8Length(encodeJson(frame));

  #isCurrent(attempt: Attempt): boolean {
    return this.#phase.name === "connecting" && this.#phase.attempt === attempt;
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.emit("state", state);
  }
}

function asOffline(cause: ParlanceError | undefined): OfflineError {
  return new OfflineError("the device has no network", { cause });
}
