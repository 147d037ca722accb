import type { JsonObject } from "@bufbuild/protobuf";

import type { Event } from "../gen/chat_pb.js";
import { type ChatMessage, comparedEmoji, date, withoutReaction, withReaction } from "../room/message.js";

/** Messages of a room whose changes are kept for forms that arrive later; the first changed one is dropped first. */
const MAX_CHANGED = 128;

/** The effect of an event on a message. */
export interface MessageChange {
  readonly seq: number;
  readonly target: number;
  readonly kind: "text" | "deleted" | "added" | "removed";
  readonly userId: string;
  /** The text, or the emoji. */
  readonly value: string;
  /** For a text: the data after this and all earlier edits, and the edit that set it; undefined if none of them did. */
  readonly data?: { readonly value: JsonObject; readonly seq: number } | undefined;
  readonly at: Date;
}

/** Changes of one message: the latest of those that undo each other, in any order. */
export type MessageChanges = readonly MessageChange[];

/** Received changes in a room, by the seq of their message, the most recently changed one last. */
export type ChangesByMessage = ReadonlyMap<number, MessageChanges>;

export const UNCHANGED: ChangesByMessage = new Map();

/** For changed messages: the form that was received, and its later changes. */
const origins = new WeakMap<ChatMessage, { readonly form: ChatMessage; readonly changes: MessageChanges }>();

/** The effect of an event on a message; undefined for events without one. */
export function changeOf({ seq, actorId: userId, at, body }: Event): MessageChange | undefined {
  const of = (kind: MessageChange["kind"], target: bigint, value = ""): MessageChange => {
    return { seq: Number(seq), target: Number(target), kind, userId, value, at: date(at) };
  };
  switch (body.case) {
    case "messageEdited":
      return { ...of("text", body.value.targetSeq, body.value.text), data: body.value.data && { value: body.value.data, seq: Number(seq) } };
    case "messageDeleted":
      return of("deleted", body.value.targetSeq);
    case "reactionAdded":
      return of("added", body.value.targetSeq, body.value.emoji);
    case "reactionRemoved":
      return of("removed", body.value.targetSeq, body.value.emoji);
    default:
      return undefined;
  }
}

/** Keeps a change for later forms of its message that do not include it. */
export function changesAfterEvent(held: ChangesByMessage, event: Event): ChangesByMessage {
  const change = changeOf(event);
  if (!change) return held;
  const before = held.get(change.target) ?? [];
  const after = withChange(before, change);
  if (after === before) return held;
  const changes = new Map(held);
  // Moves to the end.
  changes.delete(change.target);
  changes.set(change.target, after);
  for (const target of changes.keys()) {
    if (changes.size <= MAX_CHANGED) break;
    changes.delete(target);
  }
  return changes;
}

/** A message in a received form, with its later changes. Changes included in the form have no effect. */
export function messageWith(form: ChatMessage, changes: MessageChanges = []): ChatMessage {
  const later = changes.filter(({ seq }) => seq > form.changedSeq);
  if (later.length === 0) return form;
  const message = later.sort((a, b) => a.seq - b.seq).reduce((message, change) => applied(message, change, form.changedSeq), form);
  origins.set(message, { form, changes: later });
  return message;
}

/** A message after one more change, which may be older than others. Itself if nothing changes. */
export function changed(message: ChatMessage, change: MessageChange): ChatMessage {
  const { form, changes } = originOf(message);
  if (change.seq <= form.changedSeq) return message;
  const after = withChange(changes, change);
  return after === changes ? message : messageWith(form, after);
}

/** A message after another form was received: the later form, with its later changes. */
export function withForm(message: ChatMessage, form: ChatMessage, changes: MessageChanges = []): ChatMessage {
  const held = originOf(message);
  const all = changes.reduce(withChange, held.changes);
  if (form.changedSeq > held.form.changedSeq) return messageWith(form, all);
  return all === held.changes ? message : messageWith(held.form, all);
}

function originOf(message: ChatMessage): { form: ChatMessage; changes: MessageChanges } {
  return origins.get(message) ?? { form: message, changes: [] };
}

function withChange(changes: MessageChanges, change: MessageChange): MessageChanges {
  const key = keyOf(change);
  const rival = changes.find((held) => held.kind === "deleted" || keyOf(held) === key);
  // A deleted message never changes again.
  if (rival?.kind === "deleted") return changes;
  if (change.kind === "deleted") return [change];
  const later = rival && rival.seq >= change.seq ? rival : change;
  // An edit without data leaves that of an earlier one.
  const data = (rival?.data?.seq ?? 0) >= (change.data?.seq ?? 0) ? rival?.data : change.data;
  if (later === rival && data === rival.data) return changes;
  return [...changes.filter((held) => held !== rival), data === later.data ? later : { ...later, data }];
}

/** Changes with the same key undo each other. */
function keyOf({ kind, userId, value }: MessageChange): string {
  return kind === "added" || kind === "removed" ? `${comparedEmoji(value)}/${userId}` : kind;
}

function applied(before: ChatMessage, { seq, kind, userId, value, data, at }: MessageChange, formSeq: number): ChatMessage {
  const message = { ...before, changedSeq: Math.max(before.changedSeq, seq) };
  switch (kind) {
    case "text":
      return { ...message, text: value, data: data && data.seq > formSeq ? data.value : before.data, editedAt: at };
    case "deleted":
      return { ...message, text: "", data: undefined, editedAt: undefined, deleted: true, reactions: [] };
    case "added":
      return { ...message, reactions: withReaction(message.reactions, value, userId) };
    case "removed":
      return { ...message, reactions: withoutReaction(message.reactions, value, userId) };
  }
}
