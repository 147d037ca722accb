import { type Event, type Gap, GapReason, type InboxEntry, Role, type Room, RoomKind, type RoomPreferences } from "../gen/chat_pb.js";
import { date, messageOf } from "../room/message.js";
import { changesAfterEvent } from "./changes.js";
import type { RoomInput } from "./inputs.js";
import { lastAfter, lastAfterChange } from "./last-message.js";
import { memberChange, membersAfterEvent, membersAfterList, membersHole } from "./members.js";
import { receiptsAfter } from "./receipts.js";
import { emptyRoom, type Membership, NO_TYPING, type RoomState, settingsOf } from "./room-state.js";
import { endOf } from "./until.js";
import { coverEvent, coverHole, coverSnapshot, type Head, type Marks, moveMark, UNMARKED } from "./unread.js";
import { type Counter, countHole, countSnapshot, countStep, fromEvent, fromSnapshot, UNCOUNTED, type Versioned } from "./versioned.js";

/** Between two seqs: after every snapshot at the first, before the event of the second. */
const BETWEEN = 0.5;

/** The room after an input; itself if nothing changes. `self` is the client's user. */
export function applyToRoom(room: RoomState, input: RoomInput, self: string): RoomState {
  switch (input.type) {
    case "gap":
      return afterGap(room, input.gap);
    case "inbox":
      return afterEntry(room, input.entry, input.order);
    case "room":
      return afterSnapshot(room, input.room, { ...room.membership.value, isMember: input.role !== Role.UNSPECIFIED, role: input.role });
    case "unlisted":
      if (room.membership.seq > input.headSeq || room.head.seq > input.headSeq || !room.membership.value.isMember) return room;
      return withoutMembership(room, input.headSeq + BETWEEN);
    case "hidden":
      if (input.order < room.hidden.order) return room;
      return { ...room, hidden: { isHidden: input.hidden, messageCount: room.head.messageCount, order: input.order } };
    case "preferences":
      return afterPreferences(room, input.preferences, input.order);
    case "typing":
      if (input.userId === self) return room;
      return { ...room, typing: new Map(room.typing).set(input.userId, input.until) };
    case "typingExpired":
      return room.typing.get(input.userId) === input.until ? withoutTyping(room, input.userId) : room;
    default: {
      const current = inEpoch(room, ("epoch" in input ? input.epoch : undefined) ?? room.streamEpoch);
      return current ? ofEpoch(current, input, self) : room;
    }
  }
}

/** Inputs with seqs of the room's epoch. */
function ofEpoch(room: RoomState, input: Extract<RoomInput, { type: "event" | "history" | "read" | "receipts" | "members" }>, self: string): RoomState {
  switch (input.type) {
    case "event":
      return afterEvent(room, input.event, self);
    case "history":
      return input.events.reduce(withMessage, room);
    case "read":
      return withMarks(room, moveMark(room.marks, input.mark, room.head));
    case "receipts": {
      const receipts = receiptsAfter(room.receipts, input.receipts, self);
      return receipts === room.receipts ? room : { ...room, receipts };
    }
    case "members":
      return { ...room, members: membersAfterList(room.members, input.members, input.seq) };
  }
}

/** A new connection: transient signals do not survive the old one. */
export function reconnected(room: RoomState, streamEpoch: number | undefined): RoomState {
  const epoch = streamEpoch || room.streamEpoch;
  if (epoch === room.streamEpoch && room.typing.size === 0) return room;
  return { ...room, streamEpoch: epoch, typing: NO_TYPING };
}

/** Older by epoch; an unknown epoch is older than none. */
function isOlder(epoch: number, held: number): boolean {
  return epoch !== 0 && held !== 0 && epoch < held;
}

/**
 * The room in an epoch. Seqs of another epoch refer to other events: state with seqs is dropped,
 * except for what is shown until it is known again. Undefined for a superseded epoch.
 */
function inEpoch(room: RoomState, epoch: number): RoomState | undefined {
  if (isOlder(epoch, room.epoch)) return undefined;
  if (epoch === 0 || epoch === room.epoch) return room;
  return room.epoch === 0 ? { ...room, epoch } : restored(room, epoch);
}

function restored(room: RoomState, epoch: number): RoomState {
  return {
    ...emptyRoom(room.id),
    epoch,
    streamEpoch: room.streamEpoch,
    kind: room.kind,
    peerId: room.peerId,
    since: room.since,
    settings: { ...room.settings, seq: 0 },
    membership: { ...room.membership, seq: 0 },
    memberCount: { ...UNCOUNTED, base: room.memberCount.base },
    hidden: { ...room.hidden, messageCount: 0 },
    preferences: room.preferences,
    typing: room.typing,
  };
}

/** The room after the event of its deletion, which is the last of its epoch: nothing is left to read. */
function deleted(room: RoomState, seq: number): RoomState {
  const { head } = room;
  return withoutMembership({ ...restored(room, room.epoch), isDeleted: true, head, marks: { ...UNMARKED, readSeq: head.seq } }, seq);
}

/** A deleted room only returns in another epoch: answers to earlier requests do not bring it back. */
export function keepDeleted(before: RoomState, after: RoomState): RoomState {
  return before.isDeleted && after.isDeleted ? before : after;
}

function afterEvent(room: RoomState, event: Event, self: string): RoomState {
  const seq = Number(event.seq);
  const messageCount = Number(event.messageCount);
  const mark = { seq, messageCount, deletedCount: Number(event.deletedCount) };
  const head = headAfter(room.head, mark);
  const { body, actorId } = event;
  // Events before a first event were not received.
  const counter = seq === room.marks.coveredTo + 1 ? room.memberCount : countHole(room.memberCount, seq - 1);
  const deletes = body.case === "messageDeleted" ? Number(body.value.targetSeq) : undefined;
  let marks = coverEvent(room.marks, { ...mark, deletes });
  // Sending marks the room as read, importing does not.
  if (body.case === "message" && actorId === self && !body.value.sentAt) marks = moveMark(marks, mark, head);
  const next: RoomState = {
    ...withMessage(room, event),
    head,
    marks,
    receivedSeq: Math.max(room.receivedSeq, seq),
    memberCount: counterAfterEvent(counter, event),
    membership: membershipAfterEvent(room.membership, event, self),
    members: membersAfterEvent(room.members, event),
  };
  switch (body.case) {
    case "message":
      return withoutTyping(next, actorId);
    case "roomCreated":
      return { ...next, settings: fromEvent(room.settings, settingsOf(body.value.settings), seq), kind: body.value.kind, since: later(next.since, event) };
    case "roomDeleted":
      return deleted(next, seq);
    case "roomChanged":
      return { ...next, settings: fromEvent(room.settings, settingsOf(body.value.settings), seq) };
    case "memberAdded":
      if (body.value.userId === self) return { ...next, since: later(next.since, event) };
      return room.kind === RoomKind.DIRECT ? { ...next, peerId: body.value.userId } : next;
    default:
      return next;
  }
}

/** Applies an event about messages, pushed or read back. */
function withMessage(room: RoomState, event: Event): RoomState {
  const changes = changesAfterEvent(room.changes, event);
  const { body } = event;
  const last = body.case === "message" ? lastAfter(room.last, messageOf(event, body.value), changes) : lastAfterChange(room.last, event);
  return last === room.last && changes === room.changes ? room : { ...room, last, changes };
}

function counterAfterEvent(counter: Counter, { seq, body }: Event): Counter {
  if (body.case === "roomCreated") return countSnapshot(counter, 0, Number(seq));
  if (body.case === "memberAdded") return countStep(counter, Number(seq), 1);
  if (body.case === "memberRemoved") return countStep(counter, Number(seq), -1);
  return counter;
}

function membershipAfterEvent(before: Versioned<Membership>, { seq, body }: Event, self: string): Versioned<Membership> {
  // Events are pushed to members.
  const held = before.seq < 0 ? { value: { ...before.value, isMember: true }, seq: 0 } : before;
  const { userId, ...change } = memberChange(body) ?? {};
  return userId === self ? fromEvent(held, { ...held.value, ...change }, Number(seq)) : held;
}

function afterGap(before: RoomState, gap: Gap): RoomState {
  const epoch = Number(gap.epoch);
  if (isOlder(epoch, before.epoch)) return before;
  const isRestored = gap.reason === GapReason.RESTORED;
  // The inbox may have announced the new epoch before.
  const isKnown = epoch !== 0 && epoch === before.epoch;
  const room = isRestored && !isKnown ? restored(before, epoch) : (inEpoch(before, epoch) ?? before);
  const next = epoch > room.streamEpoch ? { ...room, streamEpoch: epoch } : room;
  const to = Number(gap.toSeq);
  if (to === 0) {
    // Open-ended: not a member, or temporarily unreadable, which changes nothing.
    return gap.reason === GapReason.NOT_MEMBER ? withoutMembership(next, Number(gap.fromSeq) - 1 + BETWEEN) : next;
  }
  return {
    ...next,
    head: isRestored ? headAfter(next.head, { seq: to, messageCount: 0 }) : next.head,
    marks: coverHole(next.marks, to),
    memberCount: countHole(next.memberCount, to),
    members: membersHole(next.members, to),
  };
}

function afterEntry(before: RoomState, entry: InboxEntry, order: number): RoomState {
  const { room: listed, membership, lastMessage, read, unreadCount } = entry;
  if (!listed || isOlder(Number(listed.epoch), before.epoch)) return before;
  const own = {
    isMember: membership?.active ?? true,
    role: membership?.role ?? before.membership.value.role,
    silencedUntil: endOf(membership?.mute),
  };
  const room = afterSnapshot(before, listed, own);
  const seq = Number(listed.headSeq);
  const messageCount = Number(listed.messageCount);
  const mark = { seq: Number(read?.seq ?? 0), messageCount: Number(read?.messageCount ?? 0) };
  const isNewest = order >= room.hidden.order;
  const marked = {
    ...room,
    peerId: entry.peerId || room.peerId,
    marks: coverSnapshot(room.marks, { seq, messageCount }, mark, Number(unreadCount)),
    hidden: isNewest ? { isHidden: entry.hidden, messageCount, order } : room.hidden,
    last: lastMessage ? withMessage(room, lastMessage).last : room.last,
    listedSeq: Math.max(room.listedSeq, seq),
  };
  return afterPreferences(marked, entry.preferences, order);
}

function afterPreferences(room: RoomState, preferences: RoomPreferences | undefined, order: number): RoomState {
  if (order < room.preferences.order) return room;
  const { pinned = false, muted = false, mutedUntil: until, markedUnread = false } = preferences ?? {};
  const unreadAt = markedUnread ? room.marks.readSeq : -1;
  return { ...room, preferences: { isPinned: pinned, mutedUntil: endOf(muted ? { until } : undefined), unreadAt, order } };
}

function afterSnapshot(before: RoomState, listed: Room, own: Membership): RoomState {
  const room = inEpoch(before, Number(listed.epoch));
  if (!room) return before;
  const seq = Number(listed.headSeq);
  return {
    ...room,
    head: headAfter(room.head, { seq, messageCount: Number(listed.messageCount) }),
    kind: listed.kind,
    since: Math.max(room.since, date(listed.createdAt).getTime()),
    settings: fromSnapshot(room.settings, settingsOf(listed.settings), seq),
    membership: fromSnapshot(room.membership, own, seq),
    memberCount: countSnapshot(room.memberCount, Number(listed.memberCount), seq),
  };
}

function headAfter(held: Head, { seq, messageCount }: Head): Head {
  if (seq <= held.seq && messageCount <= held.messageCount) return held;
  return { seq: Math.max(held.seq, seq), messageCount: Math.max(held.messageCount, messageCount) };
}

function later(since: number, { at }: Event): number {
  return Math.max(since, date(at).getTime());
}

function withoutMembership(room: RoomState, seq: number): RoomState {
  return { ...room, membership: fromEvent(room.membership, { ...room.membership.value, isMember: false }, seq) };
}

function withMarks(room: RoomState, marks: Marks): RoomState {
  return marks === room.marks ? room : { ...room, marks };
}

function withoutTyping(room: RoomState, userId: string): RoomState {
  if (!room.typing.has(userId)) return room;
  const typing = new Map(room.typing);
  typing.delete(userId);
  return { ...room, typing };
}
