import type { ChatMessage } from "@parlance/client";

import type { Note } from "./notes";
import { dayOf } from "./time";

/** Messages of one sender within this time stand together, under one name. */
const TOGETHER_MS = 5 * 60_000;

/** A message as it stands in the list. */
export interface Row {
  readonly message: ChatMessage;
  /** The first of its day: a heading goes before it. */
  readonly startsDay: boolean;
  /** The first that was not read when the room was opened. */
  readonly startsUnread: boolean;
  /** Under the name of the one before. */
  readonly continues: boolean;
  /** What happened in the room since the message before. */
  readonly before: readonly Note[];
  /** What happened after it, where it is the last one. */
  readonly after: readonly Note[];
}

export interface Reader {
  readonly userId: string;
  /** What had been read when the room was opened; undefined where that was everything. */
  readonly readSeq: number | undefined;
  /** There is nothing before the first message. */
  readonly isBeginning: boolean;
  /** There is nothing after the last message. */
  readonly isEnd: boolean;
}

const NONE: readonly Note[] = [];

/**
 * One row for each message: what stands before it belongs to it, so that rows and messages count alike. Rows
 * of `known` that are as they were are the same objects: what is new costs, not what is there.
 */
export function rowsOf(
  messages: readonly ChatMessage[],
  { userId, readSeq, isBeginning, isEnd }: Reader,
  notes: readonly Note[] = [],
  known: readonly Row[] = [],
): Row[] {
  const isNew = ({ seq = 0, senderId }: ChatMessage) => seq > readSeq! && senderId !== userId;
  let unread = readSeq === undefined ? -1 : messages.findIndex(isNew);
  // Before the first of a page, there may be more of it.
  if (unread === 0 && !isBeginning) unread = -1;
  let noted = 0;
  const notesUpTo = (seq: number) => {
    const from = noted;
    while (noted < notes.length && notes[noted]!.seq < seq) noted += 1;
    return from === noted ? NONE : notes.slice(from, noted);
  };
  // What was noted before the first message belongs to messages that are not loaded.
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
      message.replyToSeq === undefined &&
      message.at.getTime() - before.at.getTime() < TOGETHER_MS;
    return { message, startsDay, startsUnread, continues, before: notesBefore, after: notesAfter };
  });
}

function areSame(some: readonly Note[], others: readonly Note[]): boolean {
  return some === others || (some.length === others.length && some.every((note, index) => note === others[index]));
}

/** Those of `all` that are in `next`, if one end of them is not; otherwise all. */
export function overlap(all: readonly Row[], next: readonly Row[]): readonly Row[] {
  const at = (rows: readonly Row[], row: Row | undefined) => rows.findIndex(({ message }) => message.key === row?.message.key);
  const from = at(next, all[0]) < 0 ? at(all, next[0]) : 0;
  const to = at(next, all.at(-1)) < 0 ? at(all, next.at(-1)) : all.length - 1;
  return from < 0 || to < 0 ? all : all.slice(from, to + 1);
}
