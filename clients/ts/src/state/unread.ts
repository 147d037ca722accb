/**
 * The parts of the unread count: messages at the head, minus messages up to the read mark, minus
 * messages after the mark that were deleted. Each part is valid at a seq, and only moves forward.
 */
export interface Marks {
  /** The user's read position, over all devices. */
  readonly readSeq: number;
  /** Messages up to the mark; a lower bound unless {@link isExact}. */
  readonly readCount: number;
  readonly isExact: boolean;
  /** Deletions in the room up to the mark, if known. */
  readonly readDeleted: number | undefined;
  /** The inbox's count of deleted messages after a mark, at a head. */
  readonly base: { readonly readSeq: number; readonly headSeq: number; readonly deleted: number };
  /** Deletions after the mark of messages after the mark, received as events. */
  readonly deletions: readonly { readonly seq: number; readonly targetSeq: number }[];
  /** All events from here to the last received one were received. */
  readonly coveredFrom: number;
  /** The last event that was received, or skipped by a gap. */
  readonly coveredTo: number;
  /** Deletions in the room at `coveredTo`, if an event contained it. */
  readonly deletedCount: number | undefined;
}

/** Deletions that are kept: beyond that, the inbox has the count. */
const MAX_DELETIONS = 256;

export const UNMARKED: Marks = {
  readSeq: 0,
  readCount: 0,
  isExact: true,
  readDeleted: undefined,
  base: { readSeq: 0, headSeq: 0, deleted: 0 },
  deletions: [],
  coveredFrom: Number.MAX_SAFE_INTEGER,
  coveredTo: 0,
  deletedCount: undefined,
};

/** The head of a room. */
export interface Head {
  readonly seq: number;
  /** Messages up to there. */
  readonly messageCount: number;
}

/** A read mark, with the counts at it if known. */
export interface ReadMark {
  readonly seq: number;
  readonly messageCount?: number | undefined;
  readonly deletedCount?: number | undefined;
}

export function moveMark(marks: Marks, mark: ReadMark, head: Head): Marks {
  const { seq, messageCount, deletedCount } = mark;
  if (seq < marks.readSeq) return marks;
  if (seq === marks.readSeq) {
    const isBetter = (messageCount !== undefined && !marks.isExact) || (deletedCount !== undefined && marks.readDeleted === undefined);
    if (!isBetter) return marks;
    return {
      ...marks,
      readCount: messageCount ?? marks.readCount,
      isExact: marks.isExact || messageCount !== undefined,
      readDeleted: deletedCount ?? marks.readDeleted,
    };
  }
  const isAtHead = seq === head.seq;
  const known = messageCount ?? (seq >= head.seq ? head.messageCount : marks.readCount);
  return {
    ...marks,
    readSeq: seq,
    readCount: Math.max(marks.readCount, known),
    isExact: messageCount !== undefined || isAtHead,
    readDeleted: deletedCount,
    deletions: marks.deletions.filter(({ targetSeq }) => targetSeq > seq),
  };
}

/** An event was received: `deletes` is the message that it deletes. */
export function coverEvent(
  marks: Marks,
  event: { seq: number; messageCount: number; deletedCount: number; deletes: number | undefined },
): Marks {
  const { seq, messageCount, deletedCount, deletes } = event;
  let next = marks;
  if (seq > marks.coveredTo) {
    const follows = seq === marks.coveredTo + 1 && marks.coveredFrom <= seq;
    next = { ...next, coveredFrom: follows ? marks.coveredFrom : seq, coveredTo: seq, deletedCount };
  }
  next = countAt(next, seq, messageCount);
  if (deletes === undefined || deletes <= next.readSeq || next.deletions.some((deletion) => deletion.seq === seq)) return next;
  const deletions = [...next.deletions, { seq, targetSeq: deletes }];
  const dropped = deletions.length > MAX_DELETIONS ? deletions.shift() : undefined;
  return { ...next, deletions, coveredFrom: Math.max(next.coveredFrom, (dropped?.seq ?? 0) + 1) };
}

/** Events up to `seq` will not be received. */
export function coverHole(marks: Marks, seq: number): Marks {
  if (seq <= marks.coveredTo) return marks;
  return { ...marks, coveredFrom: seq + 1, coveredTo: seq, deletedCount: undefined };
}

/** Applies an inbox entry as of a head. */
export function coverSnapshot(marks: Marks, head: Head, mark: ReadMark, unreadCount: number): Marks {
  const next = countAt(moveMark(marks, mark, head), head.seq, head.messageCount);
  const { base } = next;
  const isNewer = head.seq > base.headSeq || (head.seq === base.headSeq && mark.seq >= base.readSeq);
  if (!isNewer) return next;
  const deleted = Math.max(0, head.messageCount - (mark.messageCount ?? 0) - unreadCount);
  return { ...next, base: { readSeq: mark.seq, headSeq: head.seq, deleted } };
}

/** A message count at a seq up to the mark: at least this many messages were read. */
function countAt(marks: Marks, seq: number, messageCount: number): Marks {
  if (marks.isExact || seq > marks.readSeq) return marks;
  return { ...marks, readCount: Math.max(marks.readCount, messageCount), isExact: seq === marks.readSeq };
}

/** Unread messages, and whether that is exact or has to be read again. */
export function unreadOf(marks: Marks, head: Head): { count: number; isExact: boolean } {
  if (marks.readSeq >= head.seq) return { count: 0, isExact: true };
  const { count, isExact } = deletedAfterMark(marks);
  return { count: Math.max(0, head.messageCount - marks.readCount - count), isExact: isExact && marks.isExact };
}

function deletedAfterMark(marks: Marks): { count: number; isExact: boolean } {
  const { base, readSeq, coveredFrom, coveredTo, deletions } = marks;
  // Everything after the mark was received.
  if (coveredTo >= base.headSeq && coveredFrom <= readSeq + 1) return { count: deletions.length, isExact: true };
  const later = deletions.filter(({ seq }) => seq > base.headSeq).length;
  const hasLater = coveredTo <= base.headSeq || coveredFrom <= base.headSeq + 1;
  if (base.readSeq === readSeq) return { count: base.deleted + later, isExact: hasLater };
  // None of the messages deleted by then is after the mark.
  if (base.readSeq < readSeq && (base.deleted === 0 || base.headSeq <= readSeq)) return { count: later, isExact: hasLater };
  if (marks.readDeleted !== undefined && marks.readDeleted === marks.deletedCount && coveredTo >= base.headSeq) {
    return { count: 0, isExact: true };
  }
  return { count: deletions.length, isExact: false };
}
