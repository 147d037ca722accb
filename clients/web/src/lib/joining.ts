import { RefusedError } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { texts } from "./texts";
import { exactly } from "./time";

/** Joins a channel. Whoever is banned from it is told until when. */
export async function join(chat: Chat, roomId: string): Promise<void> {
  try {
    await chat.client.joinRoom(roomId);
  } catch (error) {
    if (!(error instanceof RefusedError) || error.reason !== "banned") throw error;
    const { until } = error.metadata;
    throw new BannedError(until ? texts.closed.bannedUntil(exactly(new Date(until))) : texts.closed.banned);
  }
}

/** The user is banned from the room; the message says until when. */
export class BannedError extends Error {}
