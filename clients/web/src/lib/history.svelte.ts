import { type Client, v1 } from "@parlance/client";

import { type Note, noteOf } from "./notes";

const PAGE = 200;
/** Of a longer part without messages, only the end is read: reactions and changes of texts are events too. */
const MOST_EVENTS = 2_000;

/** What happened in a room beside its messages, in the part of it that is loaded. */
export class History {
  readonly #client: Client;
  readonly #roomId: string;
  readonly #offs: readonly (() => void)[];
  /** Counts restores of the room: what was asked for before one is of events that mean others now. */
  #epoch = 0;
  /** All events from here to there have been looked at. */
  #covered: { from: number; to: number } | undefined;
  #isReading = false;
  /** By rising seq. */
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
    // After a gap it is read with what is in the gap.
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
   * Reads what is missing of a part of the room. `count` says how many of the events between two seqs, both
   * included, are messages that are loaded: where all of them are, there is nothing to read.
   */
  async cover(from: number, to: number, count: (from: number, to: number) => number): Promise<void> {
    // What is wanted then is asked for again by the next change of the room.
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
      // Events that came meanwhile have moved the end.
      else this.#covered = { from: Math.min(from, covered.from), to: Math.max(to, this.#covered?.to ?? 0) };
      this.#add(found);
    } catch {
      // Closed, or no member any more: tried again with the next change.
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
    this.notes = [...all.values()].sort((a, b) => a.seq - b.seq);
  }
}
