import type { Client } from "@parlance/client";

import { Pace } from "./pace";

/** However much changes. */
const EVERY_MS = 1_000;

/**
 * Reads something again and again: one reading at a time, so that no answer replaces a later one, and after each reconnect. Without a
 * connection nothing is asked: what is asked waits, and would all be sent with the next one.
 */
export class Refresh {
  readonly #client: Client;
  readonly #read: (signal: AbortSignal) => Promise<void>;
  readonly #ended = new AbortController();
  readonly #pace = new Pace(EVERY_MS, () => void this.now().catch(() => {}));
  readonly #off: () => void;
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(client: Client, read: (signal: AbortSignal) => Promise<void>) {
    [this.#client, this.#read] = [client, read];
    this.#off = client.on("state", () => this.soon());
  }

  /** Reads it soon, if there is a connection. */
  soon(): void {
    if (this.#client.state.status === "online") this.#pace.soon();
  }

  /** Reads it now, or after the reading that is on its way, which may be too early to see the latest change. */
  now(): Promise<void> {
    if (!this.#reading) return this.#start();
    return (this.#next ??= this.#reading.catch(() => {}).then(() => {
      this.#next = undefined;
      return this.#start();
    }));
  }

  stop(): void {
    this.#ended.abort();
    this.#pace.stop();
    this.#off();
  }

  #start(): Promise<void> {
    const { signal } = this.#ended;
    const done = () => (this.#reading = undefined);
    const work = signal.aborted ? Promise.resolve() : this.#read(signal);
    this.#reading = work.then(done, (error: unknown) => {
      done();
      if (!signal.aborted) throw error;
    });
    return this.#reading;
  }
}
