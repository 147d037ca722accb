import type { LinkKey } from "@parlance/client/links";

import { layers } from "./layers.svelte";
import { tab } from "./storage";

/** The open place, according to the URL after its `#`. */
export type Place = { room: string } | { person: string } | { link: LinkKey } | undefined;

/** The place at an address, which is a URL from its `#` on. */
export const placeOf = (address: string): Place => {
  const [, kind, first, second] = /^#\/(room|person|join)\/([^/]+)(?:\/([^/]*))?\/*$/.exec(address) ?? [];
  if (!kind || !first || (kind !== "join" && second)) return undefined;
  try {
    const id = decodeURIComponent(first);
    if (kind !== "join") return kind === "room" ? { room: id } : { person: id };
    // Half of a link is one that no longer works, too.
    return { link: { roomId: id, secret: decodeURIComponent(second ?? "") } };
  } catch {
    return undefined;
  }
};

const parse = (): Place => placeOf(location.hash);

class Route {
  place = $state.raw<Place>(parse());

  constructor() {
    addEventListener("hashchange", () => (this.place = parse()));
  }

  /** Nothing is open or about to be: the URL is ahead of {@link place}. */
  get isEmpty(): boolean {
    return parse() === undefined;
  }

  /** Opens a place; `instead` of the current one, so that "back" does not return to it. */
  open(place: Place, { instead = false } = {}): void {
    layers.go(addressOf(place), instead);
    this.place = place;
  }
}

export const route = new Route();

const KEPT = "parlance:place";

/** Keeps the place of the URL for when this tab comes back from a sign-in page with a token, whose URL has none. */
export function keepPlace(): void {
  if (!route.isEmpty) tab.set(KEPT, location.hash);
}

/** Opens the place that was kept, unless the URL has one. */
export function openKeptPlace(): void {
  const kept = placeOf(tab.get(KEPT) ?? "");
  tab.remove(KEPT);
  if (kept && route.isEmpty) route.open(kept, { instead: true });
}

export function addressOf(place: Place): string {
  if (!place) return "#/";
  if ("link" in place) return `#/join/${encodeURIComponent(place.link.roomId)}/${encodeURIComponent(place.link.secret)}`;
  return "room" in place ? `#/room/${encodeURIComponent(place.room)}` : `#/person/${encodeURIComponent(place.person)}`;
}

/** The address of a place, to be given to others. */
export function urlOf(place: Place): string {
  return location.origin + location.pathname + addressOf(place);
}
