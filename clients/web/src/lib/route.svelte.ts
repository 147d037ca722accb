import type { LinkKey } from "@parlance/client/links";

import { layers } from "./layers.svelte";

/** The open place, according to the URL after its `#`. */
export type Place = { room: string } | { person: string } | { link: LinkKey } | undefined;

/** The place at an address, which is a URL from its `#` on. */
export const placeOf = (address: string): Place => {
  const [, kind, first, second] = /^#\/(room|person|join)\/([^/]+)(?:\/([^/]+))?$/.exec(address) ?? [];
  if (!kind || !first || (kind === "join") !== (second !== undefined)) return undefined;
  try {
    const id = decodeURIComponent(first);
    return kind === "room" ? { room: id } : kind === "person" ? { person: id } : { link: { roomId: id, secret: decodeURIComponent(second!) } };
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

export function addressOf(place: Place): string {
  if (!place) return "#/";
  if ("link" in place) return `#/join/${encodeURIComponent(place.link.roomId)}/${encodeURIComponent(place.link.secret)}`;
  return "room" in place ? `#/room/${encodeURIComponent(place.room)}` : `#/person/${encodeURIComponent(place.person)}`;
}

/** The address of a place, to be given to others. */
export function urlOf(place: Place): string {
  return location.origin + location.pathname + addressOf(place);
}
