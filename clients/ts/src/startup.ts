import { closedBy, TransportError } from "./errors.js";
import type { Session } from "./session/session.js";

/** When to give up a start. Giving it up closes the client. */
export interface StartOptions {
  /** Milliseconds to wait at most. Default: no limit, for it is tried until it succeeds. */
  timeoutMs?: number;
  /** Gives it up when aborted. */
  signal?: AbortSignal;
}

/** The one start of a client, which settles exactly once. */
export class Startup {
  readonly #session: Session;
  readonly #done: Promise<void>;
  #resolve = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(session: Session) {
    this.#session = session;
    this.#done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Where nobody waits for it, the state still tells.
    this.#done.catch(() => {});
    session.on("state", (state) => state.status === "closed" && this.#reject(state.error ?? closedBy(undefined)));
  }

  /** The rooms are there. */
  succeeded(): void {
    this.#resolve();
  }

  /** The rooms were refused. */
  failed(error: unknown): void {
    this.#reject(error);
  }

  /** Starts the session unless it is started, and waits for the rooms. */
  start({ timeoutMs, signal }: StartOptions): Promise<void> {
    const { state } = this.#session;
    if (state.status === "closed") return rejected(closedBy(state.error));
    if (signal?.aborted) return rejected(this.#giveUp(signal.reason));
    const give = () => this.#giveUp(signal?.reason);
    signal?.addEventListener("abort", give, { once: true });
    const cancel = timeoutMs === undefined ? () => {} : this.#session.clock.after(timeoutMs, () => this.#giveUp(this.#tooLate(timeoutMs)));
    const settled = () => {
      cancel();
      signal?.removeEventListener("abort", give);
    };
    this.#done.then(settled, settled);
    this.#session.start();
    return this.#done;
  }

  #giveUp(reason: unknown): unknown {
    this.#reject(reason);
    this.#session.close();
    return reason;
  }

  #tooLate(timeoutMs: number): TransportError {
    const { state } = this.#session;
    const cause = state.status === "waiting" ? state.error : undefined;
    return new TransportError(`not connected within ${timeoutMs} ms${cause ? `: ${cause.message}` : ""}`, { cause });
  }
}

/** Rejected, and no unhandled rejection where nobody waits for it. */
function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
