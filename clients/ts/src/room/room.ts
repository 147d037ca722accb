import type { Event, Gap, Role, Typing as TypingSignal } from "../gen/chat_pb.js";
import type { Projection } from "../queue/project.js";
import { changeOf } from "../state/changes.js";
import type { RoomState } from "../state/room-state.js";
import { editOf, memberEventOf, type RoomChanges } from "./events.js";
import { type RoomInfo, type RoomMember, type RoomReceipt, valuesOf } from "./info.js";
import { type ChatMessage, messageOf, type MessageState } from "./message.js";
import type { Owner } from "./owner.js";
import { Quotes } from "./quotes.js";
import { RoomReads } from "./reads.js";
import { type RoomSlices, Snapshots } from "./snapshots.js";
import { type StoredWindow, Timeline, type Window } from "./timeline.js";
import { Typing } from "./typing.js";
import { RoomValues } from "./values.js";

/** What {@link RoomInfo} is made of. */
const IN_INFO = ["head", "marks", "settings", "membership", "memberCount", "hidden", "last", "kind", "peerId"] as const;

/** A room that one is or was a member of: a view of the client's state, always current. */
export class Room extends RoomValues<Room> {
  readonly id: string;
  readonly #client: Owner;
  readonly #timeline: Timeline;
  readonly #quotes: Quotes;
  readonly #reads: RoomReads;
  readonly #typing: Typing;
  readonly #snapshots: Snapshots;
  #emittedInfo: RoomInfo | undefined;
  /** Something that is in {@link info} may have changed. */
  #isInfoTouched = false;
  #isTouched = false;
  #knowsReceipts = false;
  /** It began with messages of an earlier client. */
  #isRestored = false;

  /** @internal */
  constructor(client: Owner, id: string) {
    super();
    this.#client = client;
    this.id = id;
    this.#reads = new RoomReads(client, id);
    this.#timeline = new Timeline(this.#reads, () => this.#touch());
    this.#quotes = new Quotes((seq) => this.#reads.message(seq), this.#reads.changesOf, () => this.#touch());
    this.#typing = new Typing(client, id, (userId, isTyping) => this.#happened("typing", { roomId: id, userId, isTyping }));
    this.#snapshots = new Snapshots(() => this.#state, () => this.#project());
  }

  // === Values ===

  /**
   * Calls `listener` when a value of the room was replaced, at most once for all that is received
   * at once. Returns a function that ends it. As long as `messages` is subscribed to, they are kept.
   */
  subscribe(slice: keyof RoomSlices, listener: () => void): () => void {
    if (slice === "messages" && this.#timeline.isLoaded) this.#used();
    return this.#snapshots.subscribe(slice, listener);
  }

  /** A value of the room: frozen, and identical until it changes. */
  getSnapshot<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name] {
    return this.#snapshots.read(slice);
  }

  /** Messages that are loaded, and after them those of one's own that are on their way. */
  get messages(): readonly ChatMessage[] {
    if (this.#timeline.isLoaded) this.#used();
    return this.getSnapshot("messages");
  }

  /** Whether there are messages to show: before that {@link loadLatest} is to be called. */
  get isLoaded(): boolean {
    return this.#timeline.isLoaded;
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
    await this.#reads.members();
    return this.members;
  }

  /**
   * Looks up which members are online, and keeps it up to date: {@link online}. The client emits `presence` for each who
   * comes or goes.
   */
  async watchPresence(): Promise<void> {
    const members = await this.loadMembers();
    await this.#client.watchPresence(members.map(({ userId }) => userId));
  }

  /** Ids of the members who are online, once {@link watchPresence} was called. */
  get online(): readonly string[] {
    return this.members.flatMap(({ userId }) => (this.#client.isOnline(userId) ? [userId] : []));
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
    this.#typing.send();
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

  /** Adds people, at most 40 at once. */
  async addMembers(userIds: readonly string[]): Promise<void> {
    await this.#client.change("addMembers", { roomId: this.id, userIds: [...userIds] });
  }

  /** Removes someone. */
  async removeMember(userId: string): Promise<void> {
    await this.#client.change("removeMember", { roomId: this.id, userId });
  }

  /** Gives a member another role. */
  async setRole(userId: string, role: Role): Promise<void> {
    await this.#client.change("setRole", { roomId: this.id, userId, role });
  }

  /** Changes its settings. What is left out stays as it is. */
  async update(settings: { title?: string; topic?: string }): Promise<void> {
    await this.#client.change("updateRoom", { roomId: this.id, ...settings });
  }

  /** Leaves it. */
  async leave(): Promise<void> {
    await this.#client.submit({ kind: "leave", roomId: this.id, payload: {} });
  }

  // === Inputs ===

  /** @internal The state of the room is not as it was. */
  stateChanged(before: RoomState, after: RoomState): void {
    this.#isInfoTouched ||= IN_INFO.some((part) => before[part] !== after[part]);
    if (before.typing !== after.typing) this.#typing.changed(before.typing, after.typing);
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
  types(signal: TypingSignal): void {
    this.#typing.received(signal);
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
    return this.#snapshots.hasListeners("messages") || this.hasListeners("change");
  }

  /** @internal Its newest messages, as far as they can be stored; null where none are loaded. */
  get end(): Window | undefined | null {
    return this.#timeline.isLoaded ? this.#timeline.end : null;
  }

  /** @internal Shows messages of an earlier client; events up to `reached` have been received since. Returns them, unless others are there. */
  restore(window: StoredWindow, reached: number): readonly ChatMessage[] | undefined {
    const messages = this.#timeline.restore(window, reached);
    this.#isRestored = true;
    this.#client.looked(this.id);
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
    this.#snapshots.notify();
    this.emit("change", this);
  }

  get #state(): RoomState {
    return this.#client.stateOf(this.id);
  }

  /** Its messages are shown. Those of an earlier client came without receipts. */
  #used(): void {
    this.#client.looked(this.id);
    if (!this.#isRestored || this.#knowsReceipts) return;
    this.#knowsReceipts = true;
    if (this.#client.state.status === "online") void this.#loadReceipts();
  }

  async #loads(load: Promise<void>): Promise<void> {
    this.#client.looked(this.id);
    await load;
  }

  #project(): Projection {
    const state = this.#state;
    return this.#client.project({
      roomId: this.id,
      userId: this.#client.userId,
      peerId: state.peerId,
      messages: this.#timeline.messages,
      isAtEnd: !this.#timeline.hasNewer,
      values: valuesOf(state),
    });
  }

  /** How far the others are; from then on receipts tell. */
  #loadReceipts(): Promise<void> {
    this.#knowsReceipts = true;
    return this.#reads.receipts();
  }

  #happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void {
    this.emit<keyof RoomChanges>(name, change);
    this.#client.happened(name, change);
  }

  /** Emits once for all that is received in one task. */
  #touch(): void {
    this.#snapshots.touch();
    this.#client.touched(this.id);
    if (this.#isTouched) return;
    this.#isTouched = true;
    queueMicrotask(() => this.flush());
  }
}

function seqOf(message: number | ChatMessage): number {
  const seq = typeof message === "number" ? message : message.seq;
  if (seq === undefined) throw new TypeError("the message is not acknowledged yet: it has no seq");
  return seq;
}
