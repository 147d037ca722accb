import type { Room } from "@parlance/client";
import { createSubscriber } from "svelte/reactivity";

/** However much happens, it is drawn no more often than this. */
const DRAW_EVERY_MS = 16;

const tracked = new WeakMap<Room, () => void>();

/** The room; whatever reads it through this, in a template or an effect, runs again when anything of it changes. */
export function live(room: Room): Room {
  let track = tracked.get(room);
  if (!track) {
    track = createSubscriber((update) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const draw = () => {
        timer = undefined;
        update();
      };
      const off = room.on("change", () => (timer ??= setTimeout(draw, DRAW_EVERY_MS)));
      return () => {
        off();
        clearTimeout(timer);
      };
    });
    tracked.set(room, track);
  }
  track();
  return room;
}
