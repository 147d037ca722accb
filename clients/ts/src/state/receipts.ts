import type { ReceiptInput } from "./inputs.js";

/** Positions of others. They only move forward, so older news changes nothing. */
export interface Receipts {
  readonly byUser: ReadonlyMap<string, Receipt>;
  /** The furthest of all. */
  readonly delivered: number;
  readonly read: number;
}

export interface Receipt {
  readonly delivered: number;
  readonly read: number;
}

export const NO_RECEIPTS: Receipts = { byUser: new Map(), delivered: 0, read: 0 };

/** Applies receipts, except for the user's own. */
export function receiptsAfter(held: Receipts, receipts: readonly ReceiptInput[], self: string): Receipts {
  let byUser: Map<string, Receipt> | undefined;
  let { delivered, read } = held;
  for (const { userId, deliveredSeq, readSeq } of receipts) {
    if (userId === self) continue;
    const before = (byUser ?? held.byUser).get(userId) ?? { delivered: 0, read: 0 };
    // Everything read was also received.
    const after = { delivered: Math.max(before.delivered, deliveredSeq, readSeq), read: Math.max(before.read, readSeq) };
    if (after.delivered === before.delivered && after.read === before.read) continue;
    (byUser ??= new Map(held.byUser)).set(userId, after);
    [delivered, read] = [Math.max(delivered, after.delivered), Math.max(read, after.read)];
  }
  return byUser ? { byUser, delivered, read } : held;
}
