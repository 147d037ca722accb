import { onAbort } from "../abort.js";
import { closedBy, rejected, TransportError } from "../errors.js";
import type { Session } from "../session/session.js";

/** Limits of a start. Exceeding them closes the client. */
export interface StartOptions {
  /** Timeout in milliseconds. Default: none; it is retried until it succeeds. */
  timeoutMs?: number;
  /** Aborts the start. */
  signal?: AbortSignal;
}

/** A session starts after this long, even if the storage is not ready. */
const PREPARE_MS = 1_000;

/** The one start of a client, which settles exactly once. */
export class Startup {
  readonly #session: Session;
  readonly #prepare: () => Promise<unknown> | undefined;
  #isBegun = false;
  /** Awaited before the session starts, however long it takes. */
  needed: Promise<unknown> | undefined;
  readonly #done: Promise<void>;
  #resolve = () => {};
  #reject: (error: unknown) => void = () => {};

  /** The result of `prepare` is awaited before the session starts, but only briefly. */
  constructor(session: Session, prepare: () => Promise<unknown> | undefined) {
    [this.#session, this.#prepare] = [session, prepare];
    this.#done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Even if nobody awaits it, the state reports the error.
    this.#done.catch(() => {});
    session.on("state", (state) => state.status === "closed" && this.#reject(state.error ?? closedBy(undefined)));
  }

  /** The rooms are loaded. */
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
    const off = onAbort(signal, (reason) => this.#giveUp(reason));
    const cancel = timeoutMs === undefined ? () => {} : this.#session.clock.after(timeoutMs, () => this.#giveUp(this.#tooLate(timeoutMs)));
    const settled = () => {
      cancel();
      off();
    };
    this.#done.then(settled, settled);
    this.#begin();
    return this.#done;
  }

  /** Whether the start was requested. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  #begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    const start = () => this.#session.start();
    const preparing = this.needed ?? this.#prepare();
    if (!preparing) return start();
    const cancel = this.needed ? () => {} : this.#session.clock.after(PREPARE_MS, start);
    preparing.then(start, start).finally(cancel);
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
