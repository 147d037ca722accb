import type { JsonObject } from "@bufbuild/protobuf";

import type { OperationName } from "../session/operations.js";
import { type ChatMessage, type PendingChange, positionOf, withData, withoutReaction, withReaction } from "../room/message.js";
import { changesMessage, type Command, type CommandFor, isPending, type MessageCommand } from "./command.js";

/** Values of a room, other than its messages, that the queue changes. */
export interface RoomValues {
  readonly headSeq: number;
  readonly readSeq: number;
  readonly unreadCount: number;
  readonly isHidden: boolean;
  readonly isMember: boolean;
  readonly isPinned: boolean;
  readonly mutedUntil: number;
  readonly isMarkedUnread: boolean;
}

/** Confirmed state of a room. */
export interface Confirmed {
  readonly roomId: string;
  /** The user whose view it is. */
  readonly userId: string;
  /** In a direct room: the other user, whose `toUser` messages are shown, too. */
  readonly peerId?: string;
  /** Loaded messages, by seq. */
  readonly messages: readonly ChatMessage[];
  /** Whether they reach the end of the room: only there are pending messages shown. */
  readonly isAtEnd: boolean;
  readonly values: RoomValues;
}

export interface Projection {
  readonly messages: readonly ChatMessage[];
  readonly values: RoomValues;
}

/** Number of confirmed messages at the end among which pending ones are searched for. */
const RECENT = 200;

/**
 * The room as seen by its user: the confirmed state with pending commands applied in order.
 * Pure; unaffected values are returned unchanged. A refused change leaves the confirmed state
 * and is marked on its message.
 */
export function project(confirmed: Confirmed, commands: readonly Command[]): Projection {
  const { roomId, peerId } = confirmed;
  const own = commands.filter((command) =>
    command.roomId !== undefined ? command.roomId === roomId : command.toUser !== undefined && command.toUser === peerId,
  );
  if (own.length === 0) return { messages: confirmed.messages, values: confirmed.values };
  return { messages: projectMessages(confirmed, own), values: projectValues(confirmed, own) };
}

function projectMessages({ messages, isAtEnd, roomId, userId }: Confirmed, commands: readonly Command[]): readonly ChatMessage[] {
  let result = messages;
  for (const command of commands) {
    if (!changesMessage(command)) continue;
    const at = positionOf(result, command.payload.seq);
    const before = result[at];
    if (!before) continue;
    const after = applied(before, command, userId);
    if (after !== before) result = result.with(at, after);
  }
  if (!isAtEnd) return result;
  // A message's event may arrive before its answer.
  const arrived = new Set(messages.slice(-RECENT).map(({ key }) => key));
  const echoes = commands.flatMap((command) => (command.kind === "send" ? [echo(command, roomId, userId)] : []));
  const missing = echoes.filter(({ key }) => !arrived.has(key));
  return missing.length === 0 ? result : [...result, ...missing];
}

function applied(message: ChatMessage, command: MessageCommand, userId: string): ChatMessage {
  // Its event is already part of the message.
  if (command.state === "confirmed" && message.changedSeq >= (command.seq ?? 0)) return message;
  // Its text is not lost with the message.
  if (message.deleted && command.state !== "failed") return message;
  const mark: PendingChange = {
    id: command.id,
    kind: command.kind,
    state: command.state === "failed" ? "failed" : "pending",
    error: command.error?.message,
    text: command.kind === "edit" ? command.payload.text : undefined,
  };
  const pending = command.state === "confirmed" ? message.pending : [...(message.pending ?? []), mark];
  const marked = pending === undefined ? message : { ...message, pending };
  if (command.state === "failed") return marked;
  switch (command.kind) {
    case "edit":
      return { ...marked, text: command.payload.text, data: withData(message.data, command.payload), editedAt: new Date(command.writtenAt) };
    case "delete":
      return { ...marked, text: "", data: undefined, deleted: true, reactions: [] };
    case "react":
      return { ...marked, reactions: withReaction(message.reactions, command.payload.emoji, userId) };
    case "unreact":
      return { ...marked, reactions: withoutReaction(message.reactions, command.payload.emoji, userId) };
  }
}

function projectValues({ values, messages, userId }: Confirmed, commands: readonly Command[]): RoomValues {
  let { readSeq, unreadCount, isHidden, isMember, isPinned, mutedUntil, isMarkedUnread } = values;
  for (const command of commands) {
    if (command.state === "failed") continue;
    if (command.kind === "markRead" && command.payload.seq > readSeq) {
      const { seq } = command.payload;
      unreadCount = seq >= values.headSeq ? 0 : Math.max(0, unreadCount - countBetween(messages, readSeq, seq));
      readSeq = seq;
      isMarkedUnread = false;
    } else if (command.kind === "hide") isHidden = command.payload.hidden;
    // The user's own message unhides the room, and marks everything before it as read.
    else if (command.kind === "send" && isPending(command)) [isHidden, isMarkedUnread, unreadCount, readSeq] = [false, false, 0, Math.max(readSeq, values.headSeq)];
    else if (command.kind === "leave") isMember = false;
    else if (command.kind === "join") isMember = true;
    else if (requestOf(command, "removeMember")?.["userId"] === userId) isMember = false;
    else {
      const { pinned, muted, mutedUntil: until, markedUnread } = requestOf(command, "setRoomPreferences") ?? {};
      isPinned = (pinned ?? isPinned) as boolean;
      isMarkedUnread = (markedUnread ?? isMarkedUnread) as boolean;
      if (muted !== undefined) mutedUntil = !muted ? 0 : until ? Date.parse(until as string) : Infinity;
    }
  }
  const after = { ...values, readSeq, unreadCount, isHidden, isMember, isPinned, mutedUntil, isMarkedUnread };
  return (Object.keys(after) as (keyof RoomValues)[]).every((key) => after[key] === values[key]) ? values : after;
}

/** The request of a queued change, if it is of this operation. */
function requestOf(command: Command, operation: OperationName): JsonObject | undefined {
  if (command.kind !== "change" || command.payload.operation !== operation) return undefined;
  const { request } = command.payload;
  return typeof request === "object" && request !== null && !Array.isArray(request) ? request : undefined;
}

/** Messages that are not deleted, after one seq and up to another. */
function countBetween(messages: readonly ChatMessage[], after: number, to: number): number {
  return messages.filter(({ seq, deleted }) => seq !== undefined && seq > after && seq <= to && !deleted).length;
}

/** The displayed form of a pending message. */
export function echo(command: CommandFor<"send">, roomId: string, senderId: string): ChatMessage {
  return {
    key: `${senderId}/${command.id}`,
    roomId,
    seq: undefined,
    senderId,
    kind: command.payload.kind ?? "text",
    text: command.payload.text,
    data: command.payload.data,
    at: new Date(command.writtenAt),
    editedAt: undefined,
    deleted: false,
    replyToSeq: command.payload.replyToSeq,
    mentionsAll: command.payload.mentionAll ?? false,
    reactions: [],
    state: command.state === "failed" ? "failed" : "sending",
    error: command.error?.message,
    changedSeq: 0,
  };
}
