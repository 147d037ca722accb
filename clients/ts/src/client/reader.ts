import { create } from "@bufbuild/protobuf";

import { type Cursor, CursorSchema, type Event, type Gap, GapReason, GapSchema } from "../gen/chat_pb.js";
import type { Session } from "../session/session.js";
import type { Acknowledger } from "./acknowledger.js";
import type { EventsOptions, RoomCursor, RoomItem } from "./items.js";

/** Items waiting in memory for a handler that is slower than the rooms. */
const MAX_WAITING = 10_000;
const PAGE = 200;

type GapItem = RoomItem & { kind: "gap" };

/**
 * Everything that happens in the rooms of a client, in order for each room and at least once: an item counts as handled
 * when the next one is requested. The item at which a loop is left, by `break` or an error, does not count.
 */
export class Reader {
  readonly #session: Session;
  readonly #signal: AbortSignal | undefined;
  readonly #maxWaiting: number;
  readonly #acknowledger: Acknowledger | undefined;
  readonly #waiting: RoomItem[] = [];
  /** The gap at the end of a room's waiting items, which is extended by further events. */
  readonly #overflow = new Map<string, GapItem>();
  readonly #cursors = new Map<string, RoomCursor>();
  readonly #offs: (() => void)[];
  #wake = () => {};

  constructor(session: Session, options: EventsOptions, acknowledger: Acknowledger | undefined) {
    const { cursors = [], signal, maxWaiting = MAX_WAITING } = options;
    this.#session = session;
    this.#signal = signal;
    this.#maxWaiting = maxWaiting;
    this.#acknowledger = acknowledger;
    for (const cursor of cursors) this.#cursors.set(cursor.roomId, cursor);
    session.resumeFrom([...this.#cursors.values()].map(fromRoomCursor));
    this.#offs = [
      session.on("event", (event) => this.#add({ kind: "event", event, cursor: this.#cursorAt(event.roomId, event.seq) })),
      session.on("gap", (gap) => this.#add({ kind: "gap", gap, cursor: this.#cursorAfter(gap) })),
      session.on("state", () => this.#wake()),
    ];
    signal?.addEventListener("abort", this.#aborted);
  }

  /** Where to resume in each room, according to what was handled. */
  get cursors(): readonly RoomCursor[] {
    return [...this.#cursors.values()];
  }

  /** Ends when the session is closed or the signal aborted; throws the error for which it was closed. */
  async *read(): AsyncGenerator<RoomItem, void> {
    try {
      for (;;) {
        const item = await this.#next();
        if (!item) return;
        yield item;
        if (item.cursor) {
          this.#cursors.set(item.cursor.roomId, item.cursor);
          if (item.kind === "event" || item.gap.toSeq !== 0n) this.#acknowledger?.handled(item.cursor.roomId, BigInt(item.cursor.seq));
        }
      }
    } finally {
      this.#end();
    }
  }

  async #next(): Promise<RoomItem | undefined> {
    for (;;) {
      if (this.#signal?.aborted) return undefined;
      const item = this.#waiting.shift();
      if (item) {
        if (item.kind === "gap" && this.#overflow.get(item.gap.roomId) === item) this.#overflow.delete(item.gap.roomId);
        return item;
      }
      const { state } = this.#session;
      if (state.status === "closed") {
        if (state.error) throw state.error;
        return undefined;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #add(item: RoomItem): void {
    if (item.kind === "gap") this.#overflow.delete(item.gap.roomId);
    const isFull = item.kind === "event" && this.#waiting.length >= this.#maxWaiting;
    if (isFull) this.#skip(item.event, item.cursor);
    else {
      if (item.kind === "event") this.#overflow.delete(item.event.roomId);
      this.#waiting.push(item);
    }
    this.#wake();
  }

  /** Merges the event into a gap. */
  #skip({ roomId, seq }: Event, cursor: RoomCursor | undefined): void {
    const last = this.#overflow.get(roomId);
    if (last) {
      last.gap.toSeq = seq;
      last.cursor = cursor;
      return;
    }
    const gap = create(GapSchema, { roomId, fromSeq: seq, toSeq: seq, reason: GapReason.TOO_LONG, epoch: this.#session.position(roomId).epoch });
    const item: GapItem = { kind: "gap", gap, cursor };
    this.#overflow.set(roomId, item);
    this.#waiting.push(item);
  }

  #cursorAt(roomId: string, seq: bigint): RoomCursor {
    return { roomId, seq: Number(seq), epoch: String(this.#session.position(roomId).epoch) };
  }

  /** An open-ended gap moves no cursor. */
  #cursorAfter({ roomId, toSeq }: Gap): RoomCursor | undefined {
    const seq = toSeq || this.#session.position(roomId).cursor;
    return seq === undefined ? undefined : this.#cursorAt(roomId, seq);
  }

  readonly #aborted = () => this.#wake();

  #end(): void {
    for (const off of this.#offs) off();
    this.#signal?.removeEventListener("abort", this.#aborted);
    this.#waiting.length = 0;
    this.#acknowledger?.flush();
  }
}

/**
 * The contents of a gap, page by page: events, and gaps for unavailable parts. Empty for an open-ended gap, or for reasons
 * other than `TOO_LONG` and `ACKNOWLEDGED_ELSEWHERE`.
 */
export async function* eventsOf(session: Session, gap: Gap, signal?: AbortSignal): AsyncGenerator<RoomItem, void> {
  const isReadable = gap.reason === GapReason.TOO_LONG || gap.reason === GapReason.ACKNOWLEDGED_ELSEWHERE;
  if (!isReadable || gap.toSeq === 0n) return;
  const { roomId, toSeq } = gap;
  const cursorAt = (seq: bigint): RoomCursor => ({ roomId, seq: Number(seq), epoch: String(gap.epoch || session.position(roomId).epoch) });
  let fromSeq = gap.fromSeq;
  do {
    const page = await session.call("listEvents", { roomId, fromSeq, toSeq, pageSize: PAGE }, { signal });
    const items: [bigint, RoomItem][] = [
      ...page.events.map((event): [bigint, RoomItem] => [event.seq, { kind: "event", event, cursor: cursorAt(event.seq) }]),
      ...page.gaps.map((gap): [bigint, RoomItem] => [gap.fromSeq, { kind: "gap", gap, cursor: cursorAt(gap.toSeq || toSeq) }]),
    ];
    for (const [, item] of items.sort(([a], [b]) => (a < b ? -1 : 1))) yield item;
    fromSeq = page.nextFromSeq;
  } while (fromSeq !== 0n && fromSeq <= toSeq);
}

function fromRoomCursor({ roomId, seq, epoch }: RoomCursor): Cursor {
  return create(CursorSchema, { roomId, seq: BigInt(seq), epoch: BigInt(epoch) });
}
