import type { Client } from "@parlance/client";
import { SvelteMap } from "svelte/reactivity";

import { isFor } from "./text";

/** The last received mention of the user in each room. */
export class Mentions {
  readonly #seqs = new SvelteMap<string, number>();

  /** Mentions by users whom the user blocks do not count. */
  constructor(client: Client, userId: string, isBlocked: (userId: string) => boolean) {
    client.on("message", (message) => {
      const { roomId, seq, senderId } = message;
      if (seq !== undefined && senderId !== userId && !isBlocked(senderId) && isFor(message, userId)) this.#seqs.set(roomId, seq);
    });
  }

  /** The seq of the last message in a room that mentions the user; 0 for
   * none. */
  in(roomId: string): number {
    return this.#seqs.get(roomId) ?? 0;
  }
}
