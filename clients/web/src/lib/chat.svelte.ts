import { Client, type ConnectionState, IndexedDbStorage, type Room, UnauthenticatedError, v1 } from "@parlance/client";
import { createContext } from "svelte";

import { Drafts } from "./drafts";
import { type Identity, localUser } from "./identity";
import { live } from "./live";
import { People } from "./people.svelte";
import { type Place, route } from "./route.svelte";

/** In local mode everyone meets in one channel. It belongs to a user of its own: the same one whoever comes first. */
const LOBBY = "lobby";

/** One person's conversations in this tab. */
export class Chat {
  readonly userId: string;
  readonly client: Client;
  readonly people: People;
  readonly drafts: Drafts;
  readonly isLocal: boolean;
  /** Where the connection stands. */
  state = $state.raw<ConnectionState>({ status: "idle" });
  /** Rooms that one is in, the latest first. */
  rooms = $state.raw<readonly Room[]>([]);
  /** The rooms have been read once. */
  isLoaded = $state(false);
  /** What went wrong last, to be told. */
  problem = $state<string>();

  readonly unread = $derived(this.rooms.reduce((sum, room) => sum + live(room).unreadCount, 0));

  /** `refused` is told when the server takes the token no more, and there is no other. */
  constructor({ userId, token }: Identity, refused: (error: Error) => void) {
    this.userId = userId;
    this.isLocal = token === undefined;
    this.client = new Client({
      url: location.origin,
      token: token === undefined ? async () => (await localUser(userId, "")).token : token,
      storage: new IndexedDbStorage(userId),
      deviceId: "web",
    });
    this.people = new People(this.client);
    this.drafts = new Drafts(userId);
    this.client.on("state", (state) => {
      this.state = state;
      if (state.status === "closed" && state.error instanceof UnauthenticatedError) refused(state.error);
    });
    // Whoever comes into a room is someone to talk to.
    this.client.on("event", ({ body }) => {
      if (body.case === "memberAdded") this.people.name(body.value.userId);
    });
    this.client.on("rooms", (rooms) => {
      this.rooms = rooms;
      this.isLoaded = true;
    });
  }

  async start(): Promise<void> {
    await this.client.start();
    void this.people.load();
    if (this.isLocal && !this.rooms.some(({ kind }) => kind === v1.RoomKind.CHANNEL)) await this.#joinLobby();
    // Beside the list there is room for one.
    const latest = this.rooms[0];
    if (latest && !route.place && matchMedia("(min-width: 45.01rem)").matches) route.open({ room: latest.id }, { instead: true });
  }

  close(): void {
    this.client.close();
  }

  /** What a room is called. */
  titleOf(room: Room): string {
    if (room.kind === v1.RoomKind.DIRECT) return room.peerId ? this.people.name(room.peerId) : "…";
    return room.title || "Untitled";
  }

  /** The direct room with someone, if there is one. */
  directRoom(userId: string): Room | undefined {
    return this.rooms.find((room) => live(room).peerId === userId);
  }

  /** Where to talk with someone. */
  placeOf(userId: string): Place {
    const room = this.directRoom(userId);
    return room ? { room: room.id } : { person: userId };
  }

  /** Does something, and tells what went wrong. */
  async attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.problem = `${what}: ${error instanceof Error ? error.message : error}`;
      return undefined;
    }
  }

  async #joinLobby(): Promise<void> {
    await this.attempt("The lobby is closed", async () => {
      const { token } = await localUser(LOBBY, "Lobby");
      const response = await fetch("/v1/rooms", {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: JSON.stringify({ kind: "ROOM_KIND_CHANNEL", settings: { title: "Lobby" }, requestId: LOBBY }),
      });
      const { room } = await response.json();
      await this.client.call("joinRoom", { roomId: room.roomId });
      await this.client.refresh();
      if (!route.place) route.open({ room: room.roomId }, { instead: true });
    });
  }
}

export const [getChat, setChat] = createContext<Chat>();
