import { type Event, type Gap, GapReason } from "../gen/chat_pb.js";
import { type ChatMessage, changed, messageOf, targetOf } from "./message.js";

const PAGE = 50;
const EVENTS_PAGE = 200;
/** Of a longer hole only the end is loaded; what is in it is loaded by scrolling back. */
const LONGEST_FILL = 2_000;
/** Messages that are held at most. */
const WINDOW = 5_000;

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

/** A part of a room's messages without holes. */
export interface Window {
  /** Everything of the log from here to `to` is in `messages`. */
  readonly from: number;
  readonly to: number;
  readonly hasOlder: boolean;
  readonly messages: readonly ChatMessage[];
}

/**
 * A window on a room's messages, without holes: up to the end of the room, or to somewhere before
 * it. Loads are carried out in turn; events that are received meanwhile are applied after each.
 */
export class Timeline {
  readonly #source: Source;
  readonly #changed: () => void;
  readonly #window: number;
  #messages: readonly ChatMessage[] = [];
  /** First and last seq of the window; nothing is loaded while `#to` is undefined. */
  #from = 0;
  #to: number | undefined;
  /** It reaches the end of the room, and follows it. */
  #live = false;
  #hasOlder = true;
  /** The seq that its reader looks at; undefined for the end. */
  #place: number | undefined;
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isBusy = false;
  /** Counts releases: a load that began before one is dropped. */
  #generation = 0;
  #meanwhile: (Event | Gap)[] = [];
  /** Nothing was loaded since it was restored: what a gap hides may have changed any of its messages. */
  #isRestored = false;

  constructor(source: Source, changed: () => void, window = WINDOW) {
    this.#source = source;
    this.#changed = changed;
    this.#window = window;
  }

  /** By rising seq; another array after each change. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  get hasOlder(): boolean {
    return this.#hasOlder;
  }

  /** There are later messages that are not in the window. */
  get hasNewer(): boolean {
    return this.#to !== undefined && !this.#live;
  }

  get isLoading(): boolean {
    return this.#waiting > 0;
  }

  get isLoaded(): boolean {
    return this.#to !== undefined;
  }

  /** The message of a seq, if it is in the window. */
  find(seq: number): ChatMessage | undefined {
    return this.#messages[this.#indexOf(seq)];
  }

  /** The window, where it reaches the end of the room as far as it was received; undefined elsewhere. */
  get end(): Window | undefined {
    if (this.#to === undefined || !this.#live) return undefined;
    return { from: this.#from, to: this.#to, hasOlder: this.#hasOlder, messages: this.#messages };
  }

  /** Begins with a window of an earlier client. What events up to `reached` have added since is loaded. */
  restore({ from, to, hasOlder, messages }: Window, reached: number): void {
    if (this.#to !== undefined || this.#waiting > 0) return;
    [this.#messages, this.#from, this.#to, this.#hasOlder] = [messages, from, to, hasOlder];
    this.#live = this.#isRestored = true;
    if (reached > to) this.#fill(reached);
    this.#changed();
  }

  /** Notes the message that is looked at: it is the last one to leave the window. */
  lookAt(seq: number | undefined): void {
    this.#place = seq;
  }

  /** Lets go of everything. */
  release(): void {
    this.#generation++;
    [this.#messages, this.#from, this.#to, this.#live, this.#hasOlder] = [[], 0, undefined, false, true];
    [this.#place, this.#meanwhile] = [undefined, []];
  }

  /** Loads the end of the room. */
  loadLatest(): Promise<void> {
    return this.#load(() => this.#latest());
  }

  /** Loads a message with those around it. */
  jumpTo(seq: number): Promise<void> {
    return this.#load(async () => {
      const end = seq + PAGE / 2;
      const page = await this.#source.listMessages({ beforeSeq: end + 1, pageSize: PAGE });
      const head = Number(page.headSeq);
      return () => {
        this.#reset(page.messages, Number(page.nextSeq), Math.min(end, head), page.hasMore);
        [this.#live, this.#place] = [end >= head, seq];
      };
    });
  }

  /** Loads a page before the window. */
  loadOlder(): Promise<void> {
    return this.#load(async () => {
      if (this.#to === undefined) return this.#latest();
      if (!this.#hasOlder) return undefined;
      const page = await this.#source.listMessages({ beforeSeq: this.#from, pageSize: PAGE });
      return () => {
        this.#place = this.#messages[0]?.seq;
        this.#messages = [...page.messages.flatMap(shown), ...this.#messages];
        this.#from = Number(page.nextSeq);
        this.#hasOlder = page.hasMore;
        this.#dropNewest();
      };
    });
  }

  /** Loads a page after the window, if it does not reach the end. */
  loadNewer(): Promise<void> {
    return this.#load(async () => {
      const to = this.#to;
      if (to === undefined || this.#live) return undefined;
      const page = await this.#source.listMessages({ afterSeq: to, pageSize: PAGE });
      return () => {
        this.#place = this.#messages.at(-1)?.seq;
        this.#messages = [...this.#messages, ...page.messages.flatMap(shown)];
        this.#live = !page.hasMore;
        this.#to = this.#live ? Math.max(to, Number(page.headSeq)) : Number(page.nextSeq);
        this.#dropOldest();
      };
    });
  }

  /** Takes an event of the room. */
  event(event: Event): void {
    if (this.#isBusy) this.#meanwhile.push(event);
    else this.#apply(event);
  }

  /** Takes a gap: events that are not pushed. */
  gap(gap: Gap): void {
    if (this.#isBusy) this.#meanwhile.push(gap);
    else this.#skip(gap);
  }

  #apply(event: Event): void {
    const seq = Number(event.seq);
    const target = targetOf(event);
    if (target !== undefined) this.#change(target, event);
    if (this.#to === undefined || !this.#live || seq <= this.#to) return;
    if (seq > this.#to + 1) {
      this.#fill(seq - 1);
      this.#meanwhile.push(event);
      return;
    }
    const messages = shown(event);
    if (messages.length > 0 && this.#messages.length >= this.#window && this.#isBack()) {
      // The reader is far from the end: the window stays where it is.
      this.#live = false;
      this.#changed();
      return;
    }
    this.#to = seq;
    if (messages.length === 0) return;
    this.#messages = [...this.#messages, ...messages];
    // Many at once, so that it is seldom.
    if (this.#messages.length > this.#window) this.#dropOldest(Math.ceil(this.#window * 0.8));
    this.#changed();
  }

  #skip(gap: Gap): void {
    if (this.#to === undefined) return;
    if (gap.reason === GapReason.RESTORED) {
      void this.loadLatest().catch(() => {});
      return;
    }
    const to = Number(gap.toSeq);
    if (!this.#live || to <= this.#to) return;
    const isLost = gap.reason === GapReason.NOT_MEMBER || gap.reason === GapReason.RETENTION;
    if (isLost && this.#isRestored) return void this.loadLatest().catch(() => {});
    // Not to be had: what follows follows on it.
    if (isLost) this.#to = to;
    else this.#fill(to);
  }

  /** Loads what is missing up to a seq, before what was received after it. */
  #fill(to: number): void {
    const filled = this.#load(async () => {
      let from = (this.#to ?? to) + 1;
      if (!this.#live || from > to) return undefined;
      if (to - from >= LONGEST_FILL) return this.#latest();
      const events: Event[] = [];
      let isWhole = true;
      try {
        while (from !== 0 && from <= to) {
          const page = await this.#source.listEvents({ fromSeq: from, toSeq: to, pageSize: EVENTS_PAGE });
          events.push(...page.events);
          from = Number(page.nextFromSeq);
        }
      } catch {
        // Refused for good: it ends before the hole, and says that there is more.
        isWhole = false;
      }
      return () => {
        this.#messages = [...this.#messages, ...events.flatMap(shown)];
        for (const event of events) {
          const target = targetOf(event);
          if (target !== undefined) this.#change(target, event);
        }
        [this.#to, this.#live] = [isWhole ? to : (Number(events.at(-1)?.seq ?? 0) || this.#to), isWhole];
        this.#dropOldest();
      };
    });
    filled.catch(() => {});
  }

  async #latest(): Promise<() => void> {
    const page = await this.#source.listMessages({ pageSize: PAGE });
    return () => {
      this.#reset(page.messages, Number(page.nextSeq), Number(page.headSeq), page.hasMore);
      [this.#live, this.#place] = [true, undefined];
    };
  }

  #change(target: number, event: Event): void {
    const at = this.#indexOf(target);
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
    this.#isRestored = false;
  }

  #dropOldest(keep = this.#window): void {
    const excess = this.#messages.length - keep;
    if (excess <= 0) return;
    this.#messages = this.#messages.slice(excess);
    [this.#from, this.#hasOlder] = [this.#messages[0]?.seq ?? 0, true];
  }

  #dropNewest(): void {
    if (this.#messages.length <= this.#window) return;
    this.#messages = this.#messages.slice(0, this.#window);
    [this.#to, this.#live] = [this.#messages.at(-1)?.seq, false];
  }

  /** Whether its reader looks at the older half of the window. */
  #isBack(): boolean {
    const middle = this.#messages[this.#messages.length >> 1]?.seq ?? 0;
    return this.#place !== undefined && this.#place < middle;
  }

  #indexOf(seq: number): number {
    let [low, high] = [0, this.#messages.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const at = this.#messages[middle]?.seq ?? 0;
      if (at === seq) return middle;
      if (at < seq) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Carries out one load after the other. `work` reads the window in its turn, and returns how to change it. */
  #load(work: () => Promise<(() => void) | undefined>): Promise<void> {
    const generation = this.#generation;
    this.#waiting++;
    // What is received before its turn waits for it: a fill comes before what follows on it.
    this.#isBusy = true;
    const turn = this.#turn.then(async () => {
      try {
        if (generation !== this.#generation) return;
        const finish = await work();
        if (generation === this.#generation) finish?.();
      } finally {
        this.#waiting--;
        this.#settle();
      }
    });
    this.#turn = turn.catch(() => {});
    this.#changed();
    return turn;
  }

  /** Applies what was received meanwhile. */
  #settle(): void {
    this.#isBusy = false;
    const meanwhile = this.#meanwhile;
    this.#meanwhile = [];
    // One of them may begin a load: the others wait for it.
    for (const next of meanwhile) "seq" in next ? this.event(next) : this.gap(next);
    this.#isBusy ||= this.#waiting > 0;
    this.#changed();
  }
}

function shown(event: Event): ChatMessage[] {
  return event.body.case === "message" ? [messageOf(event, event.body.value)] : [];
}
