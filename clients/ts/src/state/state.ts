import { applyToRoom, keepDeleted, reconnected } from "./apply-room.js";
import type { Input } from "./inputs.js";
import { PersistentMap } from "./persistent-map.js";
import { emptyRoom, type RoomState } from "./room-state.js";

/** The confirmed state of a client. Immutable. */
export interface State {
  /** The client's user; empty before the first connection. */
  readonly userId: string;
  readonly rooms: PersistentMap<RoomState>;
  readonly presence: PersistentMap<Presence>;
}

export interface Presence {
  readonly online: boolean;
  readonly order: number;
}

export function emptyState(userId = ""): State {
  return { userId, rooms: new PersistentMap(), presence: new PersistentMap() };
}

/** The state after an input. Pure; the state itself if nothing changes. Older news never overwrites
 * newer. */
export function apply(state: State, input: Input): State {
  switch (input.type) {
    case "welcome": {
      const epochs = new Map(input.heads.map(({ roomId, epoch }) => [roomId, epoch]));
      let rooms = state.rooms.map((room) => reconnected(room, epochs.get(room.id)));
      for (const [roomId, epoch] of epochs) if (!rooms.get(roomId)) rooms = rooms.set(roomId, reconnected(emptyRoom(roomId), epoch));
      return rooms === state.rooms && input.userId === state.userId ? state : { ...state, userId: input.userId, rooms };
    }
    case "presence": {
      const { userId, online, order } = input;
      const held = state.presence.get(userId);
      if (held && (held.order > order || (held.online === online && held.order === order))) return state;
      return { ...state, presence: state.presence.set(userId, { online, order }) };
    }
    default: {
      const before = state.rooms.get(input.roomId) ?? emptyRoom(input.roomId);
      const after = keepDeleted(before, applyToRoom(before, input, state.userId));
      return after === before ? state : { ...state, rooms: state.rooms.set(input.roomId, after) };
    }
  }
}
