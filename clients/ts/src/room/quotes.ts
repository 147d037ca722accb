import type { Event } from "../gen/chat_pb.js";
import { type ChatMessage, changed, messageOf, targetOf } from "./message.js";

/** Messages that are kept; the one that was read first goes first. */
const MAX_KEPT = 200;

/** Single messages outside of what is loaded: those that others answer. */
export class Quotes {
  readonly #fetch: (seq: number) => Promise<Event | undefined>;
  readonly #changed: () => void;
  /** Undefined for those that are being read, or cannot be. */
  #messages = new Map<number, ChatMessage | undefined>();
  /** Changes that were received while a message was being read. */
  readonly #early = new Map<number, Event[]>();

  constructor(fetch: (seq: number) => Promise<Event | undefined>, changed: () => void) {
    this.#fetch = fetch;
    this.#changed = changed;
  }

  get(seq: number): ChatMessage | undefined {
    if (!this.#messages.has(seq)) void this.#load(seq);
    return this.#messages.get(seq);
  }

  event(event: Event): void {
    const target = targetOf(event);
    if (target === undefined || !this.#messages.has(target)) return;
    const message = this.#messages.get(target);
    if (message) this.#messages.set(target, changed(message, event));
    else this.#early.get(target)?.push(event);
  }

  clear(): void {
    this.#messages = new Map();
    this.#early.clear();
  }

  async #load(seq: number): Promise<void> {
    const messages = this.#messages;
    messages.set(seq, undefined);
    this.#early.set(seq, []);
    const oldest = messages.size > MAX_KEPT ? messages.keys().next().value : undefined;
    if (oldest !== undefined) messages.delete(oldest);
    try {
      const event = await this.#fetch(seq);
      if (event?.body.case !== "message" || messages !== this.#messages) return;
      messages.set(seq, (this.#early.get(seq) ?? []).reduce(changed, messageOf(event, event.body.value)));
      this.#changed();
    } catch {
      // Gone, or from before one came: it is not to be had.
    } finally {
      if (messages === this.#messages) this.#early.delete(seq);
    }
  }
}
