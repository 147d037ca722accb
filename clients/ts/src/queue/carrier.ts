import { ClosedError } from "../errors.js";
import type { Session } from "../session/session.js";
import type { SteadyStore } from "../storage/steady.js";
import type { Change, Records } from "../storage/store.js";
import type { Command } from "./command.js";
import { type Answer, operationOf } from "./request.js";
import { withoutReply } from "./restored.js";

/** What commands need of a session. */
export type Wire = Pick<Session, "state" | "userId" | "call" | "online" | "position" | "on">;

/** Puts the record of a command, or deletes it. */
export const put = (key: string, value?: Records["commands"]): Change => ({ collection: "commands", key, value });

/** Whether neither was ever sent, of two records of a command. One of another time is of another page or process. */
const areNew = (command: Command, noted: Command | undefined) => command.isNew && noted?.isNew && noted.writtenAt === command.writtenAt;

/** A command with what was noted when it was first sent, by this tab or another one. */
export function asNoted(command: Command, noted: Command): Command {
  const { isNew, afterSeq, ...known } = command;
  if (isNew ? areNew(command, noted) : afterSeq !== undefined || noted.afterSeq === undefined) return command;
  return { ...known, afterSeq: noted.afterSeq, epoch: noted.epoch ?? known.epoch } as Command;
}

/** A command that an earlier page has left, or another tab: even one that waits may have gone out while the storage failed. */
export function asLeft({ isNew: _, ...command }: Command): Command {
  return command as Command;
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
    if (!this.#isShared) return this.#store.write([...changes, put(id, command)]);
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
  isOutdated({ roomId = "", epoch }: Command): boolean {
    const now = this.#known(roomId).serverEpoch;
    return epoch !== undefined && now !== 0 && now !== epoch;
  }

  /**
   * What is known as a command is issued: the epoch of what is shown of its room, and the seq that is stored with it, should
   * the storage not answer when it goes out. A seq that the application gives may be of an earlier process.
   */
  issued({ roomId = "", afterSeq }: { roomId?: string; afterSeq?: number }): Partial<Command> {
    const { epoch, head } = this.#known(roomId);
    return { ...(epoch > 0 && { epoch }), ...(afterSeq === undefined && { isNew: true, ...(head > 0 && { afterSeq: head }) }) };
  }

  /**
   * Notes in the storage that it goes out, and what is known of its room: whoever sends it again, now or after a restart,
   * says the same. Only what was never sent may get a higher seq here, or one at all: the room may hold it up to the head of
   * now otherwise. Returns it as it is noted; undefined where it was discarded in another tab.
   */
  async claim(command: Command): Promise<Command | undefined> {
    const { id, roomId = "" } = command;
    const isOutdated = this.isOutdated(command);
    const { head, serverEpoch: epoch } = this.#known(roomId);
    // In the epoch of now it was never sent before this: whatever there is cannot be it.
    const own = isOutdated ? Math.min(command.afterSeq ?? head, head) : (command.afterSeq ?? 0);
    const known = { ...asLeft(isOutdated ? withoutReply(command) : command), state: "sending", ...(epoch > 0 && { epoch }) };
    const after = (afterSeq: number) => ({ ...known, ...(afterSeq > 0 && { afterSeq }) }) as Command;
    const { late, value } = await this.#store.update("commands", id, (current) => {
      if (current?.state === "discarded") return current;
      if (areNew(command, current)) return after(Math.max(own, head));
      const isNoted = current?.epoch === undefined || current.epoch === known.epoch;
      return after((isNoted && current?.afterSeq) || own);
      // A restart would find what was known in another epoch, and take it for one that was never sent in this one.
    }, isOutdated);
    if (!late && value?.state === "discarded") return undefined;
    // What a storage keeps that does not answer is what was known when it was issued.
    return late || !value ? after(own) : (value as Command);
  }

  async send(command: Command, signal: AbortSignal): Promise<Answer> {
    const operation = operationOf(command);
    const value = await this.#wire.call(operation.case, operation.value, { signal, isStamped: true });
    return { case: operation.case, value } as Answer;
  }

  #known(roomId: string): { head: number; epoch: number; serverEpoch: number } {
    const { head, epoch, serverEpoch } = this.#wire.position(roomId);
    return { head: Number(head), epoch: Number(epoch), serverEpoch: Number(serverEpoch) };
  }
}
