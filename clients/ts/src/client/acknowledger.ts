import type { Session } from "../session/session.js";

/** Events within this time are acknowledged together. */
const AFTER_MS = 1_000;

/** Acknowledges received or handled events: rate-limited, only the last of each room, and one call per room at a time. */
export class Acknowledger {
  readonly #session: Session;
  readonly #handled = new Map<string, bigint>();
  readonly #sending = new Set<string>();
  #cancel: (() => void) | undefined;

  constructor(session: Session) {
    this.#session = session;
    session.on("state", ({ status }) => status === "closed" && this.#cancel?.());
  }

  handled(roomId: string, seq: bigint): void {
    this.#handled.set(roomId, seq);
    this.#later();
  }

  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const [roomId, seq] of this.#handled) if (!this.#sending.has(roomId)) void this.#send(roomId, seq);
  }

  async #send(roomId: string, seq: bigint): Promise<void> {
    this.#handled.delete(roomId);
    this.#sending.add(roomId);
    // Rejected, or closed: unacknowledged events are delivered again.
    await this.#session.call("acknowledgeDelivery", { roomId, seq }).catch(() => {});
    this.#sending.delete(roomId);
    if (this.#handled.size > 0) this.#later();
  }

  #later(): void {
    if (this.#session.state.status !== "closed") this.#cancel ??= this.#session.clock.after(AFTER_MS, () => this.flush());
  }
}
