import type { ChatMessage, Client } from "@parlance/client";
import { SvelteMap } from "svelte/reactivity";

/** What is shown of a message that another one answers. */
export type Quoted = Pick<ChatMessage, "senderId" | "text" | "deleted">;

/** Quoted messages that are kept. Those in sight are asked for again once they are dropped. */
const MOST = 500;

/** Messages that are answered and not loaded themselves, each asked for once and kept as it is now. */
export class Quotes {
  readonly #client: Client;
  /** Undefined while the answer is under way, and where there is none to be had. */
  readonly #known = new SvelteMap<string, Quoted | undefined>();
  readonly #asked = new Set<string>();

  constructor(client: Client) {
    this.#client = client;
    // A deleted or changed text does not stay here.
    client.on("event", ({ roomId, body }) => {
      if (!body.value || !("targetSeq" in body.value)) return;
      const seq = Number(body.value.targetSeq);
      if (this.#asked.has(key(roomId, seq))) void this.#ask(roomId, seq);
    });
  }

  /** A message, as far as known; asked for if it was not yet. */
  of(roomId: string, seq: number): Quoted | undefined {
    const id = key(roomId, seq);
    if (!this.#asked.has(id)) {
      this.#asked.add(id);
      // Not now: the caller may be drawing.
      queueMicrotask(() => void this.#ask(roomId, seq));
    }
    return this.#known.get(id);
  }

  async #ask(roomId: string, seq: number): Promise<void> {
    const id = key(roomId, seq);
    try {
      const { message } = await this.#client.call("getMessage", { roomId, seq: BigInt(seq) });
      if (message?.body.case !== "message") return;
      const { text, deleted } = message.body.value;
      this.#known.set(id, { senderId: message.actorId, text, deleted });
    } catch {
      // From before one came: it is not one's to see.
    }
    for (const oldest of this.#asked) {
      if (this.#asked.size <= MOST) break;
      this.#asked.delete(oldest);
      this.#known.delete(oldest);
    }
  }
}

const key = (roomId: string, seq: number) => `${roomId}/${seq}`;

const all = new WeakMap<Client, Quotes>();

/** Those of a client. */
export function quotesOf(client: Client): Quotes {
  let quotes = all.get(client);
  if (!quotes) all.set(client, (quotes = new Quotes(client)));
  return quotes;
}

/** A loaded message by its place in the room. Messages are in the order of their seq, those without one last. */
export function messageAt(messages: readonly ChatMessage[], seq: number): ChatMessage | undefined {
  let [from, to] = [0, messages.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((messages[middle]!.seq ?? Infinity) < seq) from = middle + 1;
    else to = middle;
  }
  return messages[from]?.seq === seq ? messages[from] : undefined;
}
