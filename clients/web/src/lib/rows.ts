import type { ChatMessage } from "@parlance/client";

import { isOfSystem } from "./kinds";
import type { Note } from "./notes";
import { dayOf } from "./time";

/** Messages of one sender within this time are grouped under one name. */
const TOGETHER_MS = 5 * 60_000;

/** A message as displayed in the list. */
export interface Row {
  readonly message: ChatMessage;
  /** The first of its day: preceded by a heading. */
  readonly startsDay: boolean;
  /** The first one that was unread when the room was opened. */
  readonly startsUnread: boolean;
  /** Grouped with the previous one. */
  readonly continues: boolean;
  /** Events of the room since the previous message. */
  readonly before: readonly Note[];
  /** Events after it, if it is the last one. */
  readonly after: readonly Note[];
}

export interface Reader {
  readonly userId: string;
  /** The read position when the room was opened; undefined if everything was read. */
  readonly readSeq: number | undefined;
  /** Whether there are no earlier messages. */
  readonly isBeginning: boolean;
  /** Whether there are no later messages. */
  readonly isEnd: boolean;
}

const NONE: readonly Note[] = [];

/**
 * One row per message, which includes everything displayed before it, so that rows and messages correspond.
 * Unchanged rows of `known` are reused: the cost depends on what is new.
 */
export function rowsOf(
  messages: readonly ChatMessage[],
  { userId, readSeq, isBeginning, isEnd }: Reader,
  notes: readonly Note[] = [],
  known: readonly Row[] = [],
): Row[] {
  const isNew = ({ seq = 0, senderId }: ChatMessage) => seq > readSeq! && senderId !== userId;
  let unread = readSeq === undefined ? -1 : messages.findIndex(isNew);
  // Before the first of a page, there may be more unread ones.
  if (unread === 0 && !isBeginning) unread = -1;
  let noted = 0;
  const notesUpTo = (seq: number) => {
    const from = noted;
    while (noted < notes.length && notes[noted]!.seq < seq) noted += 1;
    return from === noted ? NONE : notes.slice(from, noted);
  };
  // Notes before the first message belong to messages that are not loaded.
  if (!isBeginning) notesUpTo(messages[0]?.seq ?? Infinity);
  const knownFrom = known.length === 0 ? -1 : messages.indexOf(known[0]!.message);
  return messages.map((message, index) => {
    const before = messages[index - 1];
    const notesBefore = notesUpTo(message.seq ?? Infinity);
    const notesAfter = index === messages.length - 1 && isEnd ? notesUpTo(Infinity) : NONE;
    const startsUnread = index === unread;
    const old = knownFrom < 0 ? undefined : known[index - knownFrom];
    const isSame =
      old?.message === message &&
      known[index - knownFrom - 1]?.message === before &&
      old.startsUnread === startsUnread &&
      areSame(old.before, notesBefore) &&
      areSame(old.after, notesAfter);
    if (isSame) return old;
    const startsDay = !before || dayOf(before.at) !== dayOf(message.at);
    const continues =
      !startsDay &&
      !startsUnread &&
      notesBefore.length === 0 &&
      before.senderId === message.senderId &&
      isOfSystem(before) === isOfSystem(message) &&
      message.replyToSeq === undefined &&
      message.at.getTime() - before.at.getTime() < TOGETHER_MS;
    return { message, startsDay, startsUnread, continues, before: notesBefore, after: notesAfter };
  });
}

function areSame(some: readonly Note[], others: readonly Note[]): boolean {
  return some === others || (some.length === others.length && some.every((note, index) => note === others[index]));
}

/** The rows of `all` that are in `next`, if one end of them is not; otherwise all. */
export function overlap(all: readonly Row[], next: readonly Row[]): readonly Row[] {
  const at = (rows: readonly Row[], row: Row | undefined) => rows.findIndex(({ message }) => message.key === row?.message.key);
  const from = at(next, all[0]) < 0 ? at(all, next[0]) : 0;
  const to = at(next, all.at(-1)) < 0 ? at(all, next.at(-1)) : all.length - 1;
  return from < 0 || to < 0 ? all : all.slice(from, to + 1);
}
