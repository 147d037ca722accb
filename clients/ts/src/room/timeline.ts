import { type Event, type Gap, GapReason } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { Shared } from "./shared.js";
import type { ChatMessage } from "./message.js";
import { type Page, readEvents, type Source } from "./source.js";

const PAGE = 50;
/** Only the end of a longer hole is loaded; the rest is loaded by scrolling back. */
const LONGEST_FILL = 2_000;
/** Maximum number of messages in memory. */
const WINDOW = 5_000;

/** A part of a room's messages without holes. */
export interface Window<Message = ChatMessage> {
  /** All of the log from here to `to` is in `messages`. */
  readonly from: number;
  readonly to: number;
  readonly hasOlder: boolean;
  readonly messages: readonly Message[];
}

/** A stored window, with its messages as they were then. */
export type StoredWindow = Window<Event>;

/**
 * A window on a room's messages, without holes: up to the end of the room, or to an earlier point. Loads are executed one
 * after the other; events received meanwhile are applied after each, except for changes of messages: these apply
 * immediately, since later forms never undo them.
 */
export class Timeline {
  readonly #source: Source;
  readonly #shared: Shared;
  readonly #changed: () => void;
  readonly #window: number;
  #messages: readonly ChatMessage[] = [];
  /** First and last seq of the window; nothing is loaded while `#to` is undefined. */
  #from = 0;
  #to: number | undefined;
  /** Whether it reaches the end of the room, and follows it. */
  #live = false;
  #hasOlder = true;
  /** The seq that is being viewed; undefined for the end. */
  #place: number | undefined;
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isBusy = false;
  /** Counts releases: a load started before one is dropped. */
  #generation = 0;
  /** Counts restores of the room: a load started before one loads the end instead. */
  #epoch = 0;
  /** Whether its messages belong to a superseded epoch. */
  #isPast = false;
  /** The last event that was received or missed: the room extends at least to here, whatever a page reports. */
  #reached: number;
  /** The last missed event. */
  #missedTo: number;
  #meanwhile: (Event | Gap)[] = [];

  /** Events up to `reached` were received, or missed, before. */
  constructor(source: Source, changed: () => void, { window = WINDOW, reached = 0 } = {}) {
    [this.#source, this.#shared, this.#changed, this.#window] = [source, source.shared, changed, window];
    this.#reached = this.#missedTo = reached;
  }

  /** In ascending order; replaced on each change. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  get hasOlder(): boolean {
    return this.#hasOlder;
  }

  /** Whether there are later messages outside the window. */
  get hasNewer(): boolean {
    return this.#to !== undefined && !this.#live;
  }

  get isLoading(): boolean {
    return this.#waiting > 0;
  }

  get isLoaded(): boolean {
    return this.#to !== undefined;
  }

  /** The message at a seq, if it is in the window. */
  find(seq: number): ChatMessage | undefined {
    return this.#messages[this.#shared.positionOf(this.#messages, seq)];
  }

  /** The window, if it reaches the end of the room as received so far; otherwise undefined. */
  get end(): Window | undefined {
    if (this.#to === undefined || !this.#live || this.#isPast) return undefined;
    return { from: this.#from, to: this.#to, hasOlder: this.#hasOlder, messages: this.#messages };
  }

  /** Starts with a window of an earlier client. Changes by events up to `reached` are loaded. */
  restore({ from, to, hasOlder, messages }: StoredWindow, reached: number): readonly ChatMessage[] | undefined {
    if (this.#to !== undefined || this.#waiting > 0) return undefined;
    [this.#messages, this.#from, this.#to, this.#hasOlder] = [this.#shown(messages), from, to, hasOlder];
    this.#live = true;
    this.#reached = Math.max(this.#reached, reached);
    if (reached > to) this.#fill(reached);
    this.#changed();
    return this.#messages;
  }

  /** Records the message being viewed: it is the last one to leave the window. */
  lookAt(seq: number | undefined): void {
    this.#place = seq;
  }

  /** Drops everything. */
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
    return this.#load(() => this.#around(seq));
  }

  /** Loads the page before the window. */
  loadOlder(): Promise<void> {
    return this.#load(async () => {
      if (this.#to === undefined) return this.#latest();
      if (!this.#hasOlder) return undefined;
      const page = await this.#source.listMessages({ beforeSeq: this.#from, pageSize: PAGE });
      return () => {
        this.#place = this.#messages[0]?.seq;
        this.#messages = [...this.#taken(page), ...this.#messages];
        this.#from = Number(page.nextSeq);
        this.#hasOlder = page.hasMore;
        this.#dropNewest();
      };
    });
  }

  /** Loads the page after the window, unless it reaches the end. */
  loadNewer(): Promise<void> {
    return this.#load(async () => {
      const to = this.#to;
      if (to === undefined || this.#live) return undefined;
      const page = await this.#source.listMessages({ afterSeq: to, pageSize: PAGE });
      return () => {
        this.#place = this.#messages.at(-1)?.seq;
        this.#messages = [...this.#messages, ...this.#taken(page)];
        this.#to = page.hasMore ? Number(page.nextSeq) : Math.max(to, Number(page.headSeq));
        this.#dropOldest();
        this.#reach(!page.hasMore);
      };
    });
  }

  /** Applies an event of the room. */
  event(event: Event): void {
    const change = this.#shared.changeOf(event);
    if (change) this.#change(change);
    this.#reached = Math.max(this.#reached, Number(event.seq));
    if (this.#isBusy) this.#meanwhile.push(event);
    else this.#apply(event);
  }

  /** Applies a gap: events that are not pushed. */
  gap(gap: Gap): void {
    if (gap.reason === GapReason.RESTORED) return this.#restart();
    this.#missedTo = Math.max(this.#missedTo, Number(gap.toSeq));
    this.#reached = Math.max(this.#reached, this.#missedTo);
    if (this.#isBusy) this.#meanwhile.push(gap);
    else this.#skip(gap);
  }

  #apply(event: Event): void {
    const seq = Number(event.seq);
    if (this.#to === undefined || !this.#live || seq <= this.#to) return;
    if (seq > this.#to + 1) {
      this.#fill(seq - 1);
      this.#meanwhile.push(event);
      return;
    }
    const isMessage = event.body.case === "message";
    if (isMessage && this.#messages.length >= this.#window && this.#isBack()) {
      // The viewed message is far from the end: the window stays where it is.
      this.#live = false;
      this.#changed();
      return;
    }
    this.#to = seq;
    if (!isMessage) return;
    this.#messages = [...this.#messages, ...this.#shown([event])];
    // Many at once, so that it happens rarely.
    if (this.#messages.length > this.#window) this.#dropOldest(Math.ceil(this.#window * 0.8));
    this.#changed();
  }

  #skip({ fromSeq, toSeq, reason }: Gap): void {
    const to = Number(toSeq);
    if (this.#to === undefined || to === 0) return;
    const isLost = reason === GapReason.NOT_MEMBER || reason === GapReason.RETENTION;
    if (this.#live && to <= this.#to) return;
    if (this.#live && !isLost) return this.#fill(to);
    // Unavailable: later events directly follow.
    if (this.#live) this.#to = to;
    this.#refresh(Number(fromSeq), isLost ? Infinity : to);
  }

  /** The room was restored from a backup: seqs refer to other events from now on. */
  #restart(): void {
    this.#epoch++;
    [this.#reached, this.#missedTo, this.#meanwhile] = [0, 0, []];
    if (this.#to === undefined) return;
    this.#isPast = true;
    void this.loadLatest().catch(() => {});
  }

  /** Loads possible changes of loaded messages by missed events. */
  #refresh(from: number, to: number): void {
    const refreshed = this.#load(async () => {
      if (this.#to === undefined) return undefined;
      if (to - from >= LONGEST_FILL) return this.#place === undefined ? this.#latest() : this.#around(this.#place);
      const { events } = await readEvents(this.#source, from, to);
      return () => this.#takeChanges(events);
    });
    refreshed.catch(() => {});
  }

  /**
   * Loads missing events up to a seq, before those received after it. If that is refused it is not retried: the window
   * ends before the hole.
   */
  #fill(to: number): void {
    const filled = this.#load(async () => {
      const from = (this.#to ?? to) + 1;
      if (!this.#live || from > to) return undefined;
      if (to - from >= LONGEST_FILL) return this.#latest().catch(() => () => void (this.#live = false));
      const { events, isWhole } = await readEvents(this.#source, from, to);
      return () => {
        this.#messages = [...this.#messages, ...this.#shown(events)];
        this.#takeChanges(events);
        [this.#to, this.#live] = [isWhole ? to : (Number(events.at(-1)?.seq ?? 0) || this.#to), isWhole];
        this.#dropOldest();
      };
    });
    filled.catch(() => {});
  }

  async #latest(): Promise<() => void> {
    const page = await this.#source.listMessages({ pageSize: PAGE });
    return () => {
      this.#reset(page, Number(page.headSeq));
      this.#place = undefined;
      this.#reach(true);
    };
  }

  async #around(seq: number): Promise<() => void> {
    const end = seq + PAGE / 2;
    const page = await this.#source.listMessages({ beforeSeq: end + 1, pageSize: PAGE });
    const head = Number(page.headSeq);
    return () => {
      this.#reset(page, Math.min(end, head));
      this.#place = seq;
      this.#reach(end >= head);
    };
  }

  /** Extends to the end reported by a page. If more was received, the rest is loaded. */
  #reach(isEnd: boolean): void {
    this.#live = isEnd;
    if (!isEnd || this.#to === undefined || this.#reached <= this.#to) return;
    // So far behind that another page would be, too.
    if (this.#reached - this.#to >= LONGEST_FILL) this.#live = false;
    else this.#fill(this.#reached);
  }

  #takeChanges(events: readonly Event[]): void {
    for (const event of events) {
      const change = this.#shared.changeOf(event);
      if (change) this.#change(change);
    }
  }

  #change(change: MessageChange): void {
    const at = this.#shared.positionOf(this.#messages, change.target);
    const message = this.#messages[at];
    if (!message || this.#isPast) return;
    const after = this.#shared.changed(message, change);
    if (after === message) return;
    this.#messages = this.#messages.with(at, after);
    this.#changed();
  }

  /** The messages among events, with all known changes. */
  #shown(events: readonly Event[]): ChatMessage[] {
    const { messageOf, messageWith, withForm } = this.#shared;
    return events.flatMap((event) => {
      if (event.body.case !== "message") return [];
      const form = messageOf(event, event.body.value);
      const seq = Number(event.seq);
      const [held, changes] = [this.#isPast ? undefined : this.find(seq), this.#source.changesOf(seq)];
      return [held ? withForm(held, form, changes) : messageWith(form, changes)];
    });
  }

  #taken({ messages, headSeq }: Page): ChatMessage[] {
    const head = Number(headSeq);
    // It was read before the missed events, which may have changed its messages.
    if (head < this.#missedTo && this.#missedTo - head < LONGEST_FILL) this.#refresh(head + 1, this.#missedTo);
    return this.#shown(messages);
  }

  #reset(page: Page, to: number): void {
    this.#messages = this.#taken(page);
    [this.#from, this.#to, this.#hasOlder, this.#isPast] = [Number(page.nextSeq), to, page.hasMore, false];
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

  /** Whether the older half of the window is being viewed. */
  #isBack(): boolean {
    const middle = this.#messages[this.#messages.length >> 1]?.seq ?? 0;
    return this.#place !== undefined && this.#place < middle;
  }

  /** Executes one load after the other. `work` reads the window when it is its turn, and returns how to change it. */
  #load(work: () => Promise<(() => void) | undefined>): Promise<void> {
    const [generation, began] = [this.#generation, this.#epoch];
    this.#waiting++;
    // Events received before its turn wait for it: a hole is filled before later events are applied.
    this.#isBusy = true;
    const turn = this.#turn.then(async () => {
      try {
        let [epoch, finish] = [began, undefined as (() => void) | undefined];
        do {
          if (generation !== this.#generation) return;
          epoch = this.#epoch;
          finish = await (epoch === began ? work() : this.#latest());
        } while (epoch !== this.#epoch);
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

  /** Applies events received meanwhile. */
  #settle(): void {
    this.#isBusy = false;
    const meanwhile = this.#meanwhile;
    this.#meanwhile = [];
    // One of them may start a load: the others wait for it.
    for (const next of meanwhile) "seq" in next ? this.event(next) : this.gap(next);
    this.#isBusy ||= this.#waiting > 0;
    this.#changed();
  }
}
