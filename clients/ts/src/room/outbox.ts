import type { SendMessageResponse } from "../gen/chat_pb.js";
import { randomId } from "../random.js";
import type { Session } from "../session/session.js";
import type { Storage, StoredMessage } from "../storage/storage.js";

/** Where a message goes: to a room, or to a person. */
export type Target = { roomId: string } | { toUser: string };

/** A message to send. */
export type Draft = Target & { text: string; replyToSeq?: number };

/** Messages on their way. Those to one place go out one after the other, so that they stay in order. */
export class Outbox {
  readonly #session: Session;
  readonly #storage: Storage;
  readonly #changed: (message: StoredMessage) => void;
  readonly #messages = new Map<string, StoredMessage>();
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #cancel = new Map<string, AbortController>();
  #writtenAt = 0;
  /** What was written before a reload goes first. */
  readonly #loaded: Promise<void>;

  constructor(session: Session, storage: Storage, changed: (message: StoredMessage) => void) {
    this.#session = session;
    this.#storage = storage;
    this.#changed = changed;
    this.#loaded = this.#load();
  }

  /** Those that are not acknowledged, in the order in which they were written. */
  get messages(): readonly StoredMessage[] {
    return [...this.#messages.values()];
  }

  /** Keeps a message and sends it. Resolves once it is durable, rejects once it is refused for good. */
  async send(draft: Draft): Promise<SendMessageResponse> {
    // Never the same: they go out in this order.
    this.#writtenAt = Math.max(Date.now(), this.#writtenAt + 1);
    const message: StoredMessage = { ...draft, id: randomId(), writtenAt: this.#writtenAt };
    this.#messages.set(message.id, message);
    this.#changed(message);
    await this.#loaded;
    // Without storage it is no worse than it would be without this line.
    await this.#storage.put(message).catch(() => {});
    return this.#enqueue(message);
  }

  /** Tries one again that was refused. */
  retry(id: string): Promise<SendMessageResponse> | undefined {
    const message = this.#messages.get(id);
    if (!message?.failed) return undefined;
    delete message.failed;
    this.#changed(message);
    return this.#enqueue(message);
  }

  /** Forgets one. It may have arrived: that cannot be undone here. */
  async discard(id: string): Promise<void> {
    this.#cancel.get(id)?.abort();
    const message = this.#messages.get(id);
    if (message) await this.#forget(message);
  }

  async #load(): Promise<void> {
    const stored = await this.#storage.load().catch(() => []);
    for (const message of stored.sort((a, b) => a.writtenAt - b.writtenAt)) {
      if (this.#messages.has(message.id)) continue;
      this.#messages.set(message.id, message);
      this.#changed(message);
      // Whoever waited for the answer is gone with the page.
      if (!message.failed) this.#enqueue(message).catch(() => {});
    }
  }

  #enqueue(message: StoredMessage): Promise<SendMessageResponse> {
    const place = message.roomId ?? `@${message.toUser}`;
    const before = this.#last.get(place) ?? Promise.resolve();
    const sent = before.then(() => this.#transmit(message));
    const settled = sent.catch(() => {});
    this.#last.set(place, settled);
    void settled.then(() => this.#last.get(place) === settled && this.#last.delete(place));
    return sent;
  }

  async #transmit(message: StoredMessage): Promise<SendMessageResponse> {
    const { id, text, roomId, toUser = "" } = message;
    const target = roomId === undefined ? ({ case: "toUser", value: toUser } as const) : ({ case: "roomId", value: roomId } as const);
    const cancel = new AbortController();
    this.#cancel.set(id, cancel);
    try {
      await this.#stamp(message, cancel.signal);
      const request = {
        target,
        text,
        clientMessageId: id,
        replyToSeq: BigInt(message.replyToSeq ?? 0),
        ...(message.afterSeq !== undefined && { afterSeq: BigInt(message.afterSeq) }),
      };
      const sent = await this.#session.call("sendMessage", request, cancel.signal);
      await this.#forget(message);
      return sent;
    } catch (error) {
      // What was only cut off is sent by the next page.
      if (!cancel.signal.aborted && this.#session.state.status !== "closed") {
        message.failed = error instanceof Error ? error.message : String(error);
        await this.#storage.put(message).catch(() => {});
        this.#changed(message);
      }
      throw error;
    } finally {
      this.#cancel.delete(id);
    }
  }

  /** Notes what is known of the room before it first goes out: a later page says the same. */
  async #stamp(message: StoredMessage, signal: AbortSignal): Promise<void> {
    if (message.roomId === undefined || message.afterSeq !== undefined) return;
    await this.#session.online(signal);
    const head = this.#session.head(message.roomId);
    if (!head) return;
    message.afterSeq = Number(head);
    await this.#storage.put(message).catch(() => {});
  }

  async #forget(message: StoredMessage): Promise<void> {
    this.#messages.delete(message.id);
    await this.#storage.delete(message.id).catch(() => {});
    this.#changed(message);
  }
}
