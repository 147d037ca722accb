/**
 * Invitations to rooms, from person to person: {@link invitationsOf} a client.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { durationOf } from "./duration.js";
import { Emitter } from "./emitter.js";
import { RefusedError } from "./errors.js";
import type { Invitation as InvitationMessage, RoomKind } from "./gen/chat_pb.js";
import { stableList, stableObject } from "./room/info.js";
import { date } from "./room/message.js";
import type { Room } from "./room/room.js";
import { pages } from "./session/pages.js";

const PAGE = 200;
/** Timers of browsers and Node hold 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** An invitation to a room that waits for an answer. */
export interface RoomInvitation {
  readonly roomId: string;
  /** Who is invited. */
  readonly userId: string;
  /** Who invited them. */
  readonly invitedBy: string;
  readonly at: Date;
  /** When it expires. */
  readonly until: Date;
}

/** An invitation of the client's own user, with what they may know of the room until they accept. */
export interface Invitation extends RoomInvitation {
  readonly kind: RoomKind;
  readonly title: string;
  readonly memberCount: number;
}

/** Events of {@link Invitations}. */
export interface InvitationEvents {
  /** {@link Invitations.all} was replaced. */
  change: readonly Invitation[];
}

const byClient = new WeakMap<Client, Invitations>();

/** The invitations of a client: one object, which lives as long as the client. */
export function invitationsOf(client: Client): Invitations {
  let invitations = byClient.get(client);
  if (!invitations) byClient.set(client, (invitations = new Invitations(client)));
  return invitations;
}

/** Invitations of the client's user, kept up to date once they are loaded, and those to rooms in which the user may invite. */
export class Invitations extends Emitter<InvitationEvents> {
  readonly #client: Client;
  #userId = "";
  #byRoom: ReadonlyMap<string, Invitation> = new Map();
  /** Changes while the list is read: they are newer than the list. */
  #meanwhile = new Map<string, Invitation | undefined>();
  #loading: Promise<readonly Invitation[]> | undefined;
  #reading = new AbortController();
  /** Rooms whose invitation is being answered: it is not shown. */
  readonly #answered = new Set<string>();
  #all: readonly Invitation[] = Object.freeze([]);
  #expiring: ReturnType<typeof setTimeout> | undefined;

  /** @internal Use {@link invitationsOf}. */
  constructor(client: Client) {
    super();
    this.#client = client;
  }

  /** Those that wait for the user's answer, latest first, once {@link load} was called: frozen, and identical until it changes. */
  get all(): readonly Invitation[] {
    return this.#all;
  }

  /** Reads them, and keeps {@link all} up to date from then on. */
  load(): Promise<readonly Invitation[]> {
    if (!this.#loading) this.#follow();
    return (this.#loading = this.#read());
  }

  /** Accepts the invitation to a room: the user is a member then. Rejects with the reason `not_invited` if there is none any more. */
  async accept(roomId: string): Promise<Room> {
    await this.#answer("acceptInvitation", roomId);
    return this.#client.openRoom(roomId);
  }

  /** Declines the invitation to a room, if there is one. Members of the room see that. */
  decline(roomId: string): Promise<void> {
    return this.#answer("declineInvitation", roomId);
  }

  /** Invites a user to a group or channel: they are a member once they accept. An earlier invitation of theirs is replaced. */
  async invite(roomId: string, userId: string, { seconds }: { /** How long it can be accepted, at least 0.001; default: 30 days, the longest. */ seconds?: number } = {}): Promise<void> {
    await this.#client.change("inviteMember", { roomId, userId, ...(seconds !== undefined && { duration: durationOf(seconds) }) });
  }

  /** Takes an invitation back, if there is one. Allowed for who made it, and for the room's owner and admins. */
  async revoke(roomId: string, userId: string): Promise<void> {
    await this.#client.change("revokeInvitation", { roomId, userId });
  }

  /** Reads the invitations to a room that wait for an answer, for those who may invite. */
  async toRoom(roomId: string, signal?: AbortSignal): Promise<readonly RoomInvitation[]> {
    const invitations: RoomInvitation[] = [];
    for await (const page of pages((pageToken) => this.#client.call("listRoomInvitations", { roomId, pageSize: PAGE, pageToken }, signal))) {
      invitations.push(...page.invitations.map(ofRoom));
    }
    return invitations;
  }

  #follow(): void {
    this.#client.on("signal", ({ case: name, value }) => {
      if (name === "invitationChanged") this.#set(value.roomId, value.invitation && ofUser(value.invitation));
    });
    this.#client.on("event", ({ roomId, body }) => {
      if (body.case === "memberAdded" && body.value.userId === this.#client.userId) this.#set(roomId, undefined);
    });
    this.#client.on("state", ({ status }) => {
      // Signals were missed without a connection.
      if (status === "online") void this.load().catch(() => {});
      if (status === "closed") clearTimeout(this.#expiring);
    });
  }

  async #read(): Promise<readonly Invitation[]> {
    const { userId } = this.#client;
    if (userId !== this.#userId) this.#byRoom = new Map();
    this.#userId = userId;
    this.#show();
    const meanwhile = (this.#meanwhile = new Map());
    // Its calls would be sent again on each connection, beside those of this one.
    this.#reading.abort();
    const { signal } = (this.#reading = new AbortController());
    const byRoom = new Map<string, Invitation>();
    try {
      for await (const page of pages((pageToken) => this.#client.call("listInvitations", { pageSize: PAGE, pageToken }, signal))) {
        for (const invitation of page.invitations) byRoom.set(invitation.roomId, ofUser(invitation));
        for (const roomId of page.unreadableRoomIds) {
          const known = this.#byRoom.get(roomId);
          if (known) byRoom.set(roomId, known);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    // A later read is more recent.
    if (signal.aborted) return this.#loading!;
    for (const [roomId, invitation] of byRoom) byRoom.set(roomId, stableObject(this.#byRoom.get(roomId), invitation));
    this.#replace(after(byRoom, meanwhile));
    return this.#all;
  }

  async #answer(name: "acceptInvitation" | "declineInvitation", roomId: string): Promise<void> {
    const answered = this.#byRoom.get(roomId);
    // There may be another one by now.
    const isOver = () => this.#byRoom.get(roomId) === answered && this.#set(roomId, undefined);
    this.#answered.add(roomId);
    this.#show();
    try {
      await this.#client.change(name, { roomId });
      isOver();
    } catch (error) {
      if (error instanceof RefusedError && error.reason === "not_invited") isOver();
      throw error;
    } finally {
      this.#answered.delete(roomId);
      this.#show();
    }
  }

  #set(roomId: string, invitation: Invitation | undefined): void {
    this.#meanwhile.set(roomId, invitation);
    this.#replace(after(this.#byRoom, [[roomId, invitation]]));
  }

  #replace(byRoom: ReadonlyMap<string, Invitation>): void {
    this.#byRoom = byRoom;
    this.#show();
  }

  #show(): void {
    const now = this.#client.serverTime;
    const valid = [...this.#byRoom.values()].filter(({ until }) => until.getTime() > now);
    const shown = valid.filter(({ roomId }) => !this.#answered.has(roomId)).sort(latestFirst);
    this.#expireAfter(Math.min(...valid.map(({ until }) => until.getTime())) - now);
    const all = stableList(this.#all, shown);
    if (all === this.#all) return;
    this.#all = all;
    this.emit("change", all);
  }

  /** Nothing is sent when an invitation expires. */
  #expireAfter(milliseconds: number): void {
    clearTimeout(this.#expiring);
    if (milliseconds === Infinity || this.#client.state.status === "closed") return;
    this.#expiring = setTimeout(() => this.#show(), Math.min(milliseconds, LONGEST_TIMER_MS));
  }
}

function latestFirst(a: Invitation, b: Invitation): number {
  return b.at.getTime() - a.at.getTime() || (a.roomId < b.roomId ? -1 : 1);
}

function after(byRoom: ReadonlyMap<string, Invitation>, changes: Iterable<readonly [string, Invitation | undefined]>): ReadonlyMap<string, Invitation> {
  const result = new Map(byRoom);
  for (const [roomId, invitation] of changes) invitation ? result.set(roomId, invitation) : result.delete(roomId);
  return result;
}

function ofRoom({ roomId, userId, invitedBy, at, until }: InvitationMessage): RoomInvitation {
  return Object.freeze({ roomId, userId, invitedBy, at: date(at), until: date(until) });
}

function ofUser(invitation: InvitationMessage): Invitation {
  const { kind, title, memberCount } = invitation;
  return Object.freeze({ ...ofRoom(invitation), kind, title, memberCount: Number(memberCount) });
}
