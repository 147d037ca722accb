import type { Event, Gap, Typing as TypingSignal } from "../gen/chat_pb.js";
import type { Content } from "../queue/command.js";
import type { Projection } from "../queue/project.js";
import { changeOf } from "../state/changes.js";
import type { RoomState } from "../state/room-state.js";
import { RoomActions } from "./actions.js";
import { editOf, memberEventOf, type RoomChanges } from "./events.js";
import { type RoomInfo, type RoomMember, type RoomReceipt, valuesOf } from "./info.js";
import { type ChatMessage, type DataChange, messageOf, type MessageState } from "./message.js";
import type { Owner } from "./owner.js";
import type { RoomReads } from "./reads.js";
import { SHARED } from "./shared.js";
import { type RoomSlices, Snapshots } from "./snapshots.js";
import type { StoredWindow, Window } from "./timeline.js";
import { Typing } from "./typing.js";
import type { View } from "./view.js";

/** The parts that {@link RoomInfo} is derived from. */
const IN_INFO = ["head", "marks", "settings", "membership", "memberCount", "hidden", "preferences", "last", "kind", "peerId"] as const;

const NO_MESSAGES: readonly ChatMessage[] = [];

let views: typeof import("./view.js") | undefined;

/** @internal Loads what rooms need to show messages. */
export async function loadViews(): Promise<void> {
  views ??= await import("./view.js");
}

/** A room that the user is or was a member of: a view of the client's state, always current. */
export class Room extends RoomActions<Room> {
  /** Whom {@link Client.createRoom} has invited instead of adding them: strangers whose consent the server takes. */
  readonly invitedUserIds: readonly string[] = [];
  readonly #client: Owner;
  /** Its messages, once they were requested. */
  #view: View | undefined;
  readonly #typing: Typing;
  readonly #snapshots: Snapshots;
  #emittedInfo: RoomInfo | undefined;
  /** Whether something in {@link info} may have changed. */
  #isInfoTouched = false;
  #isTouched = false;
  #knowsReceipts = false;
  /** Loads that wait for the view. */
  #opening = 0;
  /** Counts releases: a load that waited for the view meanwhile is dropped. */
  #releases = 0;
  /** Whether it started with messages of an earlier client. */
  #isRestored = false;

  /** @internal */
  constructor(client: Owner, id: string) {
    super(client, id);
    this.#client = client;
    this.#typing = new Typing(client, id, (userId, isTyping) => this.#happened("typing", { roomId: id, userId, isTyping }));
    this.#snapshots = new Snapshots(() => this.#state, () => this.#project());
  }

  // === Values ===

  /**
   * Calls `listener` when a value of the room was replaced, at most once for everything received together. Returns a function that
   * unsubscribes. While `messages` is subscribed to, they are kept.
   */
  subscribe(slice: keyof RoomSlices, listener: () => void): () => void {
    if (slice === "messages" && this.isLoaded) this.#used();
    return this.#snapshots.subscribe(slice, listener);
  }

  /** A value of the room: frozen, and identical until it changes. */
  getSnapshot<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name] {
    return this.#snapshots.read(slice);
  }

  /** Loaded messages, followed by the user's own pending ones. */
  get messages(): readonly ChatMessage[] {
    if (this.isLoaded) this.#used();
    return this.getSnapshot("messages");
  }

  /** Whether there are messages to show: before that, call {@link loadLatest}. */
  get isLoaded(): boolean {
    return this.#view?.timeline.isLoaded ?? false;
  }

  get hasOlder(): boolean {
    return this.#view?.timeline.hasOlder ?? true;
  }

  get hasNewer(): boolean {
    return this.#view?.timeline.hasNewer ?? false;
  }

  get isLoading(): boolean {
    return this.#opening > 0 || (this.#view?.timeline.isLoading ?? false);
  }

  /** Users who are typing now, except for this user. */
  get typing(): readonly string[] {
    return this.getSnapshot("typing");
  }

  /** Positions of other members, once {@link loadLatest} was called. */
  get receipts(): readonly RoomReceipt[] {
    return this.getSnapshot("receipts");
  }

  /** Members by id, once {@link loadMembers} was called. */
  get members(): readonly RoomMember[] {
    return this.getSnapshot("members");
  }

  /** The progress of a message. Always `sent` for messages of others. */
  stateOf({ state, seq, senderId }: ChatMessage): MessageState {
    if (seq === undefined || senderId !== this.#client.userId) return state;
    const { read, delivered } = this.#state.receipts;
    return seq <= read ? "read" : seq <= delivered ? "delivered" : state;
  }

  /** Users known to have read a message. */
  readBy(seq: number): string[] {
    return this.receipts.filter(({ readSeq }) => readSeq >= seq).map(({ userId }) => userId);
  }

  /**
   * A message by seq, such as one that another replies to: a loaded one, or it is read once and kept up to date. Undefined until it is
   * available (`change` is emitted then), and for messages that are not visible to the user.
   */
  message(seq: number): ChatMessage | undefined {
    const view = this.#opened;
    if (!view) loadViews().then(() => this.#touch(), () => {});
    return view?.message(seq);
  }

  // === Messages ===

  /** Loads the end of the room and follows it. */
  loadLatest(): Promise<void> {
    void this.#loadReceipts();
    return this.#loads(({ timeline }) => timeline.loadLatest());
  }

  /** Loads the page before the loaded messages. */
  loadOlder(): Promise<void> {
    return this.#loads(({ timeline }) => timeline.loadOlder());
  }

  /** Loads the page after the loaded messages, unless they reach the end. */
  loadNewer(): Promise<void> {
    return this.#loads(({ timeline }) => timeline.loadNewer());
  }

  /** Loads the messages around this one. */
  jumpTo(seq: number): Promise<void> {
    return this.#loads(({ timeline }) => timeline.jumpTo(seq));
  }

  /**
   * Records the message being viewed; undefined for the end. If very many are loaded, those far from it are dropped: {@link hasOlder} and
   * {@link hasNewer} report that there are more.
   */
  lookAt(seq: number | undefined): void {
    this.#view?.timeline.lookAt(seq);
  }

  /** Loads all members, and keeps them up to date from then on. */
  async loadMembers(): Promise<readonly RoomMember[]> {
    await (await this.#reads()).members();
    return this.members;
  }

  /**
   * Reads which members are online, and keeps {@link online} up to date. The client emits `presence` for each change.
   */
  async watchPresence(): Promise<void> {
    const members = await this.loadMembers();
    await this.#client.watchPresence(members.map(({ userId }) => userId));
  }

  /** Ids of the members who are online, once {@link watchPresence} was called. */
  get online(): readonly string[] {
    return this.members.flatMap(({ userId }) => (this.#client.isOnline(userId) ? [userId] : []));
  }

  /** Sends a message; it is in {@link messages} immediately. Resolves with its seq once it is durable. */
  async send(text: string, options: Omit<Content, "text"> = {}): Promise<number> {
    return (await this.#client.send({ roomId: this.id, text, ...options })).seq;
  }

  /** Replaces the text of one of the user's own messages, and sets or removes keys of its data. */
  async edit(message: number | ChatMessage, text: string, data: DataChange = {}): Promise<void> {
    await this.submit("edit", { seq: seqOf(message), text, ...data });
  }

  /** Deletes a message. */
  async delete(message: number | ChatMessage): Promise<void> {
    await this.submit("delete", { seq: seqOf(message) });
  }

  /** Adds a reaction. */
  async react(message: number | ChatMessage, emoji: string): Promise<void> {
    await this.submit("react", { seq: seqOf(message), emoji });
  }

  /** Removes a reaction. */
  async unreact(message: number | ChatMessage, emoji: string): Promise<void> {
    await this.submit("unreact", { seq: seqOf(message), emoji });
  }

  /** Signals that the user is typing: call it on every key. */
  startTyping(): void {
    this.#typing.send();
  }

  /** Marks the room as read, up to a message or to its end. */
  async markRead(seq = this.headSeq): Promise<void> {
    // Where everything is read the mark does not move, and would stay.
    if (seq <= this.readSeq) return this.isMarkedUnread ? this.setMarkedUnread(false) : undefined;
    await this.submit("markRead", { seq });
    this.flush();
  }

  // === Inputs ===

  /** @internal The state of the room has changed. */
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
    if (after.isDeleted) this.release();
    else if (before.marks.readSeq < after.marks.readSeq) {
      const { readSeq } = after.marks;
      this.#happened("read", { roomId: this.id, userId: this.#client.userId, deliveredSeq: readSeq, readSeq });
    }
    this.#touch();
  }

  /** @internal An event that is already part of the state. */
  event(event: Event): void {
    const change = changeOf(event);
    this.#view?.event(event, change);
    const member = memberEventOf(event);
    if (event.body.case === "message") this.#happened("message", messageOf(event, event.body.value));
    else if (change) this.#happened("edited", editOf(this.id, change));
    else if (member) this.#happened("member", member);
    else if (event.body.case === "roomDeleted") this.#happened("deleted", { roomId: this.id, seq: Number(event.seq), byUserId: event.actorId });
  }

  /** @internal */
  gap(gap: Gap, before: RoomState): void {
    const { epoch, members } = this.#state;
    const isRestored = epoch !== before.epoch;
    this.#view?.gap(gap, isRestored);
    if (isRestored && this.#knowsReceipts) void this.#loadReceipts();
    const hadMembers = before.members.listedSeq >= 0;
    if (hadMembers && members.listedSeq < members.missingTo) this.loadMembers().catch(() => {});
  }

  /** @internal */
  types(signal: TypingSignal): void {
    this.#typing.received(signal);
  }

  /** @internal Signals were missed while there was no connection. */
  resumed(): void {
    if (this.#knowsReceipts) void this.#loadReceipts();
  }

  /** @internal A pending command has changed. */
  queued(): void {
    this.#touch();
  }

  /** @internal Whether its messages or changes are subscribed to. */
  get isWatched(): boolean {
    return this.#snapshots.hasListeners("messages") || this.hasListeners("change");
  }

  /** @internal Its newest messages, as far as they can be stored; null if none are loaded. */
  get end(): Window | undefined | null {
    return this.#view?.timeline.isLoaded ? this.#view.timeline.end : null;
  }

  /** @internal Shows messages of an earlier client; events up to `reached` have been received since. Returns them, unless others are
   * loaded. */
  restore(window: StoredWindow, reached: number): readonly ChatMessage[] | undefined {
    const messages = this.#opened?.timeline.restore(window, reached);
    this.#isRestored = true;
    this.#client.looked(this.id);
    return messages;
  }

  /** @internal Drops its messages. */
  release(): void {
    this.#releases++;
    if (!this.isLoaded) return;
    this.#view?.release();
    this.#knowsReceipts = false;
    this.#touch();
  }

  /** @internal Emits pending changes now instead of at the end of the task. */
  flush(): void {
    if (!this.#isTouched) return;
    this.#isTouched = false;
    // Values without listeners are not computed.
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

  /** Its messages are shown. Those of an earlier client have no receipts. */
  #used(): void {
    this.#client.looked(this.id);
    if (!this.#isRestored || this.#knowsReceipts) return;
    this.#knowsReceipts = true;
    if (this.#client.state.status === "online") void this.#loadReceipts();
  }

  async #loads(load: (view: View) => Promise<void>): Promise<void> {
    this.#client.looked(this.id);
    const view = this.#opened ?? (await this.#open());
    if (view) await load(view);
  }

  /** The view, if what it needs was loaded. */
  get #opened(): View | undefined {
    return (this.#view ??= views && new views.View(new views.RoomReads(this.#client, this.id, SHARED), this.#state.marks.coveredTo, () => this.#touch()));
  }

  /** Undefined if the room was released meanwhile. */
  async #open(): Promise<View | undefined> {
    const releases = this.#releases;
    this.#opening++;
    this.#touch();
    try {
      await loadViews();
    } finally {
      this.#opening--;
      this.#touch();
    }
    return releases === this.#releases ? this.#opened : undefined;
  }

  async #reads(): Promise<RoomReads> {
    await loadViews();
    return new views!.RoomReads(this.#client, this.id, SHARED);
  }

  #project(): Projection {
    const state = this.#state;
    return this.#client.project({
      roomId: this.id,
      userId: this.#client.userId,
      peerId: state.peerId,
      messages: this.#view?.timeline.messages ?? NO_MESSAGES,
      isAtEnd: !this.hasNewer,
      values: valuesOf(state),
    });
  }

  /** Reads the positions of others; later changes arrive as receipts. */
  #loadReceipts(): Promise<void> {
    this.#knowsReceipts = true;
    return this.#reads().then((reads) => reads.receipts(), () => {});
  }

  #happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void {
    this.emit<keyof RoomChanges>(name, change);
    this.#client.happened(name, change);
  }

  /** Emits once for everything received in one task. */
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
  if (seq === undefined) throw new TypeError("the message has no seq yet");
  return seq;
}
