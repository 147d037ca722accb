import { type Client, type Room, v1 } from "@parlance/client";

import { Pace } from "./pace";

/** Searching all rooms for direct ones costs more than an event in one. */
const INDEX_EVERY_MS = 250;

/**
 * The user's rooms, for lists, counts and searches over all of them. Changes of one room do not affect
 * the others: everything received at about the same time is applied at once.
 */
export class Rooms {
  /** Latest first, without hidden and archived ones. */
  all = $state.raw<readonly Room[]>([]);
  hidden = $state.raw<readonly Room[]>([]);
  archived = $state.raw<readonly Room[]>([]);
  /** Direct rooms by the id of the other user, including hidden ones. */
  direct = $state.raw<ReadonlyMap<string, Room>>(new Map());
  /** Unread messages in all listed rooms. */
  unread = $state(0);
  /** Whether they have been loaded. */
  isLoaded = $state(false);
  readonly #client: Client;
  /** Whether some room's kind or peer is still unknown. */
  #hasUnknown = false;
  readonly #indexing = new Pace(INDEX_EVERY_MS, () => this.#index());
  readonly #offs: readonly (() => void)[];

  constructor(client: Client) {
    this.#client = client;
    const draw = () => this.#draw();
    this.#offs = [
      client.subscribe("rooms", draw),
      client.subscribe("hiddenRooms", draw),
      client.subscribe("archivedRooms", draw),
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
    const { rooms, hiddenRooms, archivedRooms, unread } = this.#client;
    this.unread = unread.messages;
    const isOther = rooms.length !== this.all.length || hiddenRooms.length !== this.hidden.length;
    if (!isSame(rooms, this.all)) this.all = rooms;
    if (!isSame(hiddenRooms, this.hidden)) this.hidden = hiddenRooms;
    if (!isSame(archivedRooms, this.archived)) this.archived = archivedRooms;
    // A user with a room is no longer listed as one without.
    if (isOther || this.#hasUnknown) this.#index();
    else this.#indexing.soon();
  }

  /** The peer of a room may become known later than the room itself. */
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
