import { ClosedError } from "../errors.js";
import type { Session } from "../session/session.js";
import type { SteadyStore } from "../storage/steady.js";
import type { Change, Records } from "../storage/store.js";
import type { Command } from "./command.js";
import { type Answer, operationOf } from "./request.js";
import { withoutReply } from "./restored.js";

/** The part of a session that commands need. */
export type Wire = Pick<Session, "state" | "userId" | "call" | "online" | "position" | "on">;

/** Puts the record of a command, or deletes it. */
export const put = (key: string, value?: Records["commands"]): Change => ({ collection: "commands", key, value });

/** Whether neither of two records of a command was ever sent. A record with another time belongs to another page or
 * process. */
const areNew = (command: Command, noted: Command | undefined) => command.isNew && noted?.isNew && noted.writtenAt === command.writtenAt;

/** A command with the state recorded when it was first sent, by this tab or another one. */
export function asNoted(command: Command, noted: Command): Command {
  const { isNew, afterSeq, ...known } = command;
  if (isNew ? areNew(command, noted) : afterSeq !== undefined || noted.afterSeq === undefined) return command;
  return { ...known, afterSeq: noted.afterSeq, epoch: noted.epoch ?? known.epoch } as Command;
}

/** A command left by an earlier page or another tab: even a waiting one may have been sent while the storage failed. */
export function asLeft({ isNew: _, ...command }: Command): Command {
  return command as Command;
}

/** Stores and sends single commands, after recording the known state of their room. */
export class Carrier {
  readonly #wire: Wire;
  readonly #store: SteadyStore;
  readonly #isShared: boolean;

  /** If the storage `isShared`, other tabs read and write the same commands. */
  constructor(wire: Wire, store: SteadyStore, isShared: boolean) {
    [this.#wire, this.#store, this.#isShared] = [wire, store, isShared];
  }

  /**
   * Stores a command together with other changes. Before a shared storage answers, another tab may have carried it out or
   * discarded it: `latest` returns the known state by then.
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

  /** Whether a call ended with its session, and not because of itself. */
  isEndOfSession(error: unknown): boolean {
    const { state } = this.#wire;
    return error instanceof ClosedError || (state.status === "closed" && error === state.error);
  }

  /** Another user has issued it. */
  isForeign({ userId }: Command): boolean {
    const own = this.#wire.userId;
    return userId !== undefined && own !== "" && userId !== own;
  }

  /** Whether its room was restored from a backup since it was issued or last recorded. */
  isOutdated({ roomId = "", epoch }: Command): boolean {
    const now = this.#known(roomId).serverEpoch;
    return epoch !== undefined && now !== 0 && now !== epoch;
  }

  /**
   * The known state when a command is issued: the epoch of the displayed room, and the seq that is stored with it in case the
   * storage does not answer when it is sent. A seq given by the application may be from an earlier process.
   */
  issued({ roomId = "", afterSeq }: { roomId?: string; afterSeq?: number }): Partial<Command> {
    const { epoch, head } = this.#known(roomId);
    return { ...(epoch > 0 && { epoch }), ...(afterSeq === undefined && { isNew: true, ...(head > 0 && { afterSeq: head }) }) };
  }

  /**
   * Records in the storage that it is sent, with the known state of its room: fixed for all later attempts, including after a
   * restart. Only a command that was never sent may get a higher seq here, or one at all: otherwise the room may contain it up
   * to the current head. Returns the recorded command; undefined if it was discarded in another tab.
   */
  async claim(command: Command): Promise<Command | undefined> {
    const { id, roomId = "" } = command;
    const isOutdated = this.isOutdated(command);
    const { head, serverEpoch: epoch } = this.#known(roomId);
    // It was never sent in the current epoch: no existing event can be it.
    const own = isOutdated ? Math.min(command.afterSeq ?? head, head) : (command.afterSeq ?? 0);
    const known = { ...asLeft(isOutdated ? withoutReply(command) : command), state: "sending", ...(epoch > 0 && { epoch }) };
    const after = (afterSeq: number) => ({ ...known, ...(afterSeq > 0 && { afterSeq }) }) as Command;
    const { late, value } = await this.#store.update("commands", id, (current) => {
      if (current?.state === "discarded") return current;
      if (areNew(command, current)) return after(Math.max(own, head));
      const isNoted = current?.epoch === undefined || current.epoch === known.epoch;
      return after((isNoted && current?.afterSeq) || own);
      // A restart would find the state from another epoch, and treat the command as never sent in this one.
    }, isOutdated);
    if (!late && value?.state === "discarded") return undefined;
    // A storage that does not answer has the state from when it was issued.
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
