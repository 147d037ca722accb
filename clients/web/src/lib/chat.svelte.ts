import { Client, type ConnectionState, IndexedDbStorage, MemoryStorage, type Room, type Storage, UnauthenticatedError, v1 } from "@parlance/client";
import { createContext } from "svelte";

import { Drafts } from "./drafts";
import { type Identity, localUser } from "./identity";
import { live } from "./live";
import { People } from "./people.svelte";
import { type Place, route } from "./route.svelte";

/** In local mode everyone meets in one channel. It belongs to a user of its own: the same one whoever comes first. */
export const LOBBY = "lobby";

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
  /** What is to be confirmed. */
  question = $state.raw<{ text: string; action: string; answer: (is: boolean) => void }>();

  readonly unread = $derived(this.rooms.reduce((sum, room) => sum + live(room).unreadCount, 0));

  /** Everyone to talk to, by name. */
  readonly others = $derived.by(() => this.people.all.filter(({ userId }) => userId !== this.userId && userId !== LOBBY));
  /** Those of them with whom there is no room of two yet. */
  readonly strangers = $derived.by(() => {
    // Whom one has hidden is found by search.
    const peers = new Set([...this.rooms, ...this.client.hiddenRooms].map(({ peerId }) => peerId));
    return this.others.filter(({ userId }) => !peers.has(userId));
  });

  /** `refused` is told when the server takes the token no more, and there is no other. */
  constructor({ userId, token }: Identity, refused: (error: Error) => void) {
    this.userId = userId;
    this.isLocal = token === undefined;
    this.client = new Client({
      url: location.origin,
      token: token === undefined ? async () => (await localUser(userId, "")).token : token,
      storage: messageStorage(userId),
      deviceId: "web",
    });
    this.people = new People(this.client, () => this.state.status === "online");
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
    // Who has somewhere to be and is not in it has left it.
    if (this.isLocal && this.rooms.length === 0) await this.#joinLobby();
    // Beside the list there is room for one.
    const latest = this.rooms[0];
    if (latest && route.isEmpty && matchMedia("(min-width: 45.01rem)").matches) route.open({ room: latest.id }, { instead: true });
  }

  close(): void {
    this.client.close();
  }

  /** Asks before something that cannot be taken back. */
  confirm(question: string, action: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.question = { text: question, action, answer: (is) => ((this.question = undefined), resolve(is)) };
    });
  }

  /** Copies a text. */
  copy(text: string): Promise<true | undefined> {
    return this.attempt("Could not copy", async () => {
      if (!navigator.clipboard) throw new Error("the browser allows it on https pages only");
      await navigator.clipboard.writeText(text);
      return true as const;
    });
  }

  /** What a room is called. */
  titleOf(room: Room): string {
    if (room.kind === v1.RoomKind.DIRECT) return room.peerId ? this.people.name(room.peerId) : "…";
    return room.title || "Untitled";
  }

  /** The direct room with someone, if there is one. */
  directRoom(userId: string): Room | undefined {
    // What is hidden is still there to go on with.
    return [...this.rooms, ...this.client.hiddenRooms].find((room) => live(room).peerId === userId);
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
      if (route.isEmpty) route.open({ room: room.roomId }, { instead: true });
    });
  }
}

/** Where messages on their way are kept; as long as the page, where the browser allows no more. */
function messageStorage(userId: string): Storage {
  try {
    return new IndexedDbStorage(userId);
  } catch {
    return new MemoryStorage();
  }
}

export const [getChat, setChat] = createContext<Chat>();
