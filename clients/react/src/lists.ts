import type { ClientSlices, ConnectionState, RoomInfo, Unread } from "@parlance/client";
import { useCallback, useSyncExternalStore } from "react";

import { useClient } from "./provider.js";

/** Returns a value over all rooms, and rerenders when it changes. */
function useClientSlice<Name extends keyof ClientSlices>(name: Name): ClientSlices[Name] {
  const client = useClient();
  const subscribe = useCallback((changed: () => void) => client.subscribe(name, changed), [client, name]);
  const snapshot = () => client.getSnapshot(name);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** Returns the rooms that the user is a member of and has not hidden, most recent message first. */
export function useRooms(): readonly RoomInfo[] {
  return useClientSlice("rooms");
}

/** Returns the rooms that the user has hidden. */
export function useHiddenRooms(): readonly RoomInfo[] {
  return useClientSlice("hiddenRooms");
}

/** Returns the rooms that are only read until their owner or an admin takes that back. */
export function useArchivedRooms(): readonly RoomInfo[] {
  return useClientSlice("archivedRooms");
}

/** Returns the number of unread messages, and of rooms with unread messages. */
export function useUnread(): Unread {
  return useClientSlice("unread");
}

/** Returns the state of the connection. */
export function useConnection(): ConnectionState {
  return useClientSlice("connection");
}
