import { type Room, v1 } from "@parlance/client";

/** Why the user cannot send to a room for now; until when in milliseconds since 1970, Infinity if it does not end by itself. */
export interface Closing {
  readonly why: "silenced" | "slow";
  readonly until: number;
}

/** The reason at `now`, by the server's clock. The server decides: this only saves the attempt. */
export function closingOf(room: Room, userId: string, now: number): Closing | undefined {
  if (room.silencedUntil > now) return { why: "silenced", until: room.silencedUntil };
  const isBound = room.slowModeSeconds > 0 && room.role !== v1.Role.OWNER && room.role !== v1.Role.ADMIN;
  // Of a message that was refused nobody has to wait.
  const last = isBound ? room.messages.findLast(({ senderId, state }) => senderId === userId && state !== "failed") : undefined;
  const until = last ? last.at.getTime() + room.slowModeSeconds * 1_000 : 0;
  return until > now ? { why: "slow", until } : undefined;
}
