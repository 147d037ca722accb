import { Client, type Command, type ConnectionState, IndexedDbStorage, type Room, UnauthenticatedError, v1 } from "@parlance/client";
import { createContext } from "svelte";

import { Drafts } from "./drafts";
import { type Identity, localUser, sharedToken } from "./identity";
import { Mentions } from "./mentions.svelte";
import { People, type Person } from "./people.svelte";
import { Rooms } from "./rooms.svelte";
import { type Place, route } from "./route.svelte";
import { texts } from "./texts";

/** In local mode everyone meets in one channel. It belongs to a user of its own: the same one whoever comes first. */
export const LOBBY = "lobby";

/** One person's conversations in this tab. */
export class Chat {
  readonly userId: string;
  readonly client: Client;
  readonly people: People;
  readonly drafts: Drafts;
  readonly mentions: Mentions;
  readonly isLocal: boolean;
  readonly #rooms: Rooms;
  /** Where the connection stands. */
  state = $state.raw<ConnectionState>({ status: "idle" });
  /** What is on its way outlives the page. */
  isDurable = $state(true);
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
  constructor({ userId, token: first }: Identity, refused: (token: string | undefined) => void) {
    this.userId = userId;
    this.isLocal = first === undefined;
    let token = first;
    // Another tab may have signed in anew since.
    const given = (isRefused: boolean) => (token = (isRefused ? sharedToken(userId) : undefined) ?? token ?? "");
    this.client = new Client({
      // Where the page is, which may be below a path of a proxy.
      url: new URL(".", location.href).href,
      token: this.isLocal ? async () => (await localUser(userId, "")).token : ({ refused }) => given(refused),
      storage: new IndexedDbStorage(userId),
      deviceId: "web",
      // Nothing of anybody else is shown.
      userId,
    });
    this.people = new People(this.client, userId, () => this.state.status === "online");
    this.#rooms = new Rooms(this.client);
    this.drafts = new Drafts(userId);
    this.mentions = new Mentions(this.client, userId);
    this.client.on("state", (state) => {
      this.state = state;
      if (state.status === "closed" && state.error instanceof UnauthenticatedError) refused(token);
    });
    this.client.on("storage", ({ status }) => (this.isDurable = status !== "memory"));
    this.client.on("failed", (command) => this.#failed(command));
    // Whoever comes into a room is someone to talk to.
    this.client.on("event", ({ body }) => {
      if (body.case === "memberAdded") this.people.meet(body.value.userId);
    });
  }

  async start(): Promise<void> {
    try {
      await this.client.start();
    } finally {
      // Rooms that are refused at first are asked for again. Whom the directory does not name is still found by name.
      void this.people.load().then(() => this.people.expect(this.#rooms.direct.keys()));
    }
    // Who has somewhere to be and is not in it has left it.
    if (this.isLocal && this.rooms.length === 0) await this.#joinLobby();
  }

  /** Erases what the browser keeps. What was not sent yet waits for the same person. */
  async signOut(): Promise<void> {
    this.people.forget();
    await this.client.signOut({ keepUnsent: true });
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
    return this.attempt(texts.failures.copy, async () => {
      if (!navigator.clipboard) throw new Error(texts.failures.copyNeedsHttps);
      await navigator.clipboard.writeText(text);
      return true as const;
    });
  }

  /** What a room is called. */
  titleOf(room: Room): string {
    if (room.kind === v1.RoomKind.DIRECT) return room.peerId ? this.people.name(room.peerId) : texts.place.unknownPeer;
    return room.title || texts.place.untitled;
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
      this.problem = texts.app.problem(what, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** A change was refused: where it is not seen, it is told. */
  #failed({ kind, roomId, toUser, error }: Command): void {
    if (kind !== "send" && kind !== "edit" && kind !== "delete" && kind !== "react" && kind !== "unreact") return;
    const { place } = route;
    if (place && ("room" in place ? place.room === roomId : place.person === toUser)) return;
    const room = roomId === undefined ? undefined : this.client.room(roomId);
    const title = room ? this.titleOf(room) : this.people.name(toUser ?? "");
    this.problem = texts.message.notSentIn(title, error?.message ?? "");
  }

  async #joinLobby(): Promise<void> {
    await this.attempt(texts.failures.lobby, async () => {
      const { token } = await localUser(LOBBY, texts.app.lobby);
      const response = await fetch("v1/rooms", {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: JSON.stringify({ kind: "ROOM_KIND_CHANNEL", settings: { title: texts.app.lobby }, requestId: LOBBY }),
      });
      const { room } = await response.json();
      await this.client.call("joinRoom", { roomId: room.roomId });
      await this.client.refresh();
      if (route.isEmpty) route.open({ room: room.roomId }, { instead: true });
    });
  }
}

export const [getChat, setChat] = createContext<Chat>();
