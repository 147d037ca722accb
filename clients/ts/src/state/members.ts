import type { Event, Role } from "../gen/chat_pb.js";
import type { MemberInput } from "./inputs.js";

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
  readonly seq: number;
}

export const UNLISTED: Members = { byUser: new Map(), listedSeq: -1, missingTo: 0 };

/** Applies a complete list that includes all events up to `seq`; later changes are kept. */
export function membersAfterList(held: Members, listed: readonly MemberInput[], seq: number): Members {
  if (seq < held.listedSeq) return held;
  const byUser = new Map<string, MemberEntry>(listed.map(({ userId, role }) => [userId, { isMember: true, role, seq }]));
  for (const [userId, entry] of held.byUser) if (entry.seq > seq) byUser.set(userId, entry);
  return { ...held, byUser, listedSeq: seq };
}

export function membersAfterEvent(held: Members, { seq: eventSeq, body }: Event): Members {
  if (body.case !== "memberAdded" && body.case !== "memberRemoved" && body.case !== "roleChanged") return held;
  const seq = Number(eventSeq);
  const { userId } = body.value;
  const before = held.byUser.get(userId);
  if (seq <= Math.max(held.listedSeq, before?.seq ?? -1)) return held;
  const isMember = body.case !== "memberRemoved";
  const role = body.case === "memberRemoved" ? (before?.role ?? 0) : body.value.role;
  return { ...held, byUser: new Map(held.byUser).set(userId, { isMember, role, seq }) };
}

/** Events up to `seq` will not be received. */
export function membersHole(held: Members, seq: number): Members {
  return seq > held.missingTo && held.listedSeq >= 0 ? { ...held, missingTo: seq } : held;
}
