/** How often a connection is checked. */
export const LOOK_EVERY_MS = 1_000;
/** A connection that does not begin within this time will not. */
export const OPEN_TIMEOUT_MS = 15_000;
/** An answer that is not there after this long will not come: the server allows itself 20 s. */
export const ANSWER_TIMEOUT_MS = 25_000;

/** After this much silence the server is asked something. */
const SILENCE_MS = 25_000;
/** Time for the answer to that. */
const PROBE_TIMEOUT_MS = 10_000;
/** Time for the answer after a wake: someone is waiting. */
const WAKE_TIMEOUT_MS = 5_000;
/** Two checks that are further apart than this have slept in between. */
const SLEEP_MS = 5_000;
/**
 * Wakes in a row after which a connection that says nothing is dead. Timers of a page in the background fire once a
 * minute: there, each check is a wake, and a probe that was not answered by the next one is no sign of sleep.
 */
const MAX_SILENT_WAKES = 2;
/** A call that waits this long is followed by a probe: its answer shows whether the connection or the call is stuck. */
const SLOW_ANSWER_MS = 12_000;

/** What a check found: `probe` asks for a small call, `woke` says that the machine or the page slept. */
export type Finding = "alive" | "probe" | "woke" | "dead";

/** Decides whether one connection still works. Times are in milliseconds, given by the caller. */
export class Liveness {
  readonly #openedAt: number;
  #isWelcomed = false;
  #heardAt: number;
  /** The last check, by the monotonic clock and by the wall clock: not every platform counts sleep in both. */
  #lookedAt: { now: number; date: number };
  /** By when something has to be heard. */
  #deadline: number | undefined;
  #probedAt = -Infinity;
  /** Wakes since something was heard. */
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

  /** A frame has come. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#deadline = undefined;
    this.#silentWakes = 0;
  }

  /** Doubts the connection: something has to be heard within seconds. */
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
      // Nothing was read meanwhile: what the connection owes, it owes from now on.
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
