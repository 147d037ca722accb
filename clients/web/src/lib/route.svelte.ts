import { layers } from "./layers.svelte";

/** The open place, according to the URL after its `#`. */
export type Place = { room: string } | { person: string } | undefined;

const parse = (): Place => {
  const [, kind, id] = /^#\/(room|person)\/(.+)$/.exec(location.hash) ?? [];
  if (!kind || !id) return undefined;
  try {
    return kind === "room" ? { room: decodeURIComponent(id) } : { person: decodeURIComponent(id) };
  } catch {
    return undefined;
  }
};

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
  return "room" in place ? `#/room/${encodeURIComponent(place.room)}` : `#/person/${encodeURIComponent(place.person)}`;
}
