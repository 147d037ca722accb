import type { Session } from "../session/session.js";
import type { SteadyStore } from "../storage/steady.js";
import type { Command } from "./command.js";
import { type Answer, operationOf } from "./request.js";
import { withoutReply } from "./restored.js";

/** What commands need of a session. */
export type Wire = Pick<Session, "state" | "userId" | "call" | "online" | "head" | "epoch" | "serverEpoch" | "on">;

/** Sends one command, with what was known of its room noted before that. */
export class Carrier {
  readonly #wire: Wire;
  readonly #store: SteadyStore;

  constructor(wire: Wire, store: SteadyStore) {
    [this.#wire, this.#store] = [wire, store];
  }

  /** Another user has issued it. */
  isForeign({ userId }: Command): boolean {
    const own = this.#wire.userId;
    return userId !== undefined && own !== "" && userId !== own;
  }

  /** Its room was restored from a backup since it was issued, or noted last. */
  isOutdated({ roomId, epoch }: Command): boolean {
    const now = roomId === undefined ? 0 : Number(this.#wire.serverEpoch(roomId));
    return epoch !== undefined && now !== 0 && now !== epoch;
  }

  /** The epoch of what is shown of a room, for a new command. */
  epochOf(roomId: string | undefined): { epoch?: number } {
    const epoch = roomId === undefined ? 0 : Number(this.#wire.epoch(roomId));
    return epoch === 0 ? {} : { epoch };
  }

  /**
   * Notes in the storage that it goes out, and what is known of its room: whoever sends it again, now or after a restart,
   * says the same. Returns it as it is noted; undefined where it was discarded in another tab.
   */
  async claim(command: Command): Promise<Command | undefined> {
    const { id, roomId } = command;
    const isOutdated = this.isOutdated(command);
    const head = roomId === undefined ? 0 : Number(this.#wire.head(roomId) ?? 0n);
    const epoch = roomId === undefined ? 0 : Number(this.#wire.serverEpoch(roomId));
    // In the epoch of now it was never sent before this: whatever there is cannot be it.
    const afterSeq = isOutdated ? Math.min(command.afterSeq ?? head, head) : (command.afterSeq ?? head);
    const claimed = {
      ...(isOutdated ? withoutReply(command) : command),
      state: "sending",
      ...(afterSeq > 0 && { afterSeq }),
      ...(epoch > 0 && { epoch }),
    } as Command;
    const { late, value } = await this.#store.update("commands", id, (current) => {
      if (current?.state === "discarded") return current;
      const isNoted = current?.afterSeq !== undefined && (current.epoch === undefined || current.epoch === claimed.epoch);
      return isNoted ? ({ ...claimed, afterSeq: current.afterSeq } as Command) : claimed;
    });
    if (!late && value?.state === "discarded") return undefined;
    return late || !value ? claimed : (value as Command);
  }

  async send(command: Command, signal: AbortSignal): Promise<Answer> {
    const operation = operationOf(command);
    const value = await this.#wire.call(operation.case, operation.value, signal);
    return { case: operation.case, value } as Answer;
  }
}
