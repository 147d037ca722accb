import type { Event, ListMessagesResponse } from "../gen/chat_pb.js";
import type { MessageChanges } from "../state/changes.js";
import type { Shared } from "./shared.js";

const EVENTS_PAGE = 200;
/** Consecutive answers that may be older than what was pushed. */
const MAX_TRIES = 5;

export type Page = Pick<ListMessagesResponse, "messages" | "hasMore" | "nextSeq" | "headSeq">;

/** What a timeline needs: the calls that it makes, and how it reads messages. */
export interface Source {
  listMessages(bounds: { beforeSeq?: number; afterSeq?: number; pageSize: number }): Promise<Page>;
  listEvents(bounds: { fromSeq: number; toSeq: number; pageSize: number }): Promise<{ events: Event[]; nextFromSeq: bigint; headSeq: bigint }>;
  /** The known changes of a message, independent of the form it is received in. */
  changesOf(seq: number): MessageChanges | undefined;
  readonly shared: Shared;
}

/** Reads a part of the log, as far as available. */
export async function readEvents(source: Source, from: number, to: number): Promise<{ events: Event[]; isWhole: boolean }> {
  const events: Event[] = [];
  let [next, tries] = [from, 0];
  try {
    while (next <= to && tries < MAX_TRIES) {
      const page = await source.listEvents({ fromSeq: next, toSeq: to, pageSize: EVENTS_PAGE });
      events.push(...page.events);
      const head = Number(page.headSeq) || to;
      // If the answer is older than what was pushed, the rest is requested again.
      tries = head < to ? tries + 1 : 0;
      next = Number(page.nextFromSeq) || Math.max(next, Math.min(head, to) + 1);
    }
  } catch {
    // Rejected: the result ends before the hole, and says that there is more.
  }
  return { events, isWhole: next > to };
}
