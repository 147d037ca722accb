import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

import { messageOf, RefusedError } from "../errors.js";
import type { DataChange, MessageKind } from "../room/message.js";
import type { OperationName } from "../session/operations.js";

/** The target of a message: a room, or a user. */
export type Target = { roomId: string } | { toUser: string };

/** What a message says. */
export interface Content {
  /** May be empty for a message of another kind that has data. */
  text: string;
  replyToSeq?: number;
  /** Mentions everyone in the room, which takes the permission `mentionAll`. */
  mentionAll?: boolean;
  /** Default: `text`. `system` takes the `service` scope. */
  kind?: MessageKind;
  /** Data of the app, at most 4 KiB. */
  data?: JsonObject;
}

/** A message to send. */
export type Draft = Target & Content & {
  /**
   * The message's id, 1 to 64 bytes, unique among the messages of its sender. A message sent again under
   * the same id, also after a restart, is stored once.
   */
  id?: string;
  /**
   * The highest known seq of the room when the message was first sent. Together with `id` it makes sending
   * again safe at any time; without it, for 15 minutes.
   */
  afterSeq?: number;
};

/** Payload of each kind of command. Plain values only: they are stored and sent between tabs. */
export interface Payloads {
  send: Content;
  edit: { seq: number; text: string } & DataChange;
  delete: { seq: number };
  react: { seq: number; emoji: string };
  unreact: { seq: number; emoji: string };
  markRead: { seq: number };
  hide: { hidden: boolean };
  join: Record<string, never>;
  leave: Record<string, never>;
  /** Any other change of the contract: rooms, members, roles, profile. `request` is its canonical JSON. */
  change: { operation: OperationName; request: JsonValue };
}

export type CommandKind = keyof Payloads;

/**
 * The progress of a command:
 * - `waiting`: not sent yet; discarding it undoes it.
 * - `sending`: in flight, or was when the page ended; it may have been carried out.
 * - `confirmed`: carried out; kept until its event has arrived, so that the view does not flicker.
 * - `failed`: refused permanently, see `error`.
 */
export type CommandState = "waiting" | "sending" | "confirmed" | "failed";

/** Why a command was refused. */
export interface CommandError {
  /** The server's reason (docs/errors.md); empty if there is none. */
  reason: string;
  /** For developers. */
  message: string;
  /** When the same change may succeed, in milliseconds since 1970, if the server says: after `slow_mode`. */
  retryAt?: number;
}

/** The error of a command that was refused with this. */
export function commandError(error: unknown): CommandError {
  const message = messageOf(error);
  if (!(error instanceof RefusedError)) return { reason: "", message };
  const { reason, retryDelayMs } = error;
  return { reason, message, ...(retryDelayMs !== undefined && { retryAt: Date.now() + retryDelayMs }) };
}

interface CommandOf<Kind extends CommandKind> {
  /** Its `client_message_id` or `request_id`: the same on every attempt. */
  readonly id: string;
  readonly kind: Kind;
  readonly payload: Payloads[Kind];
  /** The user who issued it, if known: nobody else sends it. */
  readonly userId?: string;
  /** The room that it changes; undefined for messages to a user and for changes without a room. */
  readonly roomId?: string;
  /** The recipient of a direct message whose room may not exist yet. */
  readonly toUser?: string;
  /** The highest known seq of the room when it was first sent; before that, when it was issued. */
  readonly afterSeq?: number;
  /** It was never sent: unknown for commands left by an earlier page or process. */
  readonly isNew?: true;
  /** The epoch of the room that its seqs belong to, if known. */
  readonly epoch?: number;
  /** When it was issued, in milliseconds since 1970; unique within the queue, and its sort key. */
  readonly writtenAt: number;
  readonly state: CommandState;
  readonly error?: CommandError;
  /** Once confirmed: its event, if there is one. */
  readonly seq?: number;
}

/** A change that is being delivered to the server. Immutable: each step creates a new one. */
export type Command = { [Kind in CommandKind]: CommandOf<Kind> }[CommandKind];
/** A command of one kind. */
export type CommandFor<Kind extends CommandKind> = Extract<Command, { kind: Kind }>;

/** A command before the queue has accepted it. `id` is generated if missing. */
export type NewCommand = {
  [Kind in CommandKind]: { id?: string; kind: Kind; payload: Payloads[Kind]; roomId?: string; toUser?: string };
}[CommandKind];

/** Whether it still has to be carried out. */
export function isPending({ state }: Command): boolean {
  return state === "waiting" || state === "sending";
}

/**
 * Commands of one lane are sent one after the other. Read marks have their own: they only move forward,
 * and need not wait for a throttled message.
 */
export function laneOf({ kind, roomId, toUser }: Command, directRoom: (userId: string) => string | undefined): string {
  if (kind === "markRead") return `read/${roomId}`;
  const room = roomId ?? (toUser && directRoom(toUser));
  if (room) return `room/${room}`;
  return toUser === undefined ? "" : `user/${toUser}`;
}

/** A command that changes a message. */
export type MessageCommand = CommandFor<"edit" | "delete" | "react" | "unreact">;

export function changesMessage(command: Command): command is MessageCommand {
  return ["edit", "delete", "react", "unreact"].includes(command.kind);
}
