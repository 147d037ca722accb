import { ConnectError, Code as Status } from "@connectrpc/connect";

import { frameTooLarge, milliseconds, type ParlanceError, type Refusal, refused, TransportError } from "../errors.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/error_details_pb.js";

/**
 * An error of grpc-web: a {@link RefusedError} if there was an answer, a {@link TransportError} if there was none. An
 * answer of something other than Parlance, such as a proxy, has an empty reason.
 */
export function fromStatus(error: unknown): ParlanceError {
  const status = ConnectError.from(error);
  const info = status.findDetails(ErrorInfoSchema)[0];
  if (info) {
    const refusal: Refusal = { code: status.code, reason: info.reason, message: status.rawMessage, metadata: info.metadata };
    const retry = status.findDetails(RetryInfoSchema)[0]?.retryDelay;
    if (retry) refusal.retryDelayMs = milliseconds(retry);
    return refused(refusal);
  }
  // Connect keeps the error of `fetch` as cause, and reports an abort as canceled.
  if (status.cause !== undefined || status.code === Status.Canceled) return new TransportError(status.rawMessage, { cause: error });
  // gRPC's own decoder refuses frames that are too large before Parlance sees them, and a proxy with HTTP 413.
  if (status.code === Status.OutOfRange || status.rawMessage === "HTTP 413") return frameTooLarge(status.rawMessage);
  return refused({ code: status.code, reason: "", message: status.rawMessage, metadata: {} });
}
