import { type Client, v1 } from "@parlance/client";

import { type Note, noteOf, withChanges } from "./notes";

const PAGE = 200;
/** For a longer part without messages, only the end is read: reactions and edits are events too. */
const MOST_EVENTS = 2_000;

/** Events of a room other than messages, in its loaded part. */
export class History {
  readonly #client: Client;
  readonly #roomId: string;
  readonly #offs: readonly (() => void)[];
  /** Counts restores of the room: events requested before one are obsolete. */
  #epoch = 0;
  /** All events from here to there have been processed. */
  #covered: { from: number; to: number } | undefined;
  #isReading = false;
  /** In ascending order. */
  notes = $state.raw<readonly Note[]>([]);

  constructor(client: Client, roomId: string) {
    [this.#client, this.#roomId] = [client, roomId];
    this.#offs = [client.on("event", (event) => this.#event(event)), client.on("gap", (gap) => this.#gap(gap))];
  }

  stop(): void {
    for (const off of this.#offs) off();
  }

  #event(event: v1.Event): void {
    const seq = Number(event.seq);
    // After a gap it is read together with the missing events.
    if (event.roomId !== this.#roomId || this.#covered?.to !== seq - 1) return;
    this.#covered = { ...this.#covered, to: seq };
    const note = noteOf(event);
    if (note) this.#add([note]);
  }

  #gap({ roomId, reason }: v1.Gap): void {
    if (roomId !== this.#roomId || reason !== v1.GapReason.RESTORED) return;
    this.#epoch++;
    [this.#covered, this.notes] = [undefined, []];
  }

  /**
   * Reads missing events of a part of the room. `count` returns the number of loaded messages between two
   * seqs, inclusive: if all events are messages, nothing has to be read.
   */
  async cover(from: number, to: number, count: (from: number, to: number) => number): Promise<void> {
    // Further parts are requested on the next change of the room.
    if (this.#isReading || from > to) return;
    const [covered, epoch] = [this.#covered, this.#epoch];
    const isApart = !covered || from > covered.to + 1 || to < covered.from - 1;
    const missing = isApart ? [{ from, to }] : [{ from, to: covered.from - 1 }, { from: covered.to + 1, to }];
    this.#isReading = true;
    try {
      const found: Note[] = [];
      for (const part of missing) {
        const size = part.to - part.from + 1;
        if (size > 0 && count(part.from, part.to) < size) found.push(...(await this.#read(part)));
      }
      if (epoch !== this.#epoch) return;
      if (isApart) [this.#covered, this.notes] = [{ from, to }, []];
      // Events received meanwhile have moved the end.
      else this.#covered = { from: Math.min(from, covered.from), to: Math.max(to, this.#covered?.to ?? 0) };
      this.#add(found);
    } catch {
      // Closed, or no longer a member: retried on the next change.
    } finally {
      this.#isReading = false;
    }
  }

  async #read({ from, to }: { from: number; to: number }): Promise<Note[]> {
    const notes: Note[] = [];
    let next = Math.max(from, to - MOST_EVENTS + 1);
    do {
      const page = await this.#client.call("listEvents", { roomId: this.#roomId, fromSeq: next, toSeq: to, pageSize: PAGE });
      notes.push(...page.events.flatMap((event) => noteOf(event) ?? []));
      next = Number(page.nextFromSeq);
    } while (next !== 0 && next <= to);
    return notes;
  }

  #add(notes: readonly Note[]): void {
    if (notes.length === 0) return;
    const all = new Map([...this.notes, ...notes].map((note) => [note.seq, note]));
    this.notes = withChanges([...all.values()].sort((a, b) => a.seq - b.seq));
  }
}
