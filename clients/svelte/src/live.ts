import type { Room } from "@parlance/client";
import { createSubscriber } from "svelte/reactivity";

/** Minimum interval between updates of the view. */
const DRAW_EVERY_MS = 16;

const tracked = new WeakMap<Room, () => void>();

/** The room; templates and effects that read it through this rerun when anything in it changes. */
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
