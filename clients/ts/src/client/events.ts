import { ConfigurationError, ParlanceError } from "../errors.js";
import type { Session } from "../session/session.js";
import { Acknowledger } from "./acknowledger.js";
import type { EventsOptions, RoomCursor, RoomEvents } from "./items.js";
import type { Startup } from "./startup.js";

/** Reads a session from its start. The reader is loaded on demand, since few pages need it; the start waits
 * for it. */
export function roomEvents(session: Session, startup: Startup, options: EventsOptions): RoomEvents {
  if (session.state.status !== "idle" || startup.isBegun) throw new ParlanceError("events have to be read from the start");
  const from = [...(options.cursors ?? [])];
  let current: { readonly cursors: readonly RoomCursor[] } = { cursors: from };
  let isRead = false;
  const acknowledger = options.acknowledge === false ? undefined : new Acknowledger(session);
  const loaded = import("./reader.js").then(({ Reader }) => (current = new Reader(session, { ...options, cursors: from }, acknowledger)));
  loaded.catch((cause) => session.close(new ConfigurationError("events cannot be loaded", { cause })));
  startup.needed = loaded;
  return {
    get cursors() {
      return current.cursors;
    },
    async *[Symbol.asyncIterator]() {
      if (isRead) throw new ParlanceError("events can only be read once");
      isRead = true;
      void startup.start({});
      yield* (await loaded).read();
    },
  };
}
