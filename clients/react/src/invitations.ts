import type { Room } from "@parlance/client";
import { type Invitation, invitationsOf } from "@parlance/client/invitations";
import { useCallback, useEffect, useSyncExternalStore } from "react";

import { useClient } from "./provider.js";

/** The invitations that wait for the user's answer, and functions to answer them. */
export interface OwnInvitations {
  /** Latest first. Empty until they are loaded. */
  readonly invitations: readonly Invitation[];
  /** Accepts the invitation to a room: the user is a member then. */
  accept(roomId: string): Promise<Room>;
  /** Declines the invitation to a room. */
  decline(roomId: string): Promise<void>;
}

/** Returns the user's invitations, and loads them. */
export function useInvitations(): OwnInvitations {
  const own = invitationsOf(useClient());
  // Retried on the next connection.
  useEffect(() => void own.load().catch(() => {}), [own]);
  const subscribe = useCallback((changed: () => void) => own.on("change", changed), [own]);
  const snapshot = () => own.all;
  const invitations = useSyncExternalStore(subscribe, snapshot, snapshot);
  return { invitations, accept: (roomId) => own.accept(roomId), decline: (roomId) => own.decline(roomId) };
}
