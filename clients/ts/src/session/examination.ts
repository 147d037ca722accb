import { create } from "@bufbuild/protobuf";

import type { RefusedError } from "../errors.js";
import {
  type Event,
  type ListEventsResponse,
  type Message,
  OutcomeSchema,
  type Reply,
  ReplySchema,
} from "../gen/chat_pb.js";
import { type Asked, ask, idOf, roomOf } from "./operations.js";

const PAGE = 200;

/**
 * Determines whether a request was carried out when the server can no longer search for
 * it: pages through the room.
 */
export class Examination {
  #next: bigint;
  /** Its first and last event, as far as read. */
  #first: Event | undefined;
  #last: Event | undefined;
  readonly #to: bigint;

  private constructor(from: bigint, to: bigint) {
    this.#next = from;
    this.#to = to;
  }

  /** The search required by the refusal, if any. */
  static askedFor(error: RefusedError, operation: Asked): Examination | undefined {
    const { afterSeq } = operation.value as { afterSeq?: bigint };
    const head = error.metadata["head_seq"];
    if (error.reason !== "catch_up_first" || afterSeq === undefined || !head) return undefined;
    return new Examination(afterSeq + 1n, BigInt(head));
  }

  /** The next page to request. */
  page(operation: Asked): Asked {
    return ask("listEvents", { roomId: roomOf(operation), fromSeq: this.#next, toSeq: this.#to, pageSize: PAGE });
  }

  /**
   * Processes the page: returns the result of the request, if it is on it. "absent" once
   * everything was searched, with `afterSeq` moved there; undefined while there is more.
   */
  read(page: ListEventsResponse, operation: Asked, user: string): Reply["result"] | "absent" | undefined {
    const id = idOf(operation);
    // Imported messages have ids of the system that they come from.
    const own = page.events.filter((event) => event.actorId === user && event.requestId === id && !(event.body.value as Partial<Message> | undefined)?.sentAt);
    const first = (this.#first ??= own[0]);
    const last = (this.#last = own.at(-1) ?? this.#last);
    // Its events follow each other: behind one at the end of a page there may be more.
    const isCut = page.nextFromSeq !== 0n && last === page.events.at(-1);
    if (first && last && !isCut) {
      if (operation.case === "sendMessage") {
        const { roomId, seq, at, messageCount } = first;
        return create(ReplySchema, { result: { case: "sendMessage", value: { roomId, seq, at, messageCount, isRepeat: true } } }).result;
      }
      const outcome = create(OutcomeSchema, { seq: first.seq, lastSeq: last.seq, at: first.at, isRepeat: true });
      return { case: operation.case, value: { outcome } } as unknown as Reply["result"];
    }
    if (page.nextFromSeq !== 0n) {
      this.#next = page.nextFromSeq;
      return undefined;
    }
    (operation.value as { afterSeq?: bigint }).afterSeq = this.#to;
    return "absent";
  }
}
