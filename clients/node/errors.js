/** The server's refusals, and when to retry. */

import { Code } from "@connectrpc/connect";

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 20_000;

/** A permanent refusal. `reason` is listed in docs/errors.md. */
export class Refused extends Error {
  /**
   * @param {string} reason
   * @param {string} message
   */
  constructor(reason, message) {
    super(`${reason}: ${message}`);
    this.reason = reason;
  }
}

/** The server does not accept the token, or no longer does. */
export class Unauthenticated extends Refused {}

/** The connection ended. Retry after `delayMs`. */
export class Lost extends Error {
  /**
   * @param {string} message
   * @param {number} delayMs
   */
  constructor(message, delayMs = 0) {
    super(message);
    this.delayMs = delayMs;
  }
}

/**
 * The delay before attempt number `attempt` (from 0) after a failure: doubling, with
 * jitter.
 * @param {number} attempt
 */
export function backoff(attempt) {
  return Math.min(FIRST_DELAY_MS * 2 ** attempt, LONGEST_DELAY_MS) * (0.5 + Math.random() / 2);
}

/**
 * The delay before retrying the same request; undefined if the refusal is permanent.
 * @param {import("./gen/chat_pb.js").Error} error
 * @param {number} refusals how often that was so before
 */
export function retryDelay(error, refusals) {
  // May last for hours: the writer is told instead of keeping later messages waiting.
  if (error.reason === "slow_mode") return undefined;
  const asked = error.retryDelay && milliseconds(error.retryDelay);
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) {
    return asked ?? backoff(refusals);
  }
  // Slightly later than asked, so that clients do not retry simultaneously. A limit
  // without a delay does not go away by waiting.
  if (error.code === Code.ResourceExhausted && asked !== undefined) {
    return asked * (1 + Math.random() / 8);
  }
  return undefined;
}

/** @param {import("@bufbuild/protobuf/wkt").Duration} duration */
export function milliseconds(duration) {
  return Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}
