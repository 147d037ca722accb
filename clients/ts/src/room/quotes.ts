import type { Event } from "../gen/chat_pb.js";
import { changed, type MessageChange, type MessageChanges, messageWith, withForm } from "../state/changes.js";
import { type ChatMessage, messageOf } from "./message.js";

/** Messages that are kept; the one that was read first goes first. */
const MAX_KEPT = 200;

/** Single messages outside of what is loaded: those that others answer. */
export class Quotes {
  readonly #fetch: (seq: number) => Promise<Event | undefined>;
  readonly #changesOf: (seq: number) => MessageChanges | undefined;
  readonly #changed: () => void;
  /** Undefined for those that are being read, or cannot be. */
  #messages = new Map<number, ChatMessage | undefined>();
  /** Those that may have been changed by what was not received: they are read again. */
  readonly #outdated = new Set<number>();

  constructor(
    fetch: (seq: number) => Promise<Event | undefined>,
    changesOf: (seq: number) => MessageChanges | undefined,
    changed: () => void,
  ) {
    [this.#fetch, this.#changesOf, this.#changed] = [fetch, changesOf, changed];
  }

  get(seq: number): ChatMessage | undefined {
    if (this.#outdated.delete(seq) || !this.#messages.has(seq)) void this.#load(seq);
    return this.#messages.get(seq);
  }

  change(change: MessageChange): void {
    const message = this.#messages.get(change.target);
    if (message) this.#messages.set(change.target, changed(message, change));
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
    messages.set(seq, messages.get(seq));
    const oldest = messages.size > MAX_KEPT ? messages.keys().next().value : undefined;
    if (oldest !== undefined) messages.delete(oldest);
    try {
      const event = await this.#fetch(seq);
      if (event?.body.case !== "message" || messages !== this.#messages) return;
      const form = messageOf(event, event.body.value);
      const held = messages.get(seq);
      messages.set(seq, held ? withForm(held, form) : messageWith(form, this.#changesOf(seq)));
      this.#changed();
    } catch {
      // Gone, or from before one came: it is not to be had.
    }
  }
}
