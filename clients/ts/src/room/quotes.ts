import type { Event } from "../gen/chat_pb.js";
import type { MessageChange } from "../state/changes.js";
import type { ChatMessage } from "./message.js";
import type { Source } from "./source.js";

/** Maximum number of messages; the oldest read is evicted first. */
const MAX_KEPT = 200;

type QuoteSource = Pick<Source, "changesOf" | "shared"> & { message(seq: number): Promise<Event | undefined> };

/** Single messages outside the loaded window, such as those that others reply to. */
export class Quotes {
  readonly #source: QuoteSource;
  readonly #changed: () => void;
  /** Undefined while being read, or if unreadable. */
  #messages = new Map<number, ChatMessage | undefined>();
  /** Messages that missed events may have changed: they are read again. */
  readonly #outdated = new Set<number>();

  constructor(source: QuoteSource, changed: () => void) {
    [this.#source, this.#changed] = [source, changed];
  }

  get(seq: number): ChatMessage | undefined {
    if (this.#outdated.delete(seq) || !this.#messages.has(seq)) void this.#load(seq);
    return this.#messages.get(seq);
  }

  change(change: MessageChange): void {
    const message = this.#messages.get(change.target);
    if (message) this.#messages.set(change.target, this.#source.shared.changed(message, change));
  }

  /** Events were missed. */
  missed(): void {
    for (const seq of this.#messages.keys()) this.#outdated.add(seq);
  }

  clear(): void {
    this.#messages = new Map();
    this.#outdated.clear();
  }

  async #load(seq: number): Promise<void> {
    const messages = this.#messages;
    const { messageOf, messageWith, withForm } = this.#source.shared;
    messages.set(seq, messages.get(seq));
    const oldest = messages.size > MAX_KEPT ? messages.keys().next().value : undefined;
    if (oldest !== undefined) messages.delete(oldest);
    try {
      const event = await this.#source.message(seq);
      if (event?.body.case !== "message" || messages !== this.#messages) return;
      const form = messageOf(event, event.body.value);
      const held = messages.get(seq);
      messages.set(seq, held ? withForm(held, form) : messageWith(form, this.#source.changesOf(seq)));
      this.#changed();
    } catch {
      // No longer available, or from before the user joined.
    }
  }
}
