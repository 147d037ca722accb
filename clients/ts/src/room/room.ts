import type { Timestamp } from "@bufbuild/protobuf/wkt";

import { Emitter } from "../emitter.js";
import { milliseconds } from "../errors.js";
import {
  type Event,
  type Gap,
  type InboxEntry,
  type Receipt,
  Role,
  RoomKind,
  type RoomSettings,
  type SendMessageResponse,
  type Typing,
} from "../gen/chat_pb.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { ConnectionState } from "../session/session.js";
import type { StoredMessage } from "../storage/storage.js";
import { type ChatMessage, changed, date, echo, messageOf, type MessageState, targetOf } from "./message.js";
import type { Draft } from "./outbox.js";
import { Timeline } from "./timeline.js";

/** At most one typing signal in this time goes out, however much is typed. */
const TYPING_EVERY_MS = 3_000;

const RECEIPTS_PAGE = 200;

/** Messages at the end among which one that was just sent is looked for. */
const RECENT = 200;

/** Whose room it is. */
export interface Owner {
  readonly userId: string;
  readonly state: ConnectionState;
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<ResponseOf<Name>>;
  send(draft: Draft): Promise<SendMessageResponse>;
  outgoing(roomId: string): readonly StoredMessage[];
  refresh(): Promise<void>;
}

interface RoomEvents {
  /** Anything of the room is not as it was: messages, unread count, title, who types. */
  change: Room;
}

/** A room that one is a member of, kept as it is now. */
export class Room extends Emitter<RoomEvents> {
  readonly id: string;
  readonly #client: Owner;
  readonly #timeline: Timeline;
  readonly #typing = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #receipts = new Map<string, { delivered: number; read: number }>();
  #knowsReceipts = false;
  #deliveredToOthers = 0;
  #readByOthers = 0;
  #shown: readonly ChatMessage[] | undefined;
  #typedAt = 0;

  kind: RoomKind = RoomKind.UNSPECIFIED;
  title = "";
  topic = "";
  /** In a direct room: the other one. */
  peerId = "";
  memberCount = 0;
  role: Role = Role.UNSPECIFIED;
  /** One is a member now. */
  isMember = true;
  /** One has hidden it, and there was no message since. */
  isHidden = false;
  /** Since when, as far as known; at least since when there is the room. */
  memberSince = new Date(0);
  headSeq = 0;
  messageCount = 0;
  /** How far one has read, on any device. */
  readSeq = 0;
  lastMessage: ChatMessage | undefined;
  #readCount = 0;
  /** Of the messages after the read mark, those that are deleted. */
  #deletedUnread = 0;
  /** Deletions up to here are in it. */
  #deletedCountedTo = 0;

  /** @internal */
  constructor(client: Owner, id: string) {
    super();
    this.#client = client;
    this.id = id;
    this.#timeline = new Timeline(
      {
        listMessages: ({ beforeSeq, afterSeq, pageSize }) =>
          client.call("listMessages", {
            roomId: id,
            beforeSeq: BigInt(beforeSeq ?? 0),
            afterSeq: afterSeq === undefined ? undefined : BigInt(afterSeq),
            pageSize,
          }),
        listEvents: ({ fromSeq, toSeq, pageSize }) =>
          client.call("listEvents", { roomId: id, fromSeq: BigInt(fromSeq), toSeq: BigInt(toSeq), pageSize }),
      },
      () => this.#touch(),
    );
  }

  /** Messages that are loaded, and after them those of one's own that are on their way. */
  get messages(): readonly ChatMessage[] {
    return (this.#shown ??= this.#show());
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

  /** Messages after one's read mark that are not deleted. */
  get unreadCount(): number {
    return Math.max(0, this.messageCount - this.#readCount - this.#deletedUnread);
  }

  /** Who types now, oneself left out. */
  get typing(): readonly string[] {
    return [...this.#typing.keys()];
  }

  /** How far a message has come. Of others' messages that is always `sent`. */
  stateOf({ state, seq, senderId }: ChatMessage): MessageState {
    if (seq === undefined || senderId !== this.#client.userId) return state;
    return seq <= this.#readByOthers ? "read" : seq <= this.#deliveredToOthers ? "delivered" : state;
  }

  /** Whom a message is known to have been read by. */
  readBy(seq: number): string[] {
    return [...this.#receipts].filter(([, { read }]) => read >= seq).map(([userId]) => userId);
  }

  /** Loads the end of the room and goes on with it. */
  loadLatest(): Promise<void> {
    void this.#loadReceipts();
    return this.#timeline.loadLatest();
  }

  /** Loads a page before what is loaded. */
  loadOlder(): Promise<void> {
    return this.#timeline.loadOlder();
  }

  /** Loads a page after what is loaded, where it was jumped to. */
  loadNewer(): Promise<void> {
    return this.#timeline.loadNewer();
  }

  /** Loads the surroundings of a message. */
  jumpTo(seq: number): Promise<void> {
    return this.#timeline.jumpTo(seq);
  }

  /** Sends a message; it is among {@link messages} at once. Resolves with its seq once it is durable. */
  async send(text: string, options: { replyToSeq?: number } = {}): Promise<number> {
    const sent = await this.#client.send({ roomId: this.id, text, ...options });
    return Number(sent.seq);
  }

  /** Replaces the text of one's own message. */
  async edit(seq: number, text: string): Promise<void> {
    await this.#client.call("editMessage", { roomId: this.id, seq: BigInt(seq), text });
  }

  /** Deletes a message. */
  async delete(seq: number): Promise<void> {
    await this.#client.call("deleteMessage", { roomId: this.id, seq: BigInt(seq) });
  }

  /** Adds a reaction of one's own. */
  async react(seq: number, emoji: string): Promise<void> {
    await this.#client.call("addReaction", { roomId: this.id, seq: BigInt(seq), emoji });
  }

  /** Takes it back. */
  async unreact(seq: number, emoji: string): Promise<void> {
    await this.#client.call("removeReaction", { roomId: this.id, seq: BigInt(seq), emoji });
  }

  /** Says that one is typing: call it at every key. */
  startTyping(): void {
    if (Date.now() - this.#typedAt < TYPING_EVERY_MS || this.#client.state.status !== "online") return;
    this.#typedAt = Date.now();
    this.#client.call("sendTyping", { roomId: this.id }).catch(() => {});
  }

  /** Marks the room read, up to a message or to its end. */
  async markRead(seq = this.headSeq): Promise<void> {
    if (seq <= this.readSeq) return;
    const { read } = await this.#client.call("markRead", { roomId: this.id, seq: BigInt(seq) });
    if (read) this.#read(Number(read.seq), Number(read.messageCount));
    // Which deleted messages are above the mark now, the inbox knows.
    if (this.#deletedUnread > 0) void this.#client.refresh();
    this.#touch();
  }

  /** Leaves it out of {@link Client.rooms} on all of one's devices until the next message, or puts it back. */
  async setHidden(hidden: boolean): Promise<void> {
    await this.#client.call("setRoomHidden", { roomId: this.id, hidden });
    await this.#client.refresh();
  }

  /** Leaves it. */
  async leave(): Promise<void> {
    await this.#client.call("leaveRoom", { roomId: this.id });
  }

  /** @internal As the inbox has it. */
  entry(entry: InboxEntry): void {
    const { room, membership, lastMessage, read } = entry;
    if (!room) return;
    this.kind = room.kind;
    this.#since(room.createdAt);
    this.#settings(room.settings);
    this.peerId = entry.peerId;
    this.memberCount = Number(room.memberCount);
    this.role = membership?.role ?? this.role;
    this.isMember = membership?.active ?? true;
    // A message that came meanwhile shows it.
    if (Number(room.messageCount) >= this.messageCount) this.isHidden = entry.hidden;
    this.headSeq = Math.max(this.headSeq, Number(room.headSeq));
    this.messageCount = Math.max(this.messageCount, Number(room.messageCount));
    if (read) this.#read(Number(read.seq), Number(read.messageCount));
    if (Number(room.headSeq) >= this.headSeq && Number(read?.seq ?? 0) >= this.readSeq) {
      this.#deletedUnread = this.messageCount - this.#readCount - Number(entry.unreadCount);
      this.#deletedCountedTo = this.headSeq;
    }
    if (lastMessage?.body.case === "message" && Number(lastMessage.seq) >= (this.lastMessage?.seq ?? 0)) {
      this.lastMessage = messageOf(lastMessage, lastMessage.body.value);
    }
    this.#touch();
  }

  /** @internal Of the time without a connection there were no signals. */
  resumed(): void {
    if (this.#knowsReceipts) void this.#loadReceipts();
  }

  /** @internal */
  event(event: Event): void {
    const seq = Number(event.seq);
    const own = event.actorId === this.#client.userId;
    this.headSeq = Math.max(this.headSeq, seq);
    this.messageCount = Math.max(this.messageCount, Number(event.messageCount));
    const { body } = event;
    switch (body.case) {
      case "message":
        this.lastMessage = messageOf(event, body.value);
        this.isHidden = false;
        this.#stopsTyping(event.actorId);
        // Whoever answers has read.
        if (own) this.#read(seq, Number(event.messageCount));
        break;
      case "messageDeleted":
        if (seq > this.#deletedCountedTo && Number(body.value.targetSeq) > this.readSeq) this.#deletedUnread++;
        this.#deletedCountedTo = Math.max(this.#deletedCountedTo, seq);
        break;
      case "roomCreated":
        this.kind = body.value.kind;
        this.#since(event.at);
        this.#settings(body.value.settings);
        break;
      case "roomChanged":
        this.#settings(body.value.settings);
        break;
      case "memberAdded":
        this.memberCount++;
        if (body.value.userId === this.#client.userId) {
          [this.isMember, this.role] = [true, body.value.role];
          this.#since(event.at);
        }
        break;
      case "memberRemoved":
        this.memberCount--;
        if (body.value.userId === this.#client.userId) this.isMember = false;
        break;
      case "roleChanged":
        if (body.value.userId === this.#client.userId) this.role = body.value.role;
        break;
    }
    const target = targetOf(event);
    if (target !== undefined && this.lastMessage?.seq === target) this.lastMessage = changed(this.lastMessage, event);
    this.#timeline.event(event);
    this.#touch();
  }

  /** @internal */
  gap(gap: Gap): void {
    this.#timeline.gap(gap);
  }

  /** @internal */
  types({ userId, expiresAfter }: Typing): void {
    if (userId === this.#client.userId) return;
    clearTimeout(this.#typing.get(userId));
    const stop = () => this.#stopsTyping(userId);
    this.#typing.set(userId, setTimeout(stop, expiresAfter ? milliseconds(expiresAfter) : 5_000));
    this.#touch();
  }

  /** @internal */
  receipt({ userId, deliveredSeq, readSeq }: Receipt): void {
    const [delivered, read] = [Number(deliveredSeq), Number(readSeq)];
    if (userId === this.#client.userId) {
      // Another device of one's own; how many messages that are, the inbox knows.
      if (read >= this.headSeq) this.#read(read, this.messageCount);
      else if (read > this.readSeq) void this.#client.refresh();
    } else {
      const before = this.#receipts.get(userId) ?? { delivered: 0, read: 0 };
      const after = { delivered: Math.max(before.delivered, delivered, read), read: Math.max(before.read, read) };
      this.#receipts.set(userId, after);
      this.#deliveredToOthers = Math.max(this.#deliveredToOthers, after.delivered);
      this.#readByOthers = Math.max(this.#readByOthers, after.read);
    }
    this.#touch();
  }

  /** @internal One of one's own messages is on its way, or no more. */
  outgoing(): void {
    this.#touch();
  }

  /** How far the others are; from then on receipts tell. */
  async #loadReceipts(): Promise<void> {
    this.#knowsReceipts = true;
    try {
      let pageToken = "";
      do {
        const page = await this.#client.call("listReceipts", { roomId: this.id, pageSize: RECEIPTS_PAGE, pageToken });
        for (const receipt of page.receipts) if (receipt.userId !== this.#client.userId) this.receipt(receipt);
        pageToken = page.nextPageToken;
      } while (pageToken);
    } catch {
      // Not a member any more, or closed: there is nobody to ask for.
    }
  }

  #show(): readonly ChatMessage[] {
    const { messages } = this.#timeline;
    const waiting = this.#client.outgoing(this.id);
    if (this.#timeline.hasNewer || waiting.length === 0) return messages;
    // Its event may come before its answer.
    const arrived = new Set(messages.slice(-RECENT).map((message) => message.key));
    const echoes = waiting.map((message) => echo(message, this.id, this.#client.userId));
    return [...messages, ...echoes.filter((message) => !arrived.has(message.key))];
  }

  #read(seq: number, count: number): void {
    if (seq < this.readSeq) return;
    this.readSeq = seq;
    this.#readCount = Math.max(this.#readCount, count);
    if (seq >= this.headSeq) this.#deletedUnread = 0;
  }

  #since(at: Timestamp | undefined): void {
    if (date(at) > this.memberSince) this.memberSince = date(at);
  }

  #settings(settings: RoomSettings | undefined): void {
    if (settings) [this.title, this.topic] = [settings.title, settings.topic];
  }

  #stopsTyping(userId: string): void {
    clearTimeout(this.#typing.get(userId));
    if (this.#typing.delete(userId)) this.#touch();
  }

  #touch(): void {
    this.#shown = undefined;
    this.emit("change", this);
  }
}
