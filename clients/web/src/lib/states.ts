import type { MessageState } from "@parlance/client";

/** How far a message has come, in words. */
export const MESSAGE_STATES: Record<MessageState, string> = {
  sending: "Sending",
  failed: "Not sent",
  sent: "Sent",
  delivered: "Delivered",
  read: "Read",
};
