import { create } from "@bufbuild/protobuf";

import type { ParlanceError } from "../errors.js";
import { ClientFrameSchema } from "../gen/chat_pb.js";
import type { Connection } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import { Liveness } from "./liveness.js";
import { ask } from "./operations.js";

/** One connection of a session and what is known of it. */
export class Link {
  readonly connection: Connection;
  readonly liveness: Liveness;
  /** When the welcome came, by the clock's `now`. */
  welcomedAt: number | undefined;
  /** The server said that it ends, and the time that it asked for has passed. */
  drained = false;
  /** The last error that concerns the stream, or a frame that the server could not read. */
  error: ParlanceError | undefined;
  /** Cancels the timer that leaves a server that drains. */
  leaving: (() => void) | undefined;
  #probe: { id: string; sentAt: number } | undefined;
  #probes = 0;
  readonly #clock: Clock;

  constructor(connection: Connection, clock: Clock) {
    this.connection = connection;
    this.#clock = clock;
    this.liveness = new Liveness(clock.now(), clock.date());
  }

  /** Sends a small call: any frame that follows shows that the connection works. */
  probe(): void {
    this.#probe = { id: `probe-${this.#probes++}`, sentAt: this.#clock.now() };
    try {
      this.connection.send(create(ClientFrameSchema, { requestId: this.#probe.id, operation: ask("getPresence", { userIds: [] }) }));
    } catch {
      // A connection that takes nothing is noticed by its silence.
    }
  }

  /** When the probe with this id was sent; undefined if it is none. */
  probedAt(requestId: string): number | undefined {
    return this.#probe?.id === requestId ? this.#probe.sentAt : undefined;
  }

  /** Ends the connection. Never throws. */
  close(): void {
    this.leaving?.();
    try {
      this.connection.close();
    } catch {
      // It is given up in any case.
    }
  }
}
