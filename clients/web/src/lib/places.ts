import type { ChatMessage } from "@parlance/client";

/** The scroll position in each room, as the key of the first visible message; none at the end. Kept as long as the
 * page. */
export const lastPlaces = new Map<string, string>();

/** The message that the draft of each room replies to. */
export const replies = new Map<string, ChatMessage>();
