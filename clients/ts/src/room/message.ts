import type { JsonObject } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { Event, Message } from "../gen/chat_pb.js";

/**
 * What a message is: written by a user, said by the app about the room, or a kind that the app defines, such as `custom:order`.
 * Show the text of kinds that you do not know.
 */
export type MessageKind = "text" | "system" | `custom:${string}`;

/** The state of a message. */
export type MessageState =
  /** In flight, or waiting for a connection. */
  | "sending"
  /** Rejected: `error` says why. */
  | "failed"
  /** Durable. */
  | "sent"
  /** At least one other member has received it. */
  | "delivered"
  /** At least one other member has read it. */
  | "read";

/** A change of the app's data: other keys keep their values. */
export interface DataChange {
  /** Keys to set. */
  readonly data?: JsonObject;
  /** Keys to remove. One that is also in `data` is set. */
  readonly unsetData?: readonly string[];
}

/** A change to a message that the server has not confirmed. */
export interface PendingChange {
  /** Id of its command, for `Client.retry` and `Client.discard`. */
  readonly id: string;
  readonly kind: "edit" | "delete" | "react" | "unreact";
  /** A pending change is already displayed, a failed one is not. */
  readonly state: "pending" | "failed";
  /** Why it failed, for developers. */
  readonly error: string | undefined;
  /** For an edit: the new text. */
  readonly text: string | undefined;
}

/** A message in its present form. Immutable: a change creates a new value. */
export interface ChatMessage {
  /** Stays the same from the echo to the acknowledged message. */
  readonly key: string;
  readonly roomId: string;
  /** Its seq in the room; undefined until it is acknowledged. */
  readonly seq: number | undefined;
  readonly senderId: string;
  readonly kind: MessageKind;
  readonly text: string;
  /** Data of the app. */
  readonly data: JsonObject | undefined;
  /** When it was sent; of an imported message, in the system from which it comes. */
  readonly at: Date;
  readonly editedAt: Date | undefined;
  readonly deleted: boolean;
  /** The message that it replies to. */
  readonly replyToSeq: number | undefined;
  /** Whether it mentions everyone in the room: for the user like a mention of them. */
  readonly mentionsAll: boolean;
  readonly reactions: readonly { readonly emoji: string; readonly userIds: readonly string[] }[];
  /** Whether it has reached the room; `Room.stateOf` includes delivery and reading. */
  readonly state: "sending" | "failed" | "sent";
  readonly error: string | undefined;
  /** Pending changes, in order; absent if there are none. */
  readonly pending?: readonly PendingChange[];
  /** @internal The event that last changed it. */
  readonly changedSeq: number;
}

/** A message of the log, in any form. */
export function messageOf(event: Event, message: Message): ChatMessage {
  return {
    // The ids of imported messages are those of another system.
    key: event.actorId + "/" + (message.sentAt ? "/" + event.seq : event.requestId),
    roomId: event.roomId,
    seq: Number(event.seq),
    senderId: event.actorId,
    kind: (message.kind || "text") as MessageKind,
    text: message.text,
    data: message.data,
    at: date(message.sentAt ?? event.at),
    editedAt: message.editedAt && date(message.editedAt),
    deleted: message.deleted,
    replyToSeq: message.replyToSeq === 0n ? undefined : Number(message.replyToSeq),
    mentionsAll: message.mentionsAll,
    reactions: message.reactions.map(({ emoji, userIds }) => ({ emoji, userIds })),
    state: "sent",
    error: undefined,
    changedSeq: Number(message.changedSeq),
  };
}

/** Index of a seq among messages by ascending seq; -1 if absent. */
export function positionOf(messages: readonly ChatMessage[], seq: number): number {
  let [low, high] = [0, messages.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const at = messages[middle]?.seq ?? Number.POSITIVE_INFINITY;
    if (at === seq) return middle;
    if (at < seq) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Data with some keys removed, then some set. */
export function withData(data: JsonObject | undefined, { data: set, unsetData = [] }: DataChange): JsonObject | undefined {
  if (!set && unsetData.length === 0) return data;
  return { ...Object.fromEntries(Object.entries(data ?? {}).filter(([key]) => !unsetData.includes(key))), ...set };
}

type Reactions = ChatMessage["reactions"];

/** Whether two reactions are equal: variation selectors are ignored, since keyboards differ in them. */
export function isSameEmoji(a: string, b: string): boolean {
  return comparedEmoji(a) === comparedEmoji(b);
}

export function comparedEmoji(emoji: string): string {
  return emoji.replace(/[\uFE0E\uFE0F]/g, "");
}

export function withReaction(reactions: Reactions, emoji: string, userId: string): Reactions {
  const others = reactions.filter((reaction) => !isSameEmoji(reaction.emoji, emoji));
  const known = reactions.find((reaction) => isSameEmoji(reaction.emoji, emoji)) ?? { emoji, userIds: [] };
  // In the server's order.
  const userIds = [...known.userIds.filter((id) => id !== userId), userId].sort();
  return [...others, { ...known, userIds }].sort((a, b) => (a.emoji < b.emoji ? -1 : 1));
}

export function withoutReaction(reactions: Reactions, emoji: string, userId: string): Reactions {
  return reactions
    .map((reaction) =>
      isSameEmoji(reaction.emoji, emoji)
        ? { ...reaction, userIds: reaction.userIds.filter((id) => id !== userId) }
        : reaction,
    )
    .filter((reaction) => reaction.userIds.length > 0);
}

export function date(at: Timestamp | undefined): Date {
  return at ? new Date(Number(at.seconds) * 1000 + at.nanos / 1e6) : new Date(0);
}
