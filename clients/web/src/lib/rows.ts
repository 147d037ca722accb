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
}

const NONE: readonly Note[] = [];

/** One row for each message: what stands before it belongs to it, so that rows and messages count alike. */
export function rowsOf(
  messages: readonly ChatMessage[],
  { userId, readSeq, isBeginning }: Reader,
  notes: readonly Note[] = [],
): Row[] {
  const isNew = ({ seq = 0, senderId }: ChatMessage) => readSeq !== undefined && seq > readSeq && senderId !== userId;
  let unread = messages.findIndex(isNew);
  // Before the first of a page, there may be more of it.
  if (unread === 0 && !isBeginning) unread = -1;
  let noted = 0;
  const notesUpTo = (seq: number) => {
    const from = noted;
    while (noted < notes.length && notes[noted]!.seq < seq) noted += 1;
    return from === noted ? NONE : notes.slice(from, noted);
  };
  return messages.map((message, index) => {
    const before = messages[index - 1];
    const notesBefore = notesUpTo(message.seq ?? Infinity);
    const notesAfter = index === messages.length - 1 ? notesUpTo(Infinity) : NONE;
    const startsDay = !before || dayOf(before.at) !== dayOf(message.at);
    const startsUnread = index === unread;
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
