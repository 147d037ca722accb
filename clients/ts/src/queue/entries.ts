import { type Command, isPending, laneOf } from "./command.js";
import type { Answer } from "./request.js";

/** A command in the queue of this tab. */
export interface Entry {
  command: Command;
  /** Stored, if the storage answers in time: only then it may be sent. */
  isStored: boolean;
  /** Being carried out by this tab. */
  running?: AbortController;
  /** It was carried out, and waits for its event. */
  done?: Promise<Answer>;
}

/** The commands of a queue, in the order in which they were issued. */
export class Entries {
  readonly #entries = new Map<string, Entry>();
  #writtenAt = 0;

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Appends it, or replaces the one with its id. */
  set(entry: Entry): void {
    this.#entries.set(entry.command.id, entry);
  }

  delete(id: string): void {
    this.#entries.delete(id);
  }

  /** The current ones, unaffected by later changes. */
  all(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  ids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** The time at which a new command is issued: unique, since it is the sort key. */
  nextTime(): number {
    return (this.#writtenAt = Math.max(Date.now(), this.#writtenAt + 1));
  }

  /** Restores their order, after those of other tabs or pages were added. */
  sort(): void {
    const sorted = [...this.#entries].sort(([a, { command: x }], [b, { command: y }]) => x.writtenAt - y.writtenAt || (a < b ? -1 : 1));
    this.#entries.clear();
    for (const [id, entry] of sorted) this.#entries.set(id, entry);
    this.#writtenAt = Math.max(this.#writtenAt, sorted.at(-1)?.[1].command.writtenAt ?? 0);
  }

  /** The first pending command of each lane. */
  firstOfLanes(directRoom: (userId: string) => string | undefined): readonly Entry[] {
    const first = new Map<string, Entry>();
    for (const entry of this.#entries.values()) {
      const lane = laneOf(entry.command, directRoom);
      if (isPending(entry.command) && !first.has(lane)) first.set(lane, entry);
    }
    return [...first.values()];
  }
}
