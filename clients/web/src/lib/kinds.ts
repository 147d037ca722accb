import type { ChatMessage } from "@parlance/client";

import { texts } from "./texts";

/** Whether the app says it about the room, rather than someone in it. */
export function isOfSystem({ kind }: ChatMessage): boolean {
  return kind === "system";
}

/** The name of a message's kind, if it is not one that is known here: its text is shown, with a hint. */
export function unknownKind({ kind, deleted }: ChatMessage): string | undefined {
  return deleted || kind === "text" || kind === "system" ? undefined : nameOfKind(kind);
}

/** The name that the app has given to a kind. */
export function nameOfKind(kind: string): string {
  return kind.replace(/^custom:/, "");
}

/** What a message says, where there is one line for it: its text, or its kind if it has none. */
export function textOf(message: ChatMessage): string {
  const kind = unknownKind(message);
  return message.text || (kind === undefined ? "" : texts.message.ofKind(kind));
}
