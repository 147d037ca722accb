import { type Event, type Gap, GapReason } from "../gen/chat_pb.js";
import { type ChatMessage, changed, messageOf, targetOf } from "./message.js";

const PAGE = 50;
const EVENTS_PAGE = 200;
/** Of a longer hole only the end is shown; what is in it comes by scrolling back. */
const LONGEST_FILL = 2_000;

/** The calls that a timeline makes. */
export interface Source {
  listMessages(bounds: { beforeSeq?: number; afterSeq?: number; pageSize: number }): Promise<{
    messages: Event[];
    hasMore: boolean;
    nextSeq: bigint;
    headSeq: bigint;
  }>;
  listEvents(bounds: { fromSeq: number; toSeq: number; pageSize: number }): Promise<{ events: Event[]; nextFromSeq: bigint }>;
}

/**
 * A part of a room's messages without a hole: from somewhere to the end, or to somewhere
 * before it after a jump. What happens meanwhile is applied in its place.
 */
export class Timeline {
  readonly #source: Source;
  readonly #changed: () => void;
  #messages: ChatMessage[] = [];
  /** Everything from here to there has been looked at; nothing has while `#to` is undefined. */
  #from = 0;
  #to: number | undefined;
  /** It goes to the end, and with it. */
  #live = false;
  #hasOlder = true;
  /** One page at a time; what happens in between waits for it. */
  #loading: Promise<void> | undefined;
  #meanwhile: (Event | Gap)[] = [];

  constructor(source: Source, changed: () => void) {
    this.#source = source;
    this.#changed = changed;
  }

  /** By rising seq. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  get hasOlder(): boolean {
    return this.#hasOlder;
  }

  /** There is more after it: it was jumped to. */
  get hasNewer(): boolean {
    return this.#to !== undefined && !this.#live;
  }

  get isLoading(): boolean {
    return this.#loading !== undefined;
  }

  /** Shows the end, with a page before it. */
  loadLatest(): Promise<void> {
    return this.#load(async () => {
      const page = await this.#source.listMessages({ pageSize: PAGE });
      this.#reset(page.messages, Number(page.nextSeq), Number(page.headSeq), page.hasMore);
      this.#live = true;
    });
  }

  /** Shows a message in the middle of others. */
  jumpTo(seq: number): Promise<void> {
    return this.#load(async () => {
      const end = seq + PAGE / 2;
      const page = await this.#source.listMessages({ beforeSeq: end + 1, pageSize: PAGE });
      const head = Number(page.headSeq);
      this.#reset(page.messages, Number(page.nextSeq), Math.min(end, head), page.hasMore);
      this.#live = end >= head;
    });
  }

  /** One page further back. */
  loadOlder(): Promise<void> {
    if (this.#to === undefined) return this.loadLatest();
    if (!this.#hasOlder) return Promise.resolve();
    return this.#load(async () => {
      const page = await this.#source.listMessages({ beforeSeq: this.#from, pageSize: PAGE });
      this.#messages = [...page.messages.flatMap(shown), ...this.#messages];
      this.#from = Number(page.nextSeq);
      this.#hasOlder = page.hasMore;
    });
  }

  /** One page further on, after a jump. */
  loadNewer(): Promise<void> {
    const to = this.#to;
    if (to === undefined || this.#live) return Promise.resolve();
    return this.#load(async () => {
      const page = await this.#source.listMessages({ afterSeq: to, pageSize: PAGE });
      this.#messages = [...this.#messages, ...page.messages.flatMap(shown)];
      this.#live = !page.hasMore;
      this.#to = this.#live ? Math.max(to, Number(page.headSeq)) : Number(page.nextSeq);
    });
  }

  /** Something happened in the room. */
  event(event: Event): void {
    if (this.#loading) this.#meanwhile.push(event);
    else this.#apply(event);
  }

  /** Something happened that one is not told of. */
  gap(gap: Gap): void {
    if (this.#loading) this.#meanwhile.push(gap);
    else this.#skip(gap);
  }

  #apply(event: Event): void {
    const seq = Number(event.seq);
    const target = targetOf(event);
    if (target !== undefined) this.#change(target, event);
    if (this.#to === undefined || !this.#live || seq <= this.#to) return;
    if (seq > this.#to + 1) {
      this.#meanwhile.unshift(event);
      void this.#fill(this.#to + 1, seq - 1);
      return;
    }
    this.#to = seq;
    const messages = shown(event);
    if (messages.length > 0) {
      this.#messages = [...this.#messages, ...messages];
      this.#changed();
    }
  }

  #skip(gap: Gap): void {
    if (this.#to === undefined) return;
    if (gap.reason === GapReason.RESTORED) {
      void this.loadLatest().catch(() => {});
      return;
    }
    const to = Number(gap.toSeq);
    if (!this.#live || to <= this.#to) return;
    // Not to be read: what follows follows on it.
    if (gap.reason === GapReason.NOT_MEMBER || gap.reason === GapReason.RETENTION) this.#to = to;
    else void this.#fill(this.#to + 1, to);
  }

  /** Gets what is missing, before what came after it. */
  #fill(from: number, to: number): Promise<void> {
    if (to - from >= LONGEST_FILL) return this.loadLatest().catch(() => {});
    return this.#load(async () => {
      try {
        let next = from;
        do {
          const page = await this.#source.listEvents({ fromSeq: next, toSeq: to, pageSize: EVENTS_PAGE });
          for (const event of page.events) {
            const target = targetOf(event);
            if (target !== undefined) this.#change(target, event);
          }
          this.#messages = [...this.#messages, ...page.events.flatMap(shown)];
          next = Number(page.nextFromSeq);
          this.#to = next === 0 ? to : next - 1;
        } while (next !== 0);
      } catch {
        // Refused for good: it ends here, and says that there is more.
        this.#live = false;
      }
    });
  }

  #change(target: number, event: Event): void {
    const at = this.#messages.findLastIndex((message) => message.seq === target);
    const message = this.#messages[at];
    if (!message) return;
    const after = changed(message, event);
    if (after === message) return;
    this.#messages = this.#messages.with(at, after);
    this.#changed();
  }

  #reset(events: Event[], from: number, to: number, hasOlder: boolean): void {
    this.#messages = events.flatMap(shown);
    [this.#from, this.#to, this.#hasOlder] = [from, to, hasOlder];
  }

  async #load(work: () => Promise<void>): Promise<void> {
    // In the order in which they were asked for.
    while (this.#loading) await this.#loading.catch(() => {});
    const loading = work();
    this.#loading = loading;
    this.#changed();
    try {
      await loading;
    } finally {
      this.#loading = undefined;
      const meanwhile = this.#meanwhile;
      this.#meanwhile = [];
      for (const next of meanwhile) "seq" in next ? this.event(next) : this.gap(next);
      this.#changed();
    }
  }
}

function shown(event: Event): ChatMessage[] {
  return event.body.case === "message" ? [messageOf(event, event.body.value)] : [];
}
