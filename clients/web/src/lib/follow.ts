import type { v1 } from "@parlance/client";
import { onMount } from "svelte";

import type { Chat } from "./chat.svelte";
import { Refresh } from "./refresh";

type Change = NonNullable<v1.Event["body"]["case"]>;

/** Reads what is listed about a room, and again after `changes` in it. Must be called during the initialisation of a component. */
export function follow(chat: Chat, roomId: () => string, changes: readonly Change[], failure: string, read: (signal: AbortSignal) => Promise<void>): Refresh {
  const refresh = new Refresh(chat.client, read);
  onMount(() => {
    // Events may still arrive while the room is removed.
    const id = roomId();
    void chat.attempt(failure, () => refresh.now());
    const offs = [
      chat.client.on("event", ({ roomId: of, body }) => of === id && body.case !== undefined && changes.includes(body.case) && refresh.soon()),
      chat.client.on("gap", (gap) => gap.roomId === id && refresh.soon()),
    ];
    return () => {
      refresh.stop();
      for (const off of offs) off();
    };
  });
  return refresh;
}
