import type { ChatMessage, Room } from "@parlance/client";

import type { Chat } from "../lib/chat.svelte";
import type { Row } from "../lib/rows";
import { plainText } from "../lib/formatting.svelte";
import { isOfSystem, textOf } from "../lib/kinds";
import { texts } from "../lib/texts";

/** Announces a room's messages to screen readers. */
export class Announcements {
  readonly #chat: Chat;
  readonly #room: Room;
  readonly #say: (text: string) => void;
  /** Keys of the user's own messages already known to be refused. */
  #refused = new Set<string>();

  constructor(chat: Chat, room: Room, say: (text: string) => void) {
    [this.#chat, this.#room, this.#say] = [chat, room, say];
  }

  /** Announces newly refused messages. */
  refused(before: readonly Row[], now: readonly Row[]): void {
    const failed: ChatMessage[] = [];
    // Those without a seq are last.
    for (let index = now.length - 1; index >= 0 && now[index]!.message.seq === undefined; index -= 1) {
      const { message } = now[index]!;
      if (message.state === "failed") failed.push(message);
    }
    // Already known from an earlier visit.
    if (before.length > 0) {
      for (const { key, text, error = "" } of failed) if (!this.#refused.has(key)) this.#say(texts.timeline.refused(error, text));
    }
    this.#refused = new Set(failed.map(({ key }) => key));
  }

  /** Announces messages of others, but not those scrolled by. */
  written(before: readonly Row[], now: readonly Row[]): void {
    const newest = (all: readonly Row[]) => all.findLast(({ message }) => message.seq !== undefined)?.message;
    const message = newest(now);
    if (!message || message.seq! <= (newest(before)?.seq ?? 0)) return;
    if (message.senderId === this.#chat.userId || this.#room.hasNewer || this.#chat.hides(this.#room, message.senderId)) return;
    const { people } = this.#chat;
    const text = plainText(textOf(message), people);
    this.#say(isOfSystem(message) ? text : texts.timeline.saysNow(people.name(message.senderId), text));
  }
}
