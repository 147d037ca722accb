import type { JsonValue } from "@bufbuild/protobuf";

import type { OperationName } from "../session/operations.js";

/** Where a message goes: to a room, or to a person. */
export type Target = { roomId: string } | { toUser: string };

/** A message to send. */
export type Draft = Target & {
  text: string;
  replyToSeq?: number;
  /**
   * The message's own id, 1 to 64 bytes, unique among the messages of its sender. A message that is
   * sent under the same id again, also after a restart, is there once.
   */
  id?: string;
  /**
   * The highest seq of the room that was known when the message was first sent. Together with `id` it
   * makes sending again safe however late it happens; without it that holds for 15 minutes.
   */
  afterSeq?: number;
};

/** Payload of each kind of command. Plain values only: they are stored and sent between tabs. */
export interface Payloads {
  send: { text: string; replyToSeq?: number };
  edit: { seq: number; text: string };
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
 * How far a command has come:
 * - `waiting`: not on the wire yet; discarding it undoes it.
 * - `sending`: on the wire, or was when the page ended; it may have been carried out.
 * - `confirmed`: carried out; kept until its event has arrived, so that nothing flickers.
 * - `failed`: refused for good, see `error`.
 */
export type CommandState = "waiting" | "sending" | "confirmed" | "failed";

/** Why a command was refused. */
export interface CommandError {
  /** The server's reason (docs/errors.md); empty where it gave none. */
  reason: string;
  /** For a developer to read. */
  message: string;
}

interface CommandOf<Kind extends CommandKind> {
  /** Its `client_message_id` or `request_id`: the same on every attempt. */
  readonly id: string;
  readonly kind: Kind;
  readonly payload: Payloads[Kind];
  /** Who issued it, where that was known: nobody else sends it. */
  readonly userId?: string;
  /** The room that it changes; none for messages to a person and for changes without a room. */
  readonly roomId?: string;
  /** Of a message to a person with whom there may be no room yet. */
  readonly toUser?: string;
  /** The highest seq of the room that was known when it first went out; until then, when it was issued. */
  readonly afterSeq?: number;
  /** It was never on the wire: not known of what an earlier page or process has left. */
  readonly isNew?: true;
  /** The epoch of the room that the seqs in it belong to, where that was known. */
  readonly epoch?: number;
  /** When it was issued, in milliseconds since 1970; unique in its queue, and its order. */
  readonly writtenAt: number;
  readonly state: CommandState;
  readonly error?: CommandError;
  /** Once confirmed: the event that carries it, where there is one. */
  readonly seq?: number;
}

/** A change on its way to the server. Immutable: a step makes a new one. */
export type Command = { [Kind in CommandKind]: CommandOf<Kind> }[CommandKind];
/** A command of one kind. */
export type CommandFor<Kind extends CommandKind> = Extract<Command, { kind: Kind }>;

/** A command before the queue has taken it. `id` is chosen where there is none. */
export type NewCommand = {
  [Kind in CommandKind]: { id?: string; kind: Kind; payload: Payloads[Kind]; roomId?: string; toUser?: string };
}[CommandKind];

/** Whether it has still to be carried out. */
export function isPending({ state }: Command): boolean {
  return state === "waiting" || state === "sending";
}

/**
 * Commands of one lane go out one after the other. Read marks have their own: they only move
 * forward, and need not wait for a message that is throttled.
 */
export function laneOf({ kind, roomId, toUser }: Command): string {
  if (kind === "markRead") return `read/${roomId}`;
  if (roomId !== undefined) return `room/${roomId}`;
  return toUser === undefined ? "" : `user/${toUser}`;
}

/** A command that changes a message. */
export type MessageCommand = CommandFor<"edit" | "delete" | "react" | "unreact">;

export function changesMessage(command: Command): command is MessageCommand {
  return ["edit", "delete", "react", "unreact"].includes(command.kind);
}
