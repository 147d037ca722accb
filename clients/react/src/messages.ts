import type { ChatMessage, Room } from "@parlance/client";
import { useEffect, useState } from "react";

import { useRoom, useRoomSlice } from "./room.js";

/** The messages of a room, and functions to load more. */
export interface Messages {
  /** Loaded messages, followed by the user's own messages in flight. */
  readonly messages: readonly ChatMessage[];
  readonly hasOlder: boolean;
  readonly hasNewer: boolean;
  /** Why the last page could not be loaded. */
  readonly error: unknown;
  /** Loads the page before the loaded messages. */
  loadOlder(): Promise<void>;
  /** Loads the page after the loaded messages, unless they reach the end. */
  loadNewer(): Promise<void>;
  /** Loads the messages around this one. */
  jumpTo(seq: number): Promise<void>;
  /** Returns to the end of the room. */
  jumpToLatest(): Promise<void>;
}

const NONE: readonly ChatMessage[] = Object.freeze([]);

/** Returns the messages of a room, and loads the latest ones. They are kept while the component is mounted. */
export function useMessages(roomId: string): Messages {
  const room = useRoom(roomId);
  const messages = useRoomSlice(room, "messages") ?? NONE;
  const [failure, setFailure] = useState<{ room: Room; error: unknown }>();
  const load = async (what: (room: Room) => Promise<void>) => {
    if (!room) return;
    try {
      await what(room);
      setFailure(undefined);
    } catch (error) {
      setFailure({ room, error });
    }
  };
  useEffect(() => {
    if (room && !room.isLoaded) void load((room) => room.loadLatest());
    // `load` belongs to the same room.
  }, [room]);
  return {
    messages,
    hasOlder: room?.hasOlder ?? false,
    hasNewer: room?.hasNewer ?? false,
    error: failure?.room === room ? failure?.error : undefined,
    loadOlder: () => load((room) => room.loadOlder()),
    loadNewer: () => load((room) => room.loadNewer()),
    jumpTo: (seq) => load((room) => room.jumpTo(seq)),
    jumpToLatest: () => load((room) => room.loadLatest()),
  };
}
