import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";

import { type Error as ErrorMessage, ErrorSchema } from "./gen/chat_pb.js";

/** What the server said about a request that it did not carry out. */
export interface Refusal {
  /** The gRPC status code, 1 to 16. */
  code: number;
  /** Stable, lower snake case: docs/errors.md lists them. */
  reason: string;
  /** For a developer to read. */
  message: string;
  /** Facts that belong to the reason, such as `head_seq`. */
  metadata: Record<string, string>;
  /** How long to wait before the same request may succeed. */
  retryDelayMs?: number;
}

/** Anything that this package throws, but for what `AbortSignal` does. */
export class ParlanceError extends Error {
  override name = "ParlanceError";
}

/** The server cannot be reached, or the connection broke. It is tried again by itself. */
export class TransportError extends ParlanceError {
  override name = "TransportError";
}

/** The device says that it has no network. It is tried again by itself, at once when a network is back. */
export class OfflineError extends TransportError {
  override name = "OfflineError";
}

/** Nothing that waiting mends: a URL that is none, no WebSocket in this runtime, a page over https and a server over http. */
export class ConfigurationError extends ParlanceError {
  override name = "ConfigurationError";
}

/** The client is closed. `cause` is the error that closed it, if there was one. */
export class ClosedError extends ParlanceError {
  override name = "ClosedError";
}

/** The server refused. The subclasses say in which way, `reason` says why. */
export class RefusedError extends ParlanceError {
  override name = "RefusedError";
  declare readonly code: number;
  declare readonly reason: string;
  declare readonly metadata: Record<string, string>;
  declare readonly retryDelayMs: number | undefined;

  constructor({ code, reason, message, metadata, retryDelayMs }: Refusal) {
    super(message);
    Object.assign(this, { code, reason, metadata, retryDelayMs });
  }
}

/** The request is not as it must be. */
export class InvalidRequestError extends RefusedError {
  override name = "InvalidRequestError";
}
/** The token is missing, expired or not accepted. */
export class UnauthenticatedError extends RefusedError {
  override name = "UnauthenticatedError";
}
/** Not one's to do. */
export class PermissionDeniedError extends RefusedError {
  override name = "PermissionDeniedError";
}
/** No such room, user or message. */
export class NotFoundError extends RefusedError {
  override name = "NotFoundError";
}
/** Something else has to happen before. */
export class PreconditionError extends RefusedError {
  override name = "PreconditionError";
}
/** A limit is reached. */
export class LimitError extends RefusedError {
  override name = "LimitError";
}
/** The server cannot now. */
export class UnavailableError extends RefusedError {
  override name = "UnavailableError";
}

/** Status codes of gRPC that decisions hang on. */
export const Code = {
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  OutOfRange: 11,
  Unavailable: 14,
  Unauthenticated: 16,
};

const CLASSES: Record<number, typeof RefusedError> = {
  3: InvalidRequestError,
  4: UnavailableError,
  5: NotFoundError,
  6: InvalidRequestError,
  7: PermissionDeniedError,
  8: LimitError,
  9: PreconditionError,
  11: InvalidRequestError,
  14: UnavailableError,
  16: UnauthenticatedError,
};

/** The error of a class that fits. */
export function refused(refusal: Refusal): RefusedError {
  return new (CLASSES[refusal.code] ?? RefusedError)(refusal);
}

/** The refusal of a frame that is larger than the server, or something before it, takes. `bytes` is undefined where unknown. */
export function frameTooLarge(message: string, bytes?: number): RefusedError {
  const metadata: Record<string, string> = bytes === undefined ? {} : { bytes: String(bytes) };
  return refused({ code: Code.InvalidArgument, reason: "frame_too_large", message, metadata });
}

/** What calls are rejected with once the client is closed. */
export function closedBy(error: ParlanceError | undefined): ClosedError {
  return error ? new ClosedError(`the client was closed: ${error.message}`, { cause: error }) : new ClosedError("the client was closed");
}

/** An error as frames carry it. */
export function fromFrame(error: ErrorMessage): RefusedError {
  const { code, reason, message, metadata, retryDelay } = error;
  const refusal: Refusal = { code, reason, message, metadata };
  if (retryDelay) refusal.retryDelayMs = milliseconds(retryDelay);
  return refused(refusal);
}

/** As a frame would carry it. */
export function toFrame(error: RefusedError): ErrorMessage {
  const { code, reason, message, metadata, retryDelayMs } = error;
  const frame = create(ErrorSchema, { code, reason, message, metadata });
  if (retryDelayMs !== undefined) {
    const seconds = Math.floor(retryDelayMs / 1000);
    frame.retryDelay = create(DurationSchema, { seconds: BigInt(seconds), nanos: (retryDelayMs - seconds * 1000) * 1e6 });
  }
  return frame;
}

/** The same in milliseconds. */
export function milliseconds(duration: { seconds: bigint; nanos: number }): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Rejected, and no unhandled rejection where nobody waits for it. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
