import { type Client, type Room, v1 } from "@parlance/client";

import { Pace } from "./pace";

/** Looking through all rooms for those of two costs more than what happens in one. */
const INDEX_EVERY_MS = 250;

/**
 * The rooms that one is in, for what lists, counts or searches all of them. What happens in one room is
 * nothing to the others: all that comes at about the same time is taken at once.
 */
export class Rooms {
  /** The latest first, without the hidden ones. */
  all = $state.raw<readonly Room[]>([]);
  hidden = $state.raw<readonly Room[]>([]);
  /** Direct rooms by the user id of the other one, the hidden ones too. */
  direct = $state.raw<ReadonlyMap<string, Room>>(new Map());
  /** Unread messages in all rooms of the list. */
  unread = $state(0);
  /** They have been read once. */
  isLoaded = $state(false);
  readonly #client: Client;
  /** Of a room it is not known yet whether it is one of two, or with whom. */
  #hasUnknown = false;
  readonly #indexing = new Pace(INDEX_EVERY_MS, () => this.#index());
  readonly #offs: readonly (() => void)[];

  constructor(client: Client) {
    this.#client = client;
    const draw = () => this.#draw();
    this.#offs = [
      client.subscribe("rooms", draw),
      client.subscribe("hiddenRooms", draw),
      client.subscribe("unread", draw),
      client.on("rooms", () => {
        this.#draw();
        this.isLoaded = true;
      }),
    ];
  }

  close(): void {
    for (const off of this.#offs) off();
    this.#indexing.stop();
  }

  #draw(): void {
    const { rooms, hiddenRooms, unread } = this.#client;
    this.unread = unread.messages;
    const isOther = rooms.length !== this.all.length || hiddenRooms.length !== this.hidden.length;
    if (!isSame(rooms, this.all)) this.all = rooms;
    if (!isSame(hiddenRooms, this.hidden)) this.hidden = hiddenRooms;
    // Someone with whom there is a room now is no longer listed as someone without one.
    if (isOther || this.#hasUnknown) this.#index();
    else this.#indexing.soon();
  }

  /** Whose room it is, may be known later than that it is there. */
  #index(): void {
    const { rooms, hiddenRooms } = this.#client;
    const all = [...rooms, ...hiddenRooms];
    this.#hasUnknown = all.some(({ kind, peerId }) => peerId === "" && (kind === v1.RoomKind.DIRECT || kind === v1.RoomKind.UNSPECIFIED));
    const direct = all.filter(({ peerId }) => peerId !== "");
    const isKnown = direct.length === this.direct.size && direct.every((room) => this.direct.get(room.peerId) === room);
    if (!isKnown) this.direct = new Map(direct.map((room) => [room.peerId, room]));
  }
}

function isSame<T>(some: readonly T[], others: readonly T[]): boolean {
  return some === others || (some.length === others.length && some.every((one, index) => one === others[index]));
}
