import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";

import { useClient } from "./provider.js";

/** Returns those of these users who are online, and keeps the result up to
 * date. */
export function useOnline(userIds: readonly string[]): readonly string[] {
  const client = useClient();
  // User ids contain no space. An equal list in another array counts as the
  // same.
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
