import type { Event, Role } from "../gen/chat_pb.js";
import type { MemberInput } from "./inputs.js";
import { endOf } from "./until.js";

/** Members of a room, once they were requested. */
export interface Members {
  /** By user id, including those who have left. */
  readonly byUser: ReadonlyMap<string, MemberEntry>;
  /** All members at this seq are included; -1 before they were requested. */
  readonly listedSeq: number;
  /** Changes up to here may be missing. */
  readonly missingTo: number;
}

/** A user's membership, and the seq at which it is valid. */
export interface MemberEntry {
  readonly isMember: boolean;
  readonly role: Role;
  readonly silencedUntil: number;
  readonly seq: number;
}

/** Changes that are kept before a list was read. */
const MAX_UNLISTED = 256;

export const UNLISTED: Members = { byUser: new Map(), listedSeq: -1, missingTo: 0 };

/** Applies a complete list that includes all events up to `seq`; later changes are kept. */
export function membersAfterList(held: Members, listed: readonly MemberInput[], seq: number): Members {
  if (seq < held.listedSeq) return held;
  const byUser = new Map<string, MemberEntry>(listed.map(({ userId, ...member }) => [userId, { ...member, seq }]));
  for (const [userId, entry] of held.byUser) if (entry.seq > seq) byUser.set(userId, entry);
  return { ...held, byUser, listedSeq: seq };
}

export function membersAfterEvent(held: Members, { seq: eventSeq, body }: Event): Members {
  const event = memberChange(body);
  if (!event) return held;
  const seq = Number(eventSeq);
  const { userId, ...change } = event;
  const before = held.byUser.get(userId);
  if (seq <= Math.max(held.listedSeq, before?.seq ?? -1)) return held;
  const after = { isMember: false, role: 0, silencedUntil: 0, ...before, ...change, seq };
  const byUser = new Map(held.byUser);
  // Moves to the end.
  byUser.delete(userId);
  byUser.set(userId, after);
  const [oldest] = byUser;
  if (held.listedSeq >= 0 || byUser.size <= MAX_UNLISTED || !oldest) return { ...held, byUser };
  byUser.delete(oldest[0]);
  return { ...held, byUser, missingTo: Math.max(held.missingTo, oldest[1].seq) };
}

/** What an event changes about one user. A mute stays with those who leave. */
export function memberChange(body: Event["body"]): ({ userId: string } & Partial<MemberEntry>) | undefined {
  switch (body.case) {
    case "memberAdded":
    case "roleChanged": {
      const { userId, role } = body.value;
      return { userId, role, isMember: true };
    }
    case "memberRemoved":
      return { userId: body.value.userId, isMember: false };
    case "memberMuted":
      return { userId: body.value.userId, silencedUntil: endOf(body.value) };
    case "memberUnmuted":
      return { userId: body.value.userId, silencedUntil: 0 };
    default:
      return undefined;
  }
}

/** Events up to `seq` will not be received. */
export function membersHole(held: Members, seq: number): Members {
  return seq > held.missingTo && held.listedSeq >= 0 ? { ...held, missingTo: seq } : held;
}
