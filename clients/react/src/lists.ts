import type { ClientSlices, ConnectionState, RoomInfo, Unread } from "@parlance/client";
import { useCallback, useSyncExternalStore } from "react";

import { useClient } from "./provider.js";

/** Returns a value over all rooms, and renders again when it changes. */
function useClientSlice<Name extends keyof ClientSlices>(name: Name): ClientSlices[Name] {
  const client = useClient();
  const subscribe = useCallback((changed: () => void) => client.subscribe(name, changed), [client, name]);
  const snapshot = () => client.getSnapshot(name);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** Returns the rooms that one is a member of and has not hidden, the one with the latest message first. */
export function useRooms(): readonly RoomInfo[] {
  return useClientSlice("rooms");
}

/** Returns the rooms that one has hidden. */
export function useHiddenRooms(): readonly RoomInfo[] {
  return useClientSlice("hiddenRooms");
}

/** Returns how many messages are unread, and in how many rooms. */
export function useUnread(): Unread {
  return useClientSlice("unread");
}

/** Returns how the connection stands. */
export function useConnection(): ConnectionState {
  return useClientSlice("connection");
}
