import type { InboxEntry } from "../gen/chat_pb.js";
import { backoff } from "../random.js";
import { pages } from "../session/pages.js";
import type { Session } from "../session/session.js";

const PAGE = 200;
/** Delay after which rooms with unknown data are requested together. */
const SOON_MS = 100;
/** Minimum interval between two such requests. */
const BETWEEN_MS = 5_000;

interface Reader {
  /** Called before a page is requested: returns its order. */
  order(): number;
  /** Heads of the user's rooms: read before the first page. */
  heads(): ReadonlyMap<string, number>;
  entry(entry: InboxEntry, order: number): void;
  /** The room was not in the inbox, which was read after it had this head. */
  unlisted(roomId: string, headSeq: number): void;
  /** Whether data is still missing that the inbox has. */
  isStale(): boolean;
  done(): void;
  failed(error: unknown): void;
}

/** Reads the inbox, once at a time. */
export class Inbox {
  readonly #session: Session;
  readonly #reader: Reader;
  #reading: Promise<void> | undefined;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refusals = 0;
  #cancelRetry = () => {};
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(session: Session, reader: Reader) {
    [this.#session, this.#reader] = [session, reader];
  }

  /** Reads it again. Calls during a read cause one more read after it. */
  refresh(): Promise<void> {
    this.#again = this.#reading !== undefined;
    this.#reading ??= this.#read()
      .then(
        () => void (this.#refusals = 0),
        (error: unknown) => {
          this.#reader.failed(error);
          if (this.#session.state.status === "closed") return;
          this.#cancelRetry = this.#session.clock.after(backoff(this.#refusals++), () => {
            if (this.#session.state.status === "online") void this.refresh();
          });
        },
      )
      .finally(() => {
        this.#reading = undefined;
        if (this.#again) void this.refresh();
      });
    return this.#reading;
  }

  /** Reads it soon if it is still needed then; rate-limited. */
  freshen(): void {
    if (this.#timer !== undefined || this.#reading) return;
    const wait = Math.max(SOON_MS, this.#readAt + BETWEEN_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#session.state.status === "online" && this.#reader.isStale()) {
        this.#readAt = performance.now();
        void this.refresh();
      }
    }, wait);
  }

  /** The next connection reads it anyway. */
  offline(): void {
    this.#cancelRetry();
  }

  close(): void {
    this.#cancelRetry();
    clearTimeout(this.#timer);
  }

  async #read(): Promise<void> {
    const heads = this.#reader.heads();
    const listed = new Set<string>();
    let order = 0;
    const ask = (pageToken: string) => {
      order = this.#reader.order();
      return this.#session.call("listInbox", { pageSize: PAGE, pageToken, includeHidden: true, includeArchived: true });
    };
    for await (const { entries, unreadableRoomIds } of pages(ask)) {
      for (const entry of entries) {
        if (!entry.room) continue;
        listed.add(entry.room.roomId);
        this.#reader.entry(entry, order);
      }
      for (const roomId of unreadableRoomIds) listed.add(roomId);
    }
    for (const [roomId, headSeq] of heads) if (!listed.has(roomId)) this.#reader.unlisted(roomId, headSeq);
    this.#reader.done();
  }
}
