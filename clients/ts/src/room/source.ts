import type { Event, ListMessagesResponse } from "../gen/chat_pb.js";
import type { MessageChanges } from "../state/changes.js";

const EVENTS_PAGE = 200;
/** Answers in a row that may know less of the room than was pushed. */
const MAX_TRIES = 5;

export type Page = Pick<ListMessagesResponse, "messages" | "hasMore" | "nextSeq" | "headSeq">;

/** The calls that a timeline makes. */
export interface Source {
  listMessages(bounds: { beforeSeq?: number; afterSeq?: number; pageSize: number }): Promise<Page>;
  listEvents(bounds: { fromSeq: number; toSeq: number; pageSize: number }): Promise<{ events: Event[]; nextFromSeq: bigint; headSeq: bigint }>;
  /** What is known to have changed a message, whatever form it comes in. */
  changesOf(seq: number): MessageChanges | undefined;
}

/** Reads a part of the log, as far as it is to be had. */
export async function readEvents(source: Source, from: number, to: number): Promise<{ events: Event[]; isWhole: boolean }> {
  const events: Event[] = [];
  let [next, tries] = [from, 0];
  try {
    while (next <= to && tries < MAX_TRIES) {
      const page = await source.listEvents({ fromSeq: next, toSeq: to, pageSize: EVENTS_PAGE });
      events.push(...page.events);
      const head = Number(page.headSeq) || to;
      // Where less is known than was pushed, the rest is asked for again.
      tries = head < to ? tries + 1 : 0;
      next = Number(page.nextFromSeq) || Math.max(next, Math.min(head, to) + 1);
    }
  } catch {
    // Refused for good: it ends before the hole, and says that there is more.
  }
  return { events, isWhole: next > to };
}
