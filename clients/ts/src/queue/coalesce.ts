import { isSameEmoji } from "../room/message.js";
import type { Command, NewCommand } from "./command.js";

/** How a new command affects queued ones. */
export interface Coalesced {
  /** Ids of queued commands replaced or cancelled by the new one. */
  drop: readonly string[];
  /** Whether to queue the new one at all. */
  keep: boolean;
  /** The queued command with the same effect as the new one. */
  same?: string;
}

const KEPT: Coalesced = { drop: [], keep: true };

/**
 * Merges a new command with the queued ones: the highest read mark wins, the latest hidden flag, and a
 * reaction and its removal cancel out unless the first may have been carried out. Only commands that
 * are not in flight, or were refused, are dropped.
 */
export function coalesce(queued: readonly Command[], next: NewCommand): Coalesced {
  const open = queued.filter(({ roomId, state }) => roomId === next.roomId && state !== "confirmed");
  const droppable = open.filter(({ state }) => state !== "sending");
  switch (next.kind) {
    case "markRead": {
      const { seq } = next.payload;
      const higher = open.find((command) => command.kind === "markRead" && command.state !== "failed" && command.payload.seq >= seq);
      if (higher) return { drop: [], keep: false, same: higher.id };
      return { drop: ids(droppable.filter(({ kind }) => kind === "markRead")), keep: true };
    }
    case "hide":
      return { drop: ids(droppable.filter(({ kind }) => kind === "hide")), keep: true };
    case "react":
    case "unreact": {
      const { seq, emoji } = next.payload;
      const same = open.filter(
        (command) =>
          (command.kind === "react" || command.kind === "unreact") &&
          command.payload.seq === seq &&
          isSameEmoji(command.payload.emoji, emoji),
      );
      const failed = same.filter(({ state }) => state === "failed");
      const last = same.filter(({ state }) => state !== "failed").at(-1);
      if (last?.kind === next.kind) return { drop: ids(failed), keep: false, same: last.id };
      if (last?.isNew) return { drop: ids([...failed, last]), keep: false };
      return { drop: ids(failed), keep: true };
    }
    case "edit": {
      // One that changes data has an effect beside its text.
      const isReplaced = (command: Command) =>
        command.kind === "edit" && command.payload.seq === next.payload.seq && !command.payload.data && !command.payload.unsetData;
      return { drop: ids(droppable.filter(isReplaced)), keep: true };
    }
    default:
      return KEPT;
  }
}

function ids(commands: readonly Command[]): string[] {
  return commands.map(({ id }) => id);
}
