import { create } from "@bufbuild/protobuf";

import { onAbort } from "../abort.js";
import { Code, frameTooLarge, fromFrame, type RefusedError, refused, roomRestored, TransportError, UnauthenticatedError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, type Reply } from "../gen/chat_pb.js";
import { backoff, randomId } from "../random.js";
import type { Clock } from "./clock.js";
import { Examination } from "./examination.js";
import { ANSWER_TIMEOUT_MS } from "./liveness.js";
import { type Asked, isEphemeral, namesEvent, restamp, roomOf, stamp } from "./operations.js";
import type { Positions } from "./positions.js";
import type { Refused } from "./state.js";

/** Maximum number of unanswered calls, if the server announces none. */
const MAX_IN_FLIGHT = 64;
/** How often a proxy in front of the server may refuse a call before that counts. */
const MAX_PROXY_REFUSALS = 6;
/** Connections on which a call may stay unanswered while others are answered. */
const MAX_UNANSWERED = 3;

interface Call {
  operation: Asked;
  resolve: (result: Reply["result"]) => void;
  reject: (error: unknown) => void;
  refusals: number;
  /** Connections on which others were answered but this one was not. */
  unanswered: number;
  /** It was refused because of its token, and retried with another one. */
  hadFreshToken: boolean;
  /** Ends with its connection. */
  ephemeral: boolean;
  /** The user that an app's backend acts as; empty if none. */
  asUser: string;
  isStamped: boolean;
  /** Must be finished before the call itself continues. */
  examination?: Examination | undefined;
  /** The epoch of its room that its seqs belong to; 0 while unknown. */
  epoch: bigint;
  /** When it was last sent, and its size. */
  sentAt: number;
  bytes: number;
  /** Whether a call that was sent later was answered. */
  overtaken: boolean;
  /** Cancels the timer for sending it again. */
  again?: () => void;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Only useful now: rejects with a {@link TransportError} without a connection, or when that ends. */
  ephemeral?: boolean;
  /** It may have been sent by an earlier process: its id and the known state of its room are fixed. */
  isStamped?: boolean;
  /** The user that an app's backend acts as. */
  asUser?: string;
}

/** The sending side of a connection. */
export interface Line {
  send(frame: ClientFrame): void;
  /** Encoded size of a frame, bytes. */
  size(frame: ClientFrame): number;
  /** Largest frame, in bytes. */
  maxBytes: number;
  /** Maximum number of unanswered calls; 0 if the server announces none. */
  maxInFlight: number;
}

/** Unanswered calls. They are sent again on every connection until they are answered. */
export class Calls {
  readonly #calls = new Map<string, Call>();
  /** To be sent on this connection, in order. */
  #ready: string[] = [];
  /** Sent on this connection and unanswered, in order. */
  readonly #inFlight = new Map<string, Call>();
  #isPumping = false;
  #line: Line | undefined;
  readonly #positions: Positions;
  readonly #clock: Clock;
  readonly #prefix = randomId();
  #next = 0;
  /** The session's user. */
  user = "";
  /** Called when the server refuses the token of a call: the call is retried on the next connection. */
  onTokenRefused: (error: UnauthenticatedError) => void = () => {};

  /** Called for every refusal. */
  onRefused: (refusal: Refused) => void = () => {};

  constructor(positions: Positions, clock: Clock) {
    this.#positions = positions;
    this.#clock = clock;
  }

  /** Sends it now, or as soon as there is a connection; an `ephemeral` one now or not at all. */
  add(operation: Asked, { signal, ephemeral = isEphemeral(operation.case), isStamped = false, asUser = "" }: CallOptions = {}): Promise<Reply["result"]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (ephemeral && !this.#line) return reject(connectionLost());
      const key = String(this.#next++);
      const settled = onAbort(signal, (reason) => {
        this.#forget(key);
        reject(reason);
      });
      this.#calls.set(key, {
        operation,
        resolve: (result) => (settled(), resolve(result)),
        reject: (error) => (settled(), reject(error)),
        refusals: 0,
        unanswered: 0,
        hadFreshToken: false,
        ephemeral,
        asUser,
        isStamped,
        epoch: this.#positions.of(roomOf(operation)).epoch,
        sentAt: 0,
        bytes: 0,
        overtaken: false,
      });
      this.#dispatch(key);
    });
  }

  /** A connection is open: all calls are sent on it, in order. */
  connected(line: Line): void {
    this.#line = { ...line, maxInFlight: line.maxInFlight || MAX_IN_FLIGHT };
    this.#ready = [...this.#calls].filter(([, call]) => call.again === undefined).map(([key]) => key);
    this.#pump();
  }

  /** The connection was lost, and with it the answers to calls sent on it. */
  disconnected(): void {
    const now = this.#clock.now();
    this.#line = undefined;
    this.#ready = [];
    for (const [key, call] of this.#inFlight) {
      const isStuck = call.overtaken && now - call.sentAt > ANSWER_TIMEOUT_MS;
      call.overtaken = false;
      // Others were answered, so the call is stuck, not the connection.
      if (isStuck && ++call.unanswered >= MAX_UNANSWERED) this.#reject(key, noAnswer());
    }
    this.#inFlight.clear();
    for (const [key, { ephemeral }] of this.#calls) if (ephemeral) this.#reject(key, connectionLost());
  }

  /** When the oldest unanswered call was sent, by the clock's `now`. */
  waitingSince(): number | undefined {
    for (const { sentAt } of this.#inFlight.values()) return sentAt;
    return undefined;
  }

  /** Nothing could be answered until now: timeouts start now. */
  awake(): void {
    const now = this.#clock.now();
    for (const call of this.#inFlight.values()) call.sentAt = now;
  }

  /** Processes an answer. */
  answered({ requestId, result }: Reply): void {
    const call = this.#calls.get(requestId);
    if (!call) return;
    if (this.#inFlight.delete(requestId)) this.overtake(call.sentAt);
    this.#take(requestId, call, result);
    this.#pump();
  }

  /** A call sent at this time was answered: earlier ones are late. */
  overtake(sentAt: number): void {
    for (const call of this.#inFlight.values()) if (call.sentAt < sentAt) call.overtaken = true;
  }

  /** A frame was refused because of its size and the connection closed: it was the largest unanswered one. */
  tooLarge(error: RefusedError): void {
    let largest: [string, Call] | undefined;
    for (const entry of this.#inFlight) if (!(largest && largest[1].bytes >= entry[1].bytes)) largest = entry;
    if (largest) this.#reject(largest[0], frameTooLarge(error.message, largest[1].bytes));
  }

  /** Nothing will be answered any more. */
  fail(error: unknown): void {
    for (const key of [...this.#calls.keys()]) this.#reject(key, error);
  }

  #take(requestId: string, call: Call, result: Reply["result"]): void {
    if (result.case === "error") return this.#refused(requestId, call, fromFrame(result.value));
    let answer: Reply["result"] = result;
    if (call.examination && result.case === "listEvents") {
      const found = call.examination.read(result.value, call.operation, call.asUser || this.user);
      if (found === "absent") delete call.examination;
      if (found === "absent" || found === undefined) return this.#dispatch(requestId);
      answer = found;
    }
    this.#calls.delete(requestId);
    if (answer.case === "sendMessage") this.#positions.learn(answer.value.roomId, answer.value.seq, this.#clock.now());
    call.resolve(answer);
  }

  #refused(requestId: string, call: Call, error: RefusedError): void {
    if (error instanceof UnauthenticatedError && !call.hadFreshToken && !call.ephemeral) {
      call.hadFreshToken = true;
      return this.onTokenRefused(error);
    }
    const delay = call.ephemeral ? undefined : retryDelay(error, call.refusals);
    if (delay !== undefined) {
      call.refusals++;
      this.onRefused({ operation: call.operation.case, error, retryInMs: delay });
      call.again = this.#clock.after(delay, () => {
        delete call.again;
        this.#dispatch(requestId);
      });
      return;
    }
    if (restamp(call.operation, error)) return this.#dispatch(requestId);
    call.examination = Examination.askedFor(error, call.operation);
    if (call.examination) return this.#dispatch(requestId);
    this.#reject(requestId, error);
  }

  #dispatch(key: string): void {
    if (!this.#line) return;
    this.#ready.push(key);
    this.#pump();
  }

  #pump(): void {
    // A call that fails while being sent makes room for the next one, which this loop sends.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#line && this.#inFlight.size < this.#line.maxInFlight) {
      const key = this.#ready.shift();
      if (key === undefined) break;
      const call = this.#calls.get(key);
      if (call) this.#send(key, call, this.#line);
    }
    this.#isPumping = false;
  }

  #send(key: string, call: Call, line: Line): void {
    const roomId = roomOf(call.operation);
    const { head, serverEpoch } = this.#positions.of(roomId);
    call.epoch ||= serverEpoch;
    // In a restored room, it could change another message. The server only notices where the room is shorter than before.
    if (serverEpoch && serverEpoch !== call.epoch && namesEvent(call.operation)) return this.#reject(key, roomRestored(roomId));
    // The state known when it is first sent, the same on every repeat.
    if (!call.isStamped) stamp(call.operation, `${this.#prefix}-${key}`, head);
    call.isStamped = true;
    const operation = call.examination?.page(call.operation) ?? call.operation;
    const frame = create(ClientFrameSchema, { requestId: key, operation, asUser: call.asUser });
    try {
      call.bytes = line.size(frame);
      if (call.bytes > line.maxBytes) {
        throw frameTooLarge(`${call.bytes} bytes are more than the server's maximum of ${line.maxBytes}`, call.bytes);
      }
      call.overtaken = false;
      call.sentAt = this.#clock.now();
      this.#inFlight.set(key, call);
      line.send(frame);
    } catch (error) {
      // A call that cannot be encoded fails alone.
      this.#reject(key, error);
    }
  }

  #reject(key: string, error: unknown): void {
    const call = this.#calls.get(key);
    if (!call) return;
    call.reject(error);
    this.#forget(key);
    this.onRefused({ operation: call.operation.case, error });
  }

  #forget(key: string): void {
    const call = this.#calls.get(key);
    if (!call) return;
    call.again?.();
    this.#inFlight.delete(key);
    this.#calls.delete(key);
    this.#pump();
  }
}

/** The delay before a refused call is retried; undefined if the refusal is permanent. */
function retryDelay(error: RefusedError, refusals: number): number | undefined {
  // May last for hours, and holds only what its sender may want to change or drop meanwhile.
  if (error.reason === "slow_mode") return undefined;
  if (error.code === Code.Unavailable) return error.retryDelayMs ?? backoff(refusals);
  // The outcome is unknown: the retry with the same id finds out.
  if (error.code === Code.DeadlineExceeded) return backoff(refusals);
  // A limit without a delay does not go away by waiting.
  if (error.code === Code.ResourceExhausted && error.retryDelayMs !== undefined) {
    return error.retryDelayMs * (1 + Math.random() / 8);
  }
  // Every refusal of the server has a reason: this one is from a proxy, and may be temporary.
  if (error.reason === "" && refusals < MAX_PROXY_REFUSALS) return backoff(refusals);
  return undefined;
}

function connectionLost(): TransportError {
  return new TransportError("there is no connection");
}

function noAnswer(): RefusedError {
  const message = `no answer on ${MAX_UNANSWERED} connections`;
  return refused({ code: Code.DeadlineExceeded, reason: "no_answer", message, metadata: {} });
}
