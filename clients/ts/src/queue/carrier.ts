import { ClosedError } from "../errors.js";
import type { Session } from "../session/session.js";
import type { SteadyStore } from "../storage/steady.js";
import type { Change } from "../storage/store.js";
import type { Command } from "./command.js";
import { type Answer, operationOf } from "./request.js";
import { withoutReply } from "./restored.js";

/** What commands need of a session. */
export type Wire = Pick<Session, "state" | "userId" | "call" | "online" | "head" | "epoch" | "serverEpoch" | "on">;

/** A command with what was noted when it was first sent, by this tab or another one. */
export function asNoted(command: Command, { afterSeq, epoch }: Command): Command {
  if (command.afterSeq !== undefined || afterSeq === undefined) return command;
  return { ...command, afterSeq, ...(epoch !== undefined && { epoch }) };
}

/** Stores and sends single commands, with what was known of a room noted before. */
export class Carrier {
  readonly #wire: Wire;
  readonly #store: SteadyStore;
  readonly #isShared: boolean;

  /** Of a storage that `isShared`, other tabs read and write the same commands. */
  constructor(wire: Wire, store: SteadyStore, isShared: boolean) {
    [this.#wire, this.#store, this.#isShared] = [wire, store, isShared];
  }

  /**
   * Stores a command together with other changes. Before a shared storage answers, another tab may have carried it out or
   * discarded it: `latest` is what is known of it by then.
   */
  async store(command: Command, changes: readonly Change[], latest: () => Command | undefined): Promise<void> {
    const { id } = command;
    if (!this.#isShared) return this.#store.write([...changes, { collection: "commands", key: id, value: command }]);
    if (changes.length > 0) void this.#store.write(changes);
    await this.#store.update("commands", id, (current) => {
      const now = latest();
      if (!now || now.state === "confirmed" || current?.state === "discarded") return current;
      return current ? asNoted(now, current) : now;
    });
  }

  /** Whether a call ended with its session, and not for anything of its own. */
  isEndOfSession(error: unknown): boolean {
    const { state } = this.#wire;
    return error instanceof ClosedError || (state.status === "closed" && error === state.error);
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
