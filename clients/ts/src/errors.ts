import type { Error as ErrorMessage } from "./gen/chat_pb.js";

/** The server's rejection of a request. */
export interface Refusal {
  /** The gRPC status code, 1 to 16. */
  code: number;
  /** Stable, lower snake case: docs/errors.md lists them. */
  reason: string;
  /** For developers. */
  message: string;
  /** Metadata of the reason, such as `head_seq`. */
  metadata: Record<string, string>;
  /** How long to wait before the same request may succeed. */
  retryDelayMs?: number;
}

/** Base class of all errors thrown by this package, except those of `AbortSignal`. */
export class ParlanceError extends Error {
  override name = "ParlanceError";
}

/** The server is unreachable, or the connection broke. The client retries by itself. */
export class TransportError extends ParlanceError {
  override name = "TransportError";
}

/** The device reports that it has no network. The client retries by itself, at once when the network is back. */
export class OfflineError extends TransportError {
  override name = "OfflineError";
}

/** A permanent problem: an invalid URL, no WebSocket in this runtime, an https page with an http server. */
export class ConfigurationError extends ParlanceError {
  override name = "ConfigurationError";
}

/** The client is closed. `cause` is the error that closed it, if there was one. */
export class ClosedError extends ParlanceError {
  override name = "ClosedError";
}

/** The server rejected the request: the subclass gives the kind, `reason` the cause. */
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

/** The request is invalid. */
export class InvalidRequestError extends RefusedError {
  override name = "InvalidRequestError";
}
/** The token is missing, expired or not accepted. */
export class UnauthenticatedError extends RefusedError {
  override name = "UnauthenticatedError";
}
/** The user is not allowed to do this. */
export class PermissionDeniedError extends RefusedError {
  override name = "PermissionDeniedError";
}
/** No such room, user or message. */
export class NotFoundError extends RefusedError {
  override name = "NotFoundError";
}
/** A precondition is not met. */
export class PreconditionError extends RefusedError {
  override name = "PreconditionError";
}
/** A limit is reached. */
export class LimitError extends RefusedError {
  override name = "LimitError";
}
/** The server is temporarily unable to carry out the request. */
export class UnavailableError extends RefusedError {
  override name = "UnavailableError";
}

/** gRPC status codes that the client distinguishes. */
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

/** Creates the error of the matching class. */
export function refused(refusal: Refusal): RefusedError {
  return new (CLASSES[refusal.code] ?? RefusedError)(refusal);
}

/** The rejection of a frame larger than the server, or a proxy, accepts. `bytes` is undefined if unknown. */
export function frameTooLarge(message: string, bytes?: number): RefusedError {
  const metadata: Record<string, string> = bytes === undefined ? {} : { bytes: String(bytes) };
  return refused({ code: Code.InvalidArgument, reason: "frame_too_large", message, metadata });
}

/** The reason of {@link roomRestored}. */
export const ROOM_RESTORED = "room_restored";

/** The error of a change that refers to an event from before its room was restored from a backup. */
export function roomRestored(roomId: string): RefusedError {
  const message = "the room was restored from a backup";
  return refused({ code: Code.FailedPrecondition, reason: ROOM_RESTORED, message, metadata: { room_id: roomId } });
}

/** The message of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error of calls after the client was closed. */
export function closedBy(error: ParlanceError | undefined): ClosedError {
  return error ? new ClosedError(`the client was closed: ${error.message}`, { cause: error }) : new ClosedError("the client was closed");
}

/** Converts an error from a frame. */
export function fromFrame(error: ErrorMessage): RefusedError {
  const { code, reason, message, metadata, retryDelay } = error;
  return refused({ code, reason, message, metadata, ...(retryDelay && { retryDelayMs: milliseconds(retryDelay) }) });
}

/** Converts a duration to milliseconds. */
export function milliseconds(duration: { seconds: bigint; nanos: number }): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** A rejected promise that causes no unhandled rejection if nobody awaits it. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
