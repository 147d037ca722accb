import { create } from "@bufbuild/protobuf";

import { Code, fromFrame, type ParlanceError, type RefusedError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, type Reply } from "../gen/chat_pb.js";
import { backoff, randomId } from "../random.js";
import { Examination } from "./examination.js";
import { type Asked, roomOf, stamp } from "./operations.js";
import type { Positions } from "./positions.js";

/** Unanswered calls where the server does not say how many it takes. */
const MAX_IN_FLIGHT = 64;

interface Call {
  operation: Asked;
  resolve: (result: Reply["result"]) => void;
  reject: (error: unknown) => void;
  refusals: number;
  isStamped?: boolean;
  /** Goes on before the call itself does. */
  examination?: Examination | undefined;
  /** When it went out on this connection. */
  sentAt?: number;
  again?: ReturnType<typeof setTimeout>;
}

/** Calls that are not answered yet. They go out again on every connection until they are. */
export class Calls {
  readonly #calls = new Map<string, Call>();
  /** Those that are to go out on this connection, in order. */
  #ready: string[] = [];
  /** Those that have, and how many may: the server would take no more. */
  #inFlight = 0;
  #limit = 0;
  readonly #positions: Positions;
  readonly #prefix = randomId();
  #next = 0;
  #send: ((frame: ClientFrame) => void) | undefined;
  /** Whose session it is. */
  user = "";

  constructor(positions: Positions) {
    this.#positions = positions;
  }

  /** Sends it now, or as soon as there is a connection. */
  add(operation: Asked, signal?: AbortSignal): Promise<Reply["result"]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const key = String(this.#next++);
      const abort = () => {
        this.#forget(key);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const settled = () => signal?.removeEventListener("abort", abort);
      this.#calls.set(key, {
        operation,
        resolve: (result) => (settled(), resolve(result)),
        reject: (error) => (settled(), reject(error)),
        refusals: 0,
      });
      this.#dispatch(key);
    });
  }

  /** A connection is there: everything goes out on it, in order. */
  connected(send: (frame: ClientFrame) => void, limit: number): void {
    this.#send = send;
    this.#limit = limit || MAX_IN_FLIGHT;
    this.#ready = [...this.#calls].filter(([, call]) => call.again === undefined).map(([key]) => key);
    this.#pump();
  }

  disconnected(): void {
    this.#send = undefined;
    this.#ready = [];
    this.#inFlight = 0;
    for (const call of this.#calls.values()) delete call.sentAt;
  }

  /** When the longest-waiting of those on their way went out, as `Date.now()` has it. */
  waitingSince(): number | undefined {
    let since: number | undefined;
    for (const { sentAt } of this.#calls.values()) if (sentAt !== undefined && !(since! <= sentAt)) since = sentAt;
    return since;
  }

  /** Takes an answer. */
  answered({ requestId, result }: Reply): void {
    const call = this.#calls.get(requestId);
    if (!call) return;
    this.#landed(call);
    this.#take(requestId, call, result);
    this.#pump();
  }

  #take(requestId: string, call: Call, result: Reply["result"]): void {
    if (result.case === "error") {
      const error = fromFrame(result.value);
      const delay = retryDelay(error, call.refusals);
      if (delay !== undefined) {
        call.refusals++;
        call.again = setTimeout(() => {
          delete call.again;
          this.#dispatch(requestId);
        }, delay);
        return;
      }
      call.examination = Examination.askedFor(error, call.operation);
      if (call.examination) return this.#dispatch(requestId);
      this.#calls.delete(requestId);
      call.reject(error);
      return;
    }
    let answer: Reply["result"] = result;
    if (call.examination && result.case === "listEvents") {
      const found = call.examination.read(result.value, call.operation, this.user);
      if (found === "absent") delete call.examination;
      if (found === "absent" || found === undefined) return this.#dispatch(requestId);
      answer = found;
    }
    this.#calls.delete(requestId);
    if (answer.case === "sendMessage") this.#positions.learn(answer.value.roomId, answer.value.seq);
    call.resolve(answer);
  }

  /** Nothing will be answered any more. */
  fail(error: ParlanceError): void {
    for (const key of [...this.#calls.keys()]) {
      this.#calls.get(key)?.reject(error);
      this.#forget(key);
    }
  }

  #dispatch(key: string): void {
    if (!this.#send) return;
    this.#ready.push(key);
    this.#pump();
  }

  #pump(): void {
    while (this.#send && this.#inFlight < this.#limit) {
      const key = this.#ready.shift();
      if (key === undefined) return;
      const call = this.#calls.get(key);
      if (!call) continue;
      // What is known when it first goes out: on every repeat it says the same.
      if (!call.isStamped) stamp(call.operation, `${this.#prefix}-${key}`, this.#positions.head(roomOf(call.operation)));
      call.isStamped = true;
      const operation = call.examination?.page(call.operation) ?? call.operation;
      call.sentAt = Date.now();
      this.#inFlight++;
      this.#send(create(ClientFrameSchema, { requestId: key, operation }));
    }
  }

  #landed(call: Call): void {
    if (call.sentAt !== undefined) this.#inFlight--;
    delete call.sentAt;
  }

  #forget(key: string): void {
    const call = this.#calls.get(key);
    if (!call) return;
    clearTimeout(call.again);
    this.#landed(call);
    this.#calls.delete(key);
    this.#pump();
  }
}

/** How long to wait before a refused call goes out again; undefined where the refusal is final. */
function retryDelay(error: RefusedError, refusals: number): number | undefined {
  if (error.code === Code.Unavailable) return error.retryDelayMs ?? backoff(refusals);
  // The outcome is open: the same id tells.
  if (error.code === Code.DeadlineExceeded) return backoff(refusals);
  // A limit that names no delay is one that waiting does not lift.
  if (error.code === Code.ResourceExhausted && error.retryDelayMs !== undefined) {
    return error.retryDelayMs * (1 + Math.random() / 8);
  }
  return undefined;
}
