import { create } from "@bufbuild/protobuf";

import type { ParlanceError } from "../errors.js";
import { ClientFrameSchema } from "../gen/chat_pb.js";
import type { Connection } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import { Liveness } from "./liveness.js";
import { ask } from "./operations.js";

/** One connection of a session and its state. */
export class Link {
  readonly connection: Connection;
  readonly liveness: Liveness;
  /** When the welcome arrived, by the clock's `now`. */
  welcomedAt: number | undefined;
  /** The server announced that it is draining, and its delay has elapsed. */
  drained = false;
  /** The last error about the stream, or about a frame that the server could not read. */
  error: ParlanceError | undefined;
  /** Cancels the timer for leaving a draining server. */
  leaving: (() => void) | undefined;
  #probe: { id: string; sentAt: number } | undefined;
  #probes = 0;
  readonly #clock: Clock;

  constructor(connection: Connection, clock: Clock) {
    this.connection = connection;
    this.#clock = clock;
    this.liveness = new Liveness(clock.now(), clock.date());
  }

  /** Sends a small call: any later frame shows that the connection works. */
  probe(): void {
    this.#probe = { id: `probe-${this.#probes++}`, sentAt: this.#clock.now() };
    try {
      this.connection.send(create(ClientFrameSchema, { requestId: this.#probe.id, operation: ask("getPresence", { userIds: [] }) }));
    } catch {
      // A connection that accepts nothing is detected by its silence.
    }
  }

  /** When the probe with this id was sent; undefined if it is not a probe. */
  probedAt(requestId: string): number | undefined {
    return this.#probe?.id === requestId ? this.#probe.sentAt : undefined;
  }

  /** Closes the connection. Never throws. */
  close(): void {
    this.leaving?.();
    try {
      this.connection.close();
    } catch {
      // It is abandoned in any case.
    }
  }
}
