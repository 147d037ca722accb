import type { ClientEvents, RoomChanges } from "@parlance/client";
import { useEffect, useRef } from "react";

import { useClient } from "./provider.js";
import { useRoom } from "./room.js";

/** Calls `listener` of the latest render for events in any room. */
export function useClientEvent<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): void {
  const client = useClient();
  const latest = useLatest(listener);
  useEffect(() => client.on(name, (event) => latest.current(event)), [client, name, latest]);
}

/** Calls `listener` of the latest render for events in one room. */
export function useRoomEvent<Name extends keyof RoomChanges>(roomId: string, name: Name, listener: (event: RoomChanges[Name]) => void): void {
  const room = useRoom(roomId);
  const latest = useLatest(listener);
  useEffect(() => room?.on(name, (event) => latest.current(event as RoomChanges[Name])), [room, name, latest]);
}

function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}
