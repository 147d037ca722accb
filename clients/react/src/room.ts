import type { Room, RoomInfo, RoomMember, RoomReceipt, RoomSlices } from "@parlance/client";
import { useCallback, useEffect, useSyncExternalStore } from "react";

import { useConnection } from "./lists.js";
import { useClient } from "./provider.js";

/** Values shown for an unknown room. */
const NOTHING: { readonly [Name in Exclude<keyof RoomSlices, "info">]: RoomSlices[Name] } = {
  messages: Object.freeze([]),
  members: Object.freeze([]),
  receipts: Object.freeze([]),
  typing: Object.freeze([]),
};

const LISTS = ["rooms", "hiddenRooms", "archivedRooms"] as const;

/** Returns a room, for its methods; undefined while it is unknown. */
export function useRoom(roomId: string): Room | undefined {
  const client = useClient();
  const subscribe = useCallback(
    (changed: () => void) => {
      // The room may have appeared in any list.
      const offs = LISTS.map((list) => client.subscribe(list, changed));
      return () => offs.forEach((off) => off());
    },
    [client],
  );
  const snapshot = () => client.room(roomId);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** Returns a value of a room, and rerenders when it changes; undefined while the room is unknown. */
export function useRoomSlice<Name extends keyof RoomSlices>(room: Room | undefined, name: Name): RoomSlices[Name] | undefined {
  const subscribe = useCallback((changed: () => void) => room?.subscribe(name, changed) ?? (() => {}), [room, name]);
  const snapshot = () => room?.getSnapshot(name);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** Returns title, counts and other properties of a room; undefined while it is unknown. */
export function useRoomInfo(roomId: string): RoomInfo | undefined {
  return useRoomSlice(useRoom(roomId), "info");
}

/** Returns the members of a room by id, and loads them. Empty until they are loaded. */
export function useMembers(roomId: string): readonly RoomMember[] {
  const room = useRoom(roomId);
  const { status } = useConnection();
  useEffect(() => {
    // Retried on the next connection.
    if (status === "online" && room?.members.length === 0) room.loadMembers().catch(() => {});
  }, [room, status]);
  return useRoomSlice(room, "members") ?? NOTHING.members;
}

/** Returns how far the other members have received and read a room whose messages are shown. */
export function useReceipts(roomId: string): readonly RoomReceipt[] {
  return useRoomSlice(useRoom(roomId), "receipts") ?? NOTHING.receipts;
}

/** Returns the ids of the users typing in a room, except the user's own. */
export function useTyping(roomId: string): readonly string[] {
  return useRoomSlice(useRoom(roomId), "typing") ?? NOTHING.typing;
}
