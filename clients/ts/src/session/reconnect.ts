import { ConfigurationError, type ParlanceError, RefusedError, UnauthenticatedError } from "../errors.js";
import { backoff } from "../random.js";

/** Connections shorter than this count as failures. */
const STABLE_MS = 10_000;
/** Delays between refused tokens. After the last one the session ends. */
const REFUSED_AT_START_MS = [0, 2_000];
/** Likewise once a token was accepted: a new key or a wrong clock may be temporary. */
const REFUSED_LATER_MS = [0, 5_000, 30_000];

/** How a connection, or an attempt, ended. */
export interface Ended {
  error: ParlanceError | undefined;
  /** Milliseconds since the welcome; undefined if there was none. */
  lastedMs: number | undefined;
  /** The server asked for it. */
  drained: boolean;
}

/** What follows: another attempt, or the end. */
export type Next =
  | {
      /** Milliseconds until the next attempt. */
      delayMs: number;
      /** How much of that the server asked for: not shortened by a wake. */
      askedMs: number;
    }
  | { closeWith: ParlanceError };

/** Decides when to reconnect. Only a refused identity or a misconfiguration ends a session. */
export class Reconnect {
  /** Consecutive failed connections. */
  #failures = 0;
  /** Consecutively refused tokens, since the last welcome and since the last stable connection. */
  #refusedTokens = 0;
  #refusedSinceStable = 0;
  #wasWelcomed = false;

  /** Whether the last token was refused: another one is needed. */
  get needsFreshToken(): boolean {
    return this.#refusedSinceStable > 0;
  }

  /** The network has changed: earlier failures no longer matter. */
  networkChanged(): void {
    this.#failures = 0;
  }

  after({ error, lastedMs, drained }: Ended): Next {
    if (error instanceof ConfigurationError) return { closeWith: error };
    const isStable = lastedMs !== undefined && lastedMs >= STABLE_MS;
    if (isStable) this.#failures = this.#refusedSinceStable = 0;
    if (lastedMs !== undefined) {
      this.#wasWelcomed = true;
      this.#refusedTokens = 0;
    }
    const askedMs = error instanceof RefusedError ? (error.retryDelayMs ?? 0) : 0;
    if (error instanceof UnauthenticatedError) return this.#refused(error, askedMs);
    const isFirst = this.#failures++ === 0;
    if (drained && (isFirst || isStable)) return { delayMs: 0, askedMs: 0 };
    return { delayMs: Math.max(askedMs, backoff(this.#failures - 1)), askedMs };
  }

  #refused(error: UnauthenticatedError, askedMs: number): Next {
    const delays = this.#wasWelcomed ? REFUSED_LATER_MS : REFUSED_AT_START_MS;
    const wait = delays[this.#refusedTokens++];
    if (wait === undefined) return { closeWith: error };
    // Also delayed for a token that is accepted and refused again within seconds.
    const isFirst = this.#refusedSinceStable++ === 0;
    if (isFirst) return { delayMs: askedMs, askedMs };
    const jittered = wait * (1 + Math.random() / 4);
    return { delayMs: Math.max(askedMs, jittered, backoff(this.#failures++)), askedMs };
  }
}
