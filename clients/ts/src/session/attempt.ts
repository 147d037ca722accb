import { onAbort } from "../abort.js";
import { messageOf, ParlanceError, TransportError } from "../errors.js";
import type { Hello } from "../gen/chat_pb.js";
import type { Connection, Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import { OPEN_TIMEOUT_MS } from "./liveness.js";

/** Timeout of the token provider. */
export const TOKEN_TIMEOUT_MS = 20_000;

/** Returns a token. `refused`: the server refused the last one, or it is about to expire; `signal` is aborted when the token is no longer needed. */
export type TokenProvider = (request: { refused: boolean; signal: AbortSignal }) => string | Promise<string>;

/** One connection attempt: a token, then the transport. Either may hang or ignore its signal. */
export class Attempt {
  readonly startedAt: number;
  readonly #clock: Clock;
  readonly #abort = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.startedAt = clock.now();
  }

  /** Aborts it: the pending promise rejects with `reason`. */
  abort(reason: ParlanceError): void {
    this.#abort.abort(reason);
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Opens a connection. All failures reject with a {@link ParlanceError}. */
  async open(provider: TokenProvider, refused: boolean, transport: Transport, hello: () => Hello): Promise<Connection> {
    const { signal } = this.#abort;
    try {
      const token = await this.#within(TOKEN_TIMEOUT_MS, "the token provider does not answer", async () => provider({ refused, signal }));
      if (typeof token !== "string") throw new TransportError("the token provider gave no token");
      const opening = async () => transport.open(token, hello(), signal);
      return await this.#within(OPEN_TIMEOUT_MS, "the server does not answer", opening, (late) => late.close());
    } catch (error) {
      if (error instanceof ParlanceError) throw error;
      // Errors of others, such as a token provider, are no reason to give up.
      throw new TransportError(messageOf(error), { cause: error });
    }
  }

  /** The result of `work`, if it arrives in time; `discard` gets one that arrives too late. */
  async #within<T>(ms: number, late: string, work: () => Promise<T>, discard: (result: T) => void = () => {}): Promise<T> {
    const { signal } = this.#abort;
    const result = work();
    const cancel = this.#clock.after(ms, () => this.abort(new TransportError(late)));
    let off = () => {};
    const limit = new Promise<never>((_, reject) => (off = onAbort(signal, reject)));
    try {
      return await Promise.race([result, limit]);
    } catch (error) {
      result.then(discard).catch(() => {});
      throw error;
    } finally {
      cancel();
      off();
    }
  }
}
