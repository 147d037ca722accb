import type { v1 } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { Pace } from "./pace";

type Change = NonNullable<v1.Event["body"]["case"]>;

/** However much changes. */
const LOAD_EVERY_MS = 1_000;

/** Loads what is listed about a room, and again after `changes` in it. Returns what ends that. */
export function follow(chat: Chat, roomId: string, changes: readonly Change[], failure: string, load: () => Promise<void>): () => void {
  void chat.attempt(failure, load);
  const again = new Pace(LOAD_EVERY_MS, () => void load().catch(() => {}));
  const off = chat.client.on("event", ({ roomId: of, body }) => of === roomId && body.case !== undefined && changes.includes(body.case) && again.soon());
  return () => {
    again.stop();
    off();
  };
}
