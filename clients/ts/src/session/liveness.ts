/** How often a connection is checked. */
export const LOOK_EVERY_MS = 1_000;
/** Timeout of opening a connection. */
export const OPEN_TIMEOUT_MS = 15_000;
/** Timeout of an answer: the server allows itself 20 s. */
export const ANSWER_TIMEOUT_MS = 25_000;

/** Silence after which the server is probed. */
const SILENCE_MS = 25_000;
/** Timeout of the probe. */
const PROBE_TIMEOUT_MS = 10_000;
/** Timeout of the answer after a wake: the user is waiting. */
const WAKE_TIMEOUT_MS = 5_000;
/** Interval between two checks that indicates sleep. */
const SLEEP_MS = 5_000;
/**
 * Consecutive wakes without a frame after which a connection counts as dead. Timers of background pages fire once a
 * minute: each check is a wake there, and a probe unanswered by the next one does not indicate sleep.
 */
const MAX_SILENT_WAKES = 2;
/** A call unanswered for this long is followed by a probe: its answer shows whether the connection or the call is
 * stuck. */
const SLOW_ANSWER_MS = 12_000;

/** The result of a check: `probe` requests a small call, `woke` means that the machine or the page slept. */
export type Finding = "alive" | "probe" | "woke" | "dead";

/** Decides whether a connection still works. Times are in milliseconds, given by the caller. */
export class Liveness {
  readonly #openedAt: number;
  #isWelcomed = false;
  #heardAt: number;
  /** The last check, by the monotonic clock and by the wall clock: not every platform includes sleep in both. */
  #lookedAt: { now: number; date: number };
  /** By when a frame has to arrive. */
  #deadline: number | undefined;
  #probedAt = -Infinity;
  /** Wakes since the last frame. */
  #silentWakes = 0;

  constructor(now: number, date: number) {
    this.#openedAt = now;
    this.#heardAt = now;
    this.#lookedAt = { now, date };
  }

  /** The session is open. */
  welcomed(): void {
    this.#isWelcomed = true;
  }

  /** A frame has arrived. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#deadline = undefined;
    this.#silentWakes = 0;
  }

  /** Doubts the connection: a frame has to arrive within seconds. */
  doubt(now: number): Finding {
    if (!this.#isWelcomed) return "alive";
    const isAsked = this.#deadline !== undefined;
    this.#deadline = Math.min(this.#deadline ?? Infinity, now + WAKE_TIMEOUT_MS);
    if (isAsked) return "alive";
    this.#probedAt = now;
    return "probe";
  }

  /** Checks the connection. `waitingSince` is when the oldest unanswered call was sent. */
  look(now: number, date: number, waitingSince: number | undefined): Finding {
    const past = Math.max(now - this.#lookedAt.now, date - this.#lookedAt.date) - LOOK_EVERY_MS;
    this.#lookedAt = { now, date };
    if (past > SLEEP_MS) {
      // Nothing was read meanwhile: timeouts start now.
      this.#heardAt = now;
      this.#deadline = undefined;
      return this.#silentWakes++ < MAX_SILENT_WAKES ? "woke" : "dead";
    }
    if (!this.#isWelcomed) return now - this.#openedAt > OPEN_TIMEOUT_MS ? "dead" : "alive";
    if (this.#deadline !== undefined && now > this.#deadline) return "dead";
    if (waitingSince !== undefined && now - waitingSince > ANSWER_TIMEOUT_MS) return "dead";
    if (this.#deadline === undefined && now - this.#heardAt >= SILENCE_MS) {
      this.#deadline = now + PROBE_TIMEOUT_MS;
      this.#probedAt = now;
      return "probe";
    }
    if (waitingSince !== undefined && now - waitingSince > SLOW_ANSWER_MS && this.#probedAt < waitingSince) {
      this.#probedAt = now;
      return "probe";
    }
    return "alive";
  }
}
