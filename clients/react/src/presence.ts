import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";

import { useClient } from "./provider.js";

/** Returns those of these people who are online, and keeps it up to date. */
export function useOnline(userIds: readonly string[]): readonly string[] {
  const client = useClient();
  // No user id has a space. The same list in another array is the same.
  const key = userIds.join(" ");
  const watched = useMemo(() => (key === "" ? [] : key.split(" ")), [key]);
  useEffect(() => {
    client.watchPresence(watched).catch(() => {});
  }, [client, watched]);
  const subscribe = useCallback(
    (changed: () => void) => {
      // Without a connection nobody is known to be online.
      const offs = [client.on("presence", changed), client.subscribe("connection", changed)];
      return () => offs.forEach((off) => off());
    },
    [client],
  );
  const snapshot = () => watched.filter((userId) => client.isOnline(userId)).join(" ");
  const online = useSyncExternalStore(subscribe, snapshot, snapshot);
  return useMemo(() => (online === "" ? [] : online.split(" ")), [online]);
}
