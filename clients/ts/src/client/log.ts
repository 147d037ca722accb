import type { Session } from "../session/session.js";
import type { ConnectionState } from "../session/state.js";
import type { CommandQueue } from "../queue/queue.js";
import type { StorageState } from "../storage/steady.js";
import type { Logger } from "./api.js";

/**
 * Logs what happens to connections, calls, changes and the storage: ids, reasons and delays, never a token or what a message says.
 * Loaded on demand, since few clients log. Only types are imported, so that a bundle needs no common part.
 */
export function log(logger: Logger, session: Session, queue: CommandQueue): void {
  const connection = (state: ConnectionState) => {
    switch (state.status) {
      case "connecting":
        return logger.debug("connecting", {});
      case "online":
        return logger.info("connected", { userId: state.userId, nodeId: state.nodeId });
      case "waiting":
        return logger.warn("not connected, retrying", { retryInMs: Math.round(state.retryAt - session.clock.date()), ...fieldsOf(state.error) });
      case "closed":
        return state.error ? logger.error("closed", fieldsOf(state.error)) : logger.info("closed", {});
    }
  };
  session.on("state", connection);
  session.on("refused", ({ operation, error, retryInMs }) => {
    if (retryInMs !== undefined) logger.debug("call refused, retrying", { operation, retryInMs: Math.round(retryInMs), ...fieldsOf(error) });
    else if (session.state.status !== "closed") logger.info("call refused", { operation, ...fieldsOf(error) });
  });
  session.on("gap", ({ roomId, fromSeq, toSeq, reason }) => logger.debug("events are not delivered", { roomId, fromSeq: Number(fromSeq), toSeq: Number(toSeq), reason }));
  session.on("replaced", (userId) => logger.warn("the token is another user's: everything is erased", { userId }));
  queue.on("failed", ({ id, roomId, kind, payload, error }) => {
    logger.warn("change failed", { id, roomId, operation: kind === "change" ? payload.operation : kind, reason: error?.reason, message: error?.message });
  });
  let hasFailed = false;
  const storage = (state: StorageState) => {
    if (state.status === "memory") logger.warn("the storage does not work: changes do not survive the page", fieldsOf(state.error));
    else if (hasFailed) logger.info("the storage works again", {});
    hasFailed = state.status === "memory";
  };
  queue.on("storage", storage);
  // What happened while this was loaded.
  storage(queue.store.state);
  connection(session.state);
}

function fieldsOf(error: unknown): object {
  if (!(error instanceof Error)) return {};
  const { name, message, reason } = error as Error & { reason?: string };
  return { error: name, message, ...(reason && { reason }) };
}
