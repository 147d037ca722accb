import { Client, type ConnectionState, IndexedDbStorage, MemoryStorage, type Room, type Storage, UnauthenticatedError, v1 } from "@parlance/client";
import { createContext } from "svelte";

import { Drafts } from "./drafts";
import { type Identity, localUser } from "./identity";
import { People, type Person } from "./people.svelte";
import { Rooms } from "./rooms.svelte";
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
  readonly #rooms: Rooms;
  /** Where the connection stands. */
  state = $state.raw<ConnectionState>({ status: "idle" });
  /** What went wrong last, to be told. */
  problem = $state<string>();
  /** What is to be confirmed. */
  question = $state.raw<{ text: string; action: string; answer: (is: boolean) => void }>();

  /** Everyone to talk to, by name. */
  readonly others: readonly Person[] = $derived.by(() =>
    this.people.all.filter(({ userId }) => userId !== this.userId && userId !== LOBBY),
  );
  /** Those of them with whom there is no room of two yet. */
  readonly strangers: readonly Person[] = $derived.by(() => {
    const { direct } = this.#rooms;
    return this.others.filter(({ userId }) => !direct.has(userId));
  });

  /** `refused` is told when the server takes the token no more, and there is no other. */
  constructor({ userId, token }: Identity, refused: (error: Error) => void) {
    this.userId = userId;
    this.isLocal = token === undefined;
    this.client = new Client({
      // Where the page is, which may be below a path of a proxy.
      url: new URL(".", location.href).href,
      token: token === undefined ? async () => (await localUser(userId, "")).token : token,
      storage: messageStorage(userId),
      deviceId: "web",
    });
    this.people = new People(this.client, () => this.state.status === "online");
    this.#rooms = new Rooms(this.client);
    this.drafts = new Drafts(userId);
    this.client.on("state", (state) => {
      this.state = state;
      if (state.status === "closed" && state.error instanceof UnauthenticatedError) refused(state.error);
    });
    // Whoever comes into a room is someone to talk to.
    this.client.on("event", ({ body }) => {
      if (body.case === "memberAdded") this.people.meet(body.value.userId);
    });
  }

  async start(): Promise<void> {
    await this.client.start();
    // Whom the directory does not name is still found by name.
    void this.people.load().then(() => this.people.expect(this.#rooms.direct.keys()));
    // Who has somewhere to be and is not in it has left it.
    if (this.isLocal && this.rooms.length === 0) await this.#joinLobby();
  }

  close(): void {
    this.#rooms.close();
    this.people.close();
    this.client.close();
  }

  /** Rooms that one is in, the latest first, without the hidden ones. */
  get rooms(): readonly Room[] {
    return this.#rooms.all;
  }

  /** Rooms that one has hidden: they are found by search. */
  get hiddenRooms(): readonly Room[] {
    return this.#rooms.hidden;
  }

  /** The rooms have been read once. */
  get isLoaded(): boolean {
    return this.#rooms.isLoaded;
  }

  /** Unread messages in all of {@link rooms}. */
  get unread(): number {
    return this.#rooms.unread;
  }

  /** A room that one is in, hidden or not. */
  room(id: string): Room | undefined {
    // What is read here changes whenever a room comes or goes.
    void [this.#rooms.all, this.#rooms.hidden];
    const room = this.client.room(id);
    return room?.isMember ? room : undefined;
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

  /** The same for a search through all of them: nobody is asked for a name. */
  titleIfKnown(room: Room): string {
    return room.peerId ? this.people.nameIfKnown(room.peerId) : this.titleOf(room);
  }

  /** The direct room with someone, if there is one. What is hidden is still there to go on with. */
  directRoom(userId: string): Room | undefined {
    return this.#rooms.direct.get(userId);
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
      const response = await fetch("v1/rooms", {
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
