import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { v1 } from "../src/index.js";
import type { Input } from "../src/state/inputs.js";
import type { Random } from "./random.js";

export const SELF = "alice";
const OTHERS = ["bob", "carol", "dave", "erin"];
const EMOJI = ["👍", "🎉"];

interface Said {
  readonly event: v1.Event;
  text: string;
  deleted: boolean;
  changedSeq: number;
  reactions: { emoji: string; userIds: string[] }[];
}

/** A room as on a server: its log, and the knowledge of a client that has
 * received all of it. */
export class RoomLog {
  readonly events: v1.Event[] = [];
  readonly members = new Map<string, v1.Role>();
  /** Everyone who was a member at some time. */
  readonly former = new Set<string>();
  readonly messages: Said[] = [];
  readonly receipts = new Map<string, { delivered: number; read: number }>();
  /** When the mute of a user ends: 0 once it was lifted. */
  readonly silenced = new Map<string, number>();
  title = "";
  archived = false;
  hidden = false;
  read = { seq: 0, messageCount: 0, deletedCount: 0 };
  #messageCount = 0;
  #deletedCount = 0;

  constructor(
    readonly random: Random,
    readonly epoch = 1,
    readonly id = "r",
  ) {
    this.add({ case: "roomCreated", value: { kind: v1.RoomKind.GROUP, settings: { title: "first" } } }, SELF);
    this.title = "first";
    this.#member(SELF, v1.Role.OWNER);
    this.#member("bob", v1.Role.MEMBER);
  }

  get head(): number {
    return this.events.length;
  }

  get isMember(): boolean {
    return this.members.has(SELF);
  }

  get unreadCount(): number {
    return this.messages.filter(({ event, deleted }) => Number(event.seq) > this.read.seq && !deleted).length;
  }

  add(body: MessageInitShape<typeof v1.EventSchema>["body"], actorId: string): v1.Event {
    const seq = BigInt(this.head + 1);
    if (body?.case === "message") this.#messageCount++;
    if (body?.case === "messageDeleted") this.#deletedCount++;
    const event = create(v1.EventSchema, {
      roomId: this.id,
      seq,
      actorId,
      requestId: `${actorId}-${this.epoch}-${seq}`,
      messageCount: BigInt(this.#messageCount),
      deletedCount: BigInt(this.#deletedCount),
      ...(body && { body }),
    });
    this.events.push(event);
    return event;
  }

  say(actorId: string, text = `${this.epoch}/${this.head + 1}`): v1.Event {
    const event = this.add({ case: "message", value: { text } }, actorId);
    this.messages.push({ event, text, deleted: false, changedSeq: 0, reactions: [] });
    this.hidden = false;
    if (actorId === SELF) this.markRead(Number(event.seq));
    return event;
  }

  markRead(seq: number): void {
    const event = this.events[seq - 1];
    if (!event || seq <= this.read.seq) return;
    this.read = { seq, messageCount: Number(event.messageCount), deletedCount: Number(event.deletedCount) };
  }

  /** One step of any user. */
  step(): void {
    const { random } = this;
    const message = random.pick(random.chance(0.3) ? this.messages : this.messages.slice(-6));
    const actor = random.pick([...this.members.keys()]);
    switch (random.int(0, 10)) {
      case 0: {
        const user = random.pick(OTHERS);
        if (!this.members.has(user)) return this.#member(user, v1.Role.MEMBER);
        this.members.delete(user);
        return void this.add({ case: "memberRemoved", value: { userId: user } }, user);
      }
      case 1:
        this.title = `title ${this.head}`;
        this.archived = random.chance(0.3);
        return void this.add({ case: "roomChanged", value: { settings: { title: this.title, archived: this.archived } } }, SELF);
      case 2: {
        const user = random.pick([...this.members.keys()]);
        const role = random.pick([v1.Role.MEMBER, v1.Role.ADMIN]);
        this.members.set(user, role);
        return void this.add({ case: "roleChanged", value: { userId: user, role } }, SELF);
      }
      case 10: {
        const user = random.pick([...this.former]);
        if (this.silenced.get(user)) {
          this.silenced.set(user, 0);
          return void this.add({ case: "memberUnmuted", value: { userId: user } }, SELF);
        }
        const seconds = BigInt(this.head + 1);
        this.silenced.set(user, Number(seconds) * 1_000);
        return void this.add({ case: "memberMuted", value: { userId: user, until: { seconds } } }, SELF);
      }
      case 3:
        if (!message || message.deleted) return;
        return this.#change(message, { case: "messageEdited", value: { targetSeq: message.event.seq, text: `edited ${this.head}` } }, actor);
      case 4:
        if (!message || message.deleted) return;
        return this.#change(message, { case: "messageDeleted", value: { targetSeq: message.event.seq } }, actor);
      case 5:
        if (!message || message.deleted) return;
        return this.#react(message, random.pick(EMOJI), actor);
      default:
        return void this.say(actor);
    }
  }

  /** Its current inbox entry. */
  entry(order: number): Input {
    const last = this.messages.at(-1);
    const entry = create(v1.InboxEntrySchema, {
      room: {
        roomId: this.id,
        kind: v1.RoomKind.GROUP,
        settings: { title: this.title, archived: this.archived },
        headSeq: BigInt(this.head),
        messageCount: BigInt(this.#messageCount),
        memberCount: BigInt(this.members.size),
        epoch: BigInt(this.epoch),
      },
      membership: {
        userId: SELF,
        role: this.members.get(SELF) ?? v1.Role.UNSPECIFIED,
        active: this.isMember,
        ...(this.silenced.get(SELF) && { mute: { until: { seconds: BigInt(this.silenced.get(SELF)! / 1_000) } } }),
      },
      unreadCount: BigInt(this.unreadCount),
      read: { seq: BigInt(this.read.seq), messageCount: BigInt(this.read.messageCount) },
      hidden: this.hidden,
      ...(last && { lastMessage: shown(last) }),
    });
    return { type: "inbox", roomId: this.id, entry, order };
  }

  /** A message as on a server that knows the log up to `head`. */
  formAt(seq: number, head = this.head): v1.Event | undefined {
    const event = this.events[seq - 1];
    if (event?.body.case !== "message" || seq > head) return undefined;
    const said: Said = { event, text: event.body.value.text, deleted: false, changedSeq: 0, reactions: [] };
    for (const later of this.events.slice(seq, head)) fold(said, later);
    return shown(said);
  }

  /** Messages in their present form, as a {@link ChatMessage}. */
  get shown() {
    return this.messages.map(({ event, text, deleted, changedSeq, reactions }) => ({ seq: Number(event.seq), text, deleted, changedSeq, reactions }));
  }

  memberList(): Input {
    const members = [...this.former].map((userId) => ({
      userId,
      role: this.members.get(userId) ?? v1.Role.UNSPECIFIED,
      isMember: this.members.has(userId),
      silencedUntil: this.silenced.get(userId) ?? 0,
    }));
    return { type: "members", roomId: this.id, members, seq: this.head, epoch: this.epoch };
  }

  receipt(userId: string, deliveredSeq: number, readSeq: number): Input {
    const before = this.receipts.get(userId) ?? { delivered: 0, read: 0 };
    const delivered = Math.max(before.delivered, deliveredSeq, readSeq);
    this.receipts.set(userId, { delivered, read: Math.max(before.read, readSeq) });
    return { type: "receipts", roomId: this.id, receipts: [{ userId, deliveredSeq, readSeq }] };
  }

  /** The knowledge of a client that has received all of it. */
  get truth() {
    const last = this.messages.at(-1);
    return {
      title: this.title,
      isArchived: this.archived,
      memberCount: this.members.size,
      role: this.members.get(SELF),
      silencedUntil: this.silenced.get(SELF) ?? 0,
      isMember: this.isMember,
      headSeq: this.head,
      messageCount: this.#messageCount,
      readSeq: this.read.seq,
      unreadCount: this.unreadCount,
      isHidden: this.hidden,
      last: last && { seq: Number(last.event.seq), text: last.text, deleted: last.deleted, reactions: last.reactions },
      receipts: Object.fromEntries([...this.receipts].sort()),
      members: Object.fromEntries([...this.members].sort()),
      silenced: Object.fromEntries([...this.members].map(([userId]) => [userId, this.silenced.get(userId) ?? 0]).sort()),
    };
  }

  #member(userId: string, role: v1.Role): void {
    this.members.set(userId, role);
    this.former.add(userId);
    this.add({ case: "memberAdded", value: { userId, role } }, SELF);
  }

  #change(message: Said, body: MessageInitShape<typeof v1.EventSchema>["body"], actorId: string): void {
    fold(message, this.add(body, actorId));
  }

  #react(message: Said, emoji: string, userId: string): void {
    const isThere = message.reactions.find((reaction) => reaction.emoji === emoji)?.userIds.includes(userId);
    this.#change(message, { case: isThere ? "reactionRemoved" : "reactionAdded", value: { targetSeq: message.event.seq, emoji } }, userId);
  }
}

/** A message after a later event, folded like on a server. */
function fold(message: Said, { seq, actorId, body }: v1.Event): void {
  if (!("value" in body) || !body.value || !("targetSeq" in body.value) || body.value.targetSeq !== message.event.seq) return;
  message.changedSeq = Number(seq);
  if (body.case === "messageEdited") message.text = body.value.text;
  else if (body.case === "messageDeleted") Object.assign(message, { text: "", deleted: true, reactions: [] });
  else if ("emoji" in body.value) {
    const { emoji } = body.value;
    const users = new Set(message.reactions.find((reaction) => reaction.emoji === emoji)?.userIds);
    if (body.case === "reactionAdded") users.add(actorId);
    else users.delete(actorId);
    const others = message.reactions.filter((reaction) => reaction.emoji !== emoji);
    const reactions = users.size > 0 ? [...others, { emoji, userIds: [...users].sort() }] : others;
    message.reactions = reactions.sort((a, b) => (a.emoji < b.emoji ? -1 : 1));
  }
}

/** A message in its present form. */
function shown({ event, text, deleted, changedSeq, reactions }: Said): v1.Event {
  const value = create(v1.MessageSchema, { text, deleted, reactions, changedSeq: BigInt(changedSeq) });
  return create(v1.EventSchema, { ...event, body: { case: "message", value } });
}
