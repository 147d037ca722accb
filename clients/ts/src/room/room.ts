import { Emitter } from "../emitter.js";
import { milliseconds } from "../errors.js";
import { type Event, type Gap, type Role, RoomKind, type Typing } from "../gen/chat_pb.js";
import type { Draft, NewCommand } from "../queue/command.js";
import type { Confirmed, Projection } from "../queue/project.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { ConnectionState } from "../session/session.js";
import { Slices } from "../slices.js";
import type { RoomInput } from "../state/inputs.js";
import type { RoomState } from "../state/room-state.js";
import { editOf, memberEventOf, type RoomChanges } from "./events.js";
import { infoOf, membersOf, receiptOf, receiptsOf, type RoomInfo, type RoomMember, type RoomReceipt, stableList, stableObject, valuesOf } from "./info.js";
import { changeOf } from "../state/changes.js";
import { type ChatMessage, messageOf, type MessageState } from "./message.js";
import { Quotes } from "./quotes.js";
import { type StoredWindow, Timeline, type Window } from "./timeline.js";

/** At most one typing signal in this time is sent, however much is typed. */
const TYPING_EVERY_MS = 3_000;
/** A typing signal without an end is shown for this long. */
const TYPING_MS = 5_000;
const PAGE = 200;

/** @internal Whose room it is. */
export interface Owner {
  readonly userId: string;
  readonly state: ConnectionState;
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<ResponseOf<Name>>;
  send(draft: Draft): Promise<{ readonly seq: number }>;
  /** Queues a change. Resolves once it is carried out. */
  submit(command: NewCommand): Promise<unknown>;
  refresh(): Promise<void>;
  /** What is confirmed of a room. */
  stateOf(roomId: string): RoomState;
  apply(input: RoomInput): void;
  /** Of an observation that is newer than all before. */
  nextOrder(): number;
  /** Lays commands that are on their way over what is confirmed. */
  project(confirmed: Confirmed): Projection;
  happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void;
  hasListeners(name: keyof RoomChanges): boolean;
  /** Something of it changed; it says so itself at the end of the task. */
  touched(room: Room): void;
  /** Its messages are looked at: of rooms that nobody watches, those looked at last keep theirs. */
  looked(room: Room): void;
}

interface RoomEvents extends RoomChanges {
  /** Anything of the room changed: messages, unread count, title, who types. At most once for all that is received at once. */
  change: Room;
}

/** Immutable values of a room: each is replaced when it changes, and identical until then. */
export interface RoomSlices {
  info: RoomInfo;
  /** {@link Room.messages}. */
  messages: readonly ChatMessage[];
  /** {@link Room.members}. */
  members: readonly RoomMember[];
  receipts: readonly RoomReceipt[];
  /** Ids of those who type, oneself left out. */
  typing: readonly string[];
}

/** A room that one is or was a member of: a view of the client's state, always current. */
export class Room extends Emitter<RoomEvents> {
  readonly id: string;
  readonly #client: Owner;
  readonly #timeline: Timeline;
  readonly #quotes: Quotes;
  readonly #slices = new Slices<RoomSlices>((name) => this.getSnapshot(name));
  readonly #values: { [Name in keyof RoomSlices]: RoomSlices[Name] | undefined } = {
    info: undefined,
    messages: undefined,
    members: undefined,
    receipts: undefined,
    typing: undefined,
  };
  /** What receipts and members were made of. */
  readonly #sources = new Map<keyof RoomSlices, unknown>();
  #emittedInfo: RoomInfo | undefined;
  /** Something that is in {@link info} may have changed. */
  #isInfoTouched = false;
  readonly #expiries = new Map<string, ReturnType<typeof setTimeout>>();
  #projection: Projection | undefined;
  /** Slices that have to be read again. */
  readonly #dirty = new Set<keyof RoomSlices>();
  #isTouched = false;
  #knowsReceipts = false;
  /** It began with messages of an earlier client. */
  #isRestored = false;
  #typedAt = 0;

  /** @internal */
  constructor(client: Owner, id: string) {
    super();
    this.#client = client;
    this.id = id;
    const changesOf = (seq: number) => this.#state.changes.get(seq);
    this.#timeline = new Timeline(
      {
        listMessages: ({ beforeSeq, afterSeq, pageSize }) => {
          const bounds = { beforeSeq: BigInt(beforeSeq ?? 0), afterSeq: afterSeq === undefined ? undefined : BigInt(afterSeq) };
          return this.#history(client.call("listMessages", { roomId: id, ...bounds, pageSize }), ({ messages }) => messages);
        },
        listEvents: ({ fromSeq, toSeq, pageSize }) => {
          const bounds = { fromSeq: BigInt(fromSeq), toSeq: BigInt(toSeq) };
          return this.#history(client.call("listEvents", { roomId: id, ...bounds, pageSize }), ({ events }) => events);
        },
        changesOf,
      },
      () => this.#touch(),
    );
    this.#quotes = new Quotes(
      async (seq) => (await client.call("getMessage", { roomId: id, seq: BigInt(seq) })).message,
      changesOf,
      () => this.#touch(),
    );
  }

  // === Values ===

  /**
   * Calls `listener` when a value of the room was replaced, at most once for all that is received
   * at once. Returns a function that ends it. As long as `messages` is subscribed to, they are kept.
   */
  subscribe(slice: keyof RoomSlices, listener: () => void): () => void {
    if (slice === "messages" && this.#timeline.isLoaded) this.#used();
    return this.#slices.subscribe(slice, listener);
  }

  /** A value of the room: frozen, and identical until it changes. */
  getSnapshot<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name] {
    const held = this.#values[slice];
    if (held !== undefined && !this.#dirty.delete(slice)) return held;
    return (this.#values[slice] = this.#readers[slice](held));
  }

  /** Everything but the messages. */
  get info(): RoomInfo {
    return this.getSnapshot("info");
  }

  get kind(): RoomKind {
    return this.info.kind;
  }

  get title(): string {
    return this.info.title;
  }

  get topic(): string {
    return this.info.topic;
  }

  /** In a direct room: the other one. */
  get peerId(): string {
    return this.info.peerId;
  }

  get memberCount(): number {
    return this.info.memberCount;
  }

  /** One's own role. */
  get role(): Role {
    return this.info.role;
  }

  /** One is a member now. */
  get isMember(): boolean {
    return this.info.isMember;
  }

  /** One has hidden it, and there was no message since. */
  get isHidden(): boolean {
    return this.info.isHidden;
  }

  /** Since when one is a member, as far as known; at least since when the room exists. */
  get memberSince(): Date {
    return this.info.memberSince;
  }

  /** Seq of the last event. */
  get headSeq(): number {
    return this.info.headSeq;
  }

  get messageCount(): number {
    return this.info.messageCount;
  }

  /** How far one has read, on any device. */
  get readSeq(): number {
    return this.info.readSeq;
  }

  /** Messages after one's read mark that are not deleted. */
  get unreadCount(): number {
    return this.info.unreadCount;
  }

  get lastMessage(): ChatMessage | undefined {
    return this.info.lastMessage;
  }

  /** Messages that are loaded, and after them those of one's own that are on their way. */
  get messages(): readonly ChatMessage[] {
    if (this.#timeline.isLoaded) this.#used();
    return this.getSnapshot("messages");
  }

  get hasOlder(): boolean {
    return this.#timeline.hasOlder;
  }

  get hasNewer(): boolean {
    return this.#timeline.hasNewer;
  }

  get isLoading(): boolean {
    return this.#timeline.isLoading;
  }

  /** Who types now, oneself left out. */
  get typing(): readonly string[] {
    return this.getSnapshot("typing");
  }

  /** How far the others are, once {@link loadLatest} was called. */
  get receipts(): readonly RoomReceipt[] {
    return this.getSnapshot("receipts");
  }

  /** Members by id, once {@link loadMembers} was called. */
  get members(): readonly RoomMember[] {
    return this.getSnapshot("members");
  }

  /** How far a message has come. Of others' messages that is always `sent`. */
  stateOf({ state, seq, senderId }: ChatMessage): MessageState {
    if (seq === undefined || senderId !== this.#client.userId) return state;
    const { read, delivered } = this.#state.receipts;
    return seq <= read ? "read" : seq <= delivered ? "delivered" : state;
  }

  /** Whom a message is known to have been read by. */
  readBy(seq: number): string[] {
    return this.receipts.filter(({ readSeq }) => readSeq >= seq).map(({ userId }) => userId);
  }

  /**
   * A message by seq, such as the one that another answers: from those that are loaded, else it is
   * read once and kept up to date. Undefined until it is there (`change` is emitted then), and for
   * messages that one may not see.
   */
  message(seq: number): ChatMessage | undefined {
    return this.#timeline.find(seq) ?? this.#quotes.get(seq);
  }

  // === Messages ===

  /** Loads the end of the room and follows it. */
  loadLatest(): Promise<void> {
    void this.#loadReceipts();
    return this.#loads(this.#timeline.loadLatest());
  }

  /** Loads a page before what is loaded. */
  loadOlder(): Promise<void> {
    return this.#loads(this.#timeline.loadOlder());
  }

  /** Loads a page after what is loaded, if that does not reach the end. */
  loadNewer(): Promise<void> {
    return this.#loads(this.#timeline.loadNewer());
  }

  /** Loads the surroundings of a message. */
  jumpTo(seq: number): Promise<void> {
    return this.#loads(this.#timeline.jumpTo(seq));
  }

  /**
   * Notes the message that is looked at; undefined for the end. Of very many, those far from it are let go:
   * {@link hasOlder} and {@link hasNewer} say that there are more.
   */
  lookAt(seq: number | undefined): void {
    this.#timeline.lookAt(seq);
  }

  /** Loads all members, and keeps them up to date from then on. */
  async loadMembers(): Promise<readonly RoomMember[]> {
    const { head, streamEpoch } = this.#state;
    const members: { userId: string; role: Role }[] = [];
    let pageToken = "";
    do {
      const page = await this.#client.call("listMembers", { roomId: this.id, pageSize: PAGE, pageToken });
      members.push(...page.members.filter(({ active }) => active).map(({ userId, role }) => ({ userId, role })));
      pageToken = page.nextPageToken;
    } while (pageToken);
    this.#client.apply({ type: "members", roomId: this.id, members, seq: head.seq, epoch: streamEpoch });
    return this.members;
  }

  /** Sends a message; it is among {@link messages} at once. Resolves with its seq once it is durable. */
  async send(text: string, options: { replyToSeq?: number } = {}): Promise<number> {
    return (await this.#client.send({ roomId: this.id, text, ...options })).seq;
  }

  /** Replaces the text of one's own message. */
  async edit(message: number | ChatMessage, text: string): Promise<void> {
    await this.#client.submit({ kind: "edit", roomId: this.id, payload: { seq: seqOf(message), text } });
  }

  /** Deletes a message. */
  async delete(message: number | ChatMessage): Promise<void> {
    await this.#client.submit({ kind: "delete", roomId: this.id, payload: { seq: seqOf(message) } });
  }

  /** Adds a reaction of one's own. */
  async react(message: number | ChatMessage, emoji: string): Promise<void> {
    await this.#client.submit({ kind: "react", roomId: this.id, payload: { seq: seqOf(message), emoji } });
  }

  /** Takes it back. */
  async unreact(message: number | ChatMessage, emoji: string): Promise<void> {
    await this.#client.submit({ kind: "unreact", roomId: this.id, payload: { seq: seqOf(message), emoji } });
  }

  /** Signals that one is typing: call it at every key. */
  startTyping(): void {
    if (Date.now() - this.#typedAt < TYPING_EVERY_MS || this.#client.state.status !== "online") return;
    this.#typedAt = Date.now();
    this.#client.call("sendTyping", { roomId: this.id }).catch(() => {});
  }

  /** Marks the room read, up to a message or to its end. */
  async markRead(seq = this.headSeq): Promise<void> {
    if (seq <= this.readSeq) return;
    await this.#client.submit({ kind: "markRead", roomId: this.id, payload: { seq } });
    this.flush();
  }

  /** Leaves it out of {@link Client.rooms} on all of one's devices until the next message, or puts it back. */
  async setHidden(hidden: boolean): Promise<void> {
    await this.#client.submit({ kind: "hide", roomId: this.id, payload: { hidden } });
  }

  /** Leaves it. */
  async leave(): Promise<void> {
    await this.#client.submit({ kind: "leave", roomId: this.id, payload: {} });
  }

  // === Inputs ===

  /** @internal The state of the room is not as it was. */
  stateChanged(before: RoomState, after: RoomState): void {
    this.#isInfoTouched ||= before.head !== after.head || before.marks !== after.marks || before.settings !== after.settings;
    this.#isInfoTouched ||= before.membership !== after.membership || before.memberCount !== after.memberCount || before.hidden !== after.hidden;
    this.#isInfoTouched ||= before.last !== after.last || before.kind !== after.kind || before.peerId !== after.peerId;
    if (before.typing !== after.typing) this.#typingChanged(before, after);
    if (before.receipts !== after.receipts) {
      for (const [userId, { delivered, read }] of after.receipts.byUser) {
        if (before.receipts.byUser.get(userId) !== after.receipts.byUser.get(userId)) {
          this.#happened("read", { roomId: this.id, userId, deliveredSeq: delivered, readSeq: read });
        }
      }
    }
    if (before.marks.readSeq < after.marks.readSeq) {
      const { readSeq } = after.marks;
      this.#happened("read", { roomId: this.id, userId: this.#client.userId, deliveredSeq: readSeq, readSeq });
    }
    this.#touch();
  }

  /** @internal An event that is in the state already. */
  event(event: Event): void {
    const change = changeOf(event);
    this.#timeline.event(event);
    if (change) this.#quotes.change(change);
    const member = memberEventOf(event);
    if (event.body.case === "message") this.#happened("message", messageOf(event, event.body.value));
    else if (change) this.#happened("edited", editOf(this.id, change));
    else if (member) this.#happened("member", member);
  }

  /** @internal */
  gap(gap: Gap, before: RoomState): void {
    this.#timeline.gap(gap);
    this.#quotes.missed();
    const { epoch, members } = this.#state;
    if (epoch !== before.epoch) {
      this.#quotes.clear();
      if (this.#knowsReceipts) void this.#loadReceipts();
    }
    const hadMembers = before.members.listedSeq >= 0;
    if (hadMembers && members.listedSeq < members.missingTo) this.loadMembers().catch(() => {});
  }

  /** @internal */
  types({ userId, expiresAfter }: Typing): void {
    const duration = expiresAfter ? milliseconds(expiresAfter) : TYPING_MS;
    const until = Date.now() + duration;
    this.#client.apply({ type: "typing", roomId: this.id, userId, until });
    if (!this.#state.typing.has(userId)) return;
    clearTimeout(this.#expiries.get(userId));
    const expire = () => this.#client.apply({ type: "typingExpired", roomId: this.id, userId, until });
    this.#expiries.set(userId, setTimeout(expire, duration));
  }

  /** @internal While there was no connection there were no signals. */
  resumed(): void {
    if (this.#knowsReceipts) void this.#loadReceipts();
  }

  /** @internal A command on its way changed. */
  queued(): void {
    this.#touch();
  }

  /** @internal Somebody subscribed to its messages or changes. */
  get isWatched(): boolean {
    return this.#slices.isWatched("messages") || this.hasListeners("change");
  }

  /** @internal Its newest messages, as far as they can be stored; null where none are loaded. */
  get end(): Window | undefined | null {
    return this.#timeline.isLoaded ? this.#timeline.end : null;
  }

  /** @internal Shows messages of an earlier client; events up to `reached` have been received since. Returns them, unless others are there. */
  restore(window: StoredWindow, reached: number): readonly ChatMessage[] | undefined {
    const messages = this.#timeline.restore(window, reached);
    this.#isRestored = true;
    this.#client.looked(this);
    return messages;
  }

  /** @internal Lets go of its messages. */
  release(): void {
    if (!this.#timeline.isLoaded) return;
    this.#timeline.release();
    this.#quotes.clear();
    this.#knowsReceipts = false;
    this.#touch();
  }

  /** @internal Emits what changed now instead of at the end of the task. */
  flush(): void {
    if (!this.#isTouched) return;
    this.#isTouched = false;
    // Of what nobody listens to nothing is made.
    if (this.hasListeners("room") || this.#client.hasListeners("room")) {
      const { info } = this;
      if (info !== this.#emittedInfo && (this.#emittedInfo || this.#isInfoTouched)) this.#happened("room", info);
      this.#emittedInfo = info;
    } else this.#emittedInfo = undefined;
    this.#isInfoTouched = false;
    this.#slices.notify();
    this.emit("change", this);
  }

  get #state(): RoomState {
    return this.#client.stateOf(this.id);
  }

  /** The value of each slice; `held` where nothing of it changed. */
  readonly #readers: { [Name in keyof RoomSlices]: (held: RoomSlices[Name] | undefined) => RoomSlices[Name] } = {
    info: (held) => stableObject(held, infoOf(this.#state, this.#projected().values)),
    messages: (held) => stableList(held, this.#projected().messages),
    typing: (held) => stableList(held, [...this.#state.typing.keys()]),
    receipts: (held) => this.#derived("receipts", held, this.#state.receipts, receiptsOf),
    members: (held) => this.#derived("members", held, this.#state.members, membersOf),
  };

  /** Made anew only of another source. */
  #derived<Source, Value>(name: keyof RoomSlices, held: Value | undefined, source: Source, make: (source: Source) => Value): Value {
    if (held !== undefined && this.#sources.get(name) === source) return held;
    this.#sources.set(name, source);
    return Object.freeze(make(source));
  }

  #projected(): Projection {
    if (this.#projection) return this.#projection;
    const state = this.#state;
    return (this.#projection = this.#client.project({
      roomId: this.id,
      userId: this.#client.userId,
      peerId: state.peerId,
      messages: this.#timeline.messages,
      isAtEnd: !this.#timeline.hasNewer,
      values: valuesOf(state),
    }));
  }

  /** Its messages are shown. Those of an earlier client came without receipts. */
  #used(): void {
    this.#client.looked(this);
    if (!this.#isRestored || this.#knowsReceipts) return;
    this.#knowsReceipts = true;
    if (this.#client.state.status === "online") void this.#loadReceipts();
  }

  async #loads(load: Promise<void>): Promise<void> {
    this.#client.looked(this);
    await load;
  }

  /** What is read of the past is taken into the state, too. */
  async #history<Page>(asked: Promise<Page>, eventsOf: (page: Page) => readonly Event[]): Promise<Page> {
    const epoch = this.#state.streamEpoch;
    const page = await asked;
    this.#client.apply({ type: "history", roomId: this.id, events: eventsOf(page), epoch });
    return page;
  }

  /** How far the others are; from then on receipts tell. */
  async #loadReceipts(): Promise<void> {
    this.#knowsReceipts = true;
    try {
      let pageToken = "";
      do {
        const epoch = this.#state.streamEpoch;
        const page = await this.#client.call("listReceipts", { roomId: this.id, pageSize: PAGE, pageToken });
        this.#client.apply({ type: "receipts", roomId: this.id, receipts: page.receipts.map(receiptOf), epoch });
        pageToken = page.nextPageToken;
      } while (pageToken);
    } catch {
      // Not a member any more, or closed: there is nobody to ask for.
    }
  }

  #typingChanged(before: RoomState, after: RoomState): void {
    for (const userId of after.typing.keys()) {
      if (!before.typing.has(userId)) this.#happened("typing", { roomId: this.id, userId, isTyping: true });
    }
    for (const userId of before.typing.keys()) {
      if (after.typing.has(userId)) continue;
      clearTimeout(this.#expiries.get(userId));
      this.#expiries.delete(userId);
      this.#happened("typing", { roomId: this.id, userId, isTyping: false });
    }
  }

  #happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void {
    this.emit<keyof RoomChanges>(name, change);
    this.#client.happened(name, change);
  }

  /** Emits once for all that is received in one task. */
  #touch(): void {
    this.#projection = undefined;
    for (const slice of SLICES) this.#dirty.add(slice);
    this.#client.touched(this);
    if (this.#isTouched) return;
    this.#isTouched = true;
    queueMicrotask(() => this.flush());
  }
}

const SLICES: readonly (keyof RoomSlices)[] = ["info", "messages", "members", "receipts", "typing"];

function seqOf(message: number | ChatMessage): number {
  const seq = typeof message === "number" ? message : message.seq;
  if (seq === undefined) throw new TypeError("the message is not acknowledged yet: it has no seq");
  return seq;
}
