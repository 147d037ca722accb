import type { Event, Gap } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { ChatMessage } from "./message.js";
import { Quotes } from "./quotes.js";
import { RoomReads } from "./reads.js";
import { Timeline } from "./timeline.js";

export { RoomReads };

/** A room's loaded messages. Loaded on demand: lists of rooms and bots need none. */
export class View {
  readonly timeline: Timeline;
  readonly #quotes: Quotes;

  /** Events up to `reached` were received before. */
  constructor(reads: RoomReads, reached: number, changed: () => void) {
    this.timeline = new Timeline(reads, changed, { reached });
    this.#quotes = new Quotes(reads, changed);
  }

  /** A message by seq: undefined until it was read, if it is not loaded. */
  message(seq: number): ChatMessage | undefined {
    return this.timeline.find(seq) ?? this.#quotes.get(seq);
  }

  event(event: Event, change: MessageChange | undefined): void {
    this.timeline.event(event);
    if (change) this.#quotes.change(change);
  }

  /** The room may have been restored from a backup: then seqs refer to other events. */
  gap(gap: Gap, isRestored: boolean): void {
    this.timeline.gap(gap);
    if (isRestored) this.#quotes.clear();
    else this.#quotes.missed();
  }

  release(): void {
    this.timeline.release();
    this.#quotes.clear();
  }
}
