import type { ChatMessage } from "@parlance/client";

/** Where one was in each room, by the key of the first message that was seen; none at the end. As long as the page. */
export const lastPlaces = new Map<string, string>();

/** Which message the draft of each room answers. */
export const replies = new Map<string, ChatMessage>();
