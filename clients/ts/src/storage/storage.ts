/** A message that is not acknowledged yet, as it outlives a page. */
export interface StoredMessage {
  /** Its `client_message_id`. */
  id: string;
  /** Where it goes: one of the two. */
  roomId?: string;
  toUser?: string;
  text: string;
  replyToSeq?: number;
  /** The highest seq of the room that was known when it was written. */
  afterSeq?: number;
  /** When it was written, as `Date.now()` has it: they go out in this order. */
  writtenAt: number;
  /** Why it will not be tried again by itself. */
  failed?: string;
}

/** Keeps the messages of one user that are on their way. */
export interface Storage {
  load(): Promise<StoredMessage[]>;
  put(message: StoredMessage): Promise<void>;
  delete(id: string): Promise<void>;
}

/** Keeps them as long as the process lives. */
export class MemoryStorage implements Storage {
  readonly #messages = new Map<string, StoredMessage>();

  async load(): Promise<StoredMessage[]> {
    return [...this.#messages.values()];
  }

  async put(message: StoredMessage): Promise<void> {
    this.#messages.set(message.id, message);
  }

  async delete(id: string): Promise<void> {
    this.#messages.delete(id);
  }
}
