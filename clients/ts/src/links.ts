/**
 * Invitation links: anybody joins a room who has the secret of one.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { durationOf } from "./duration.js";
import { Code, ParlanceError, refused } from "./errors.js";
import type { InvitationLink as LinkMessage, RoomKind } from "./gen/chat_pb.js";
import { date } from "./room/message.js";
import type { Room } from "./room/room.js";

/** A room and the secret of a link to it. An app puts both into a URL of its own, in the part after `#`. */
export interface LinkKey {
  readonly roomId: string;
  readonly secret: string;
}

/** A link to a room, for those who may invite. */
export interface InvitationLink {
  readonly roomId: string;
  /** Its id in the room: the seq of the event that made it. */
  readonly seq: number;
  readonly createdBy: string;
  readonly at: Date;
  /** When it expires. */
  readonly until: Date;
  /** How many may join by it: Infinity if any number. */
  readonly maxUses: number;
  /** How many have. */
  readonly uses: number;
  /** Whether nobody joins by it at present, because who made it has left or may not invite. */
  readonly isSuspended: boolean;
}

/** A link that was just made, with its secret. */
export interface NewLink extends LinkKey {
  readonly seq: number;
  /** Undefined if it cannot be read just now. */
  readonly link: InvitationLink | undefined;
}

/** What somebody with its secret sees of a link. */
export interface LinkPreview {
  readonly roomId: string;
  readonly kind: RoomKind;
  readonly title: string;
  /** URL of a picture; empty for none. */
  readonly imageUrl: string;
  readonly memberCount: number;
  /** When the link expires. */
  readonly until: Date;
}

/** Limits of a link. */
export interface LinkLimits {
  /** How long it can be used, at least 0.001; default: 30 days, the longest. */
  seconds?: number;
  /** How many may join by it: a whole number from 1, or Infinity for any number, the default. */
  maxUses?: number;
}

/** Makes a link. Its secret is in this answer only: the server keeps a hash of it. Allowed for those who may invite. */
export async function createLink(client: Client, roomId: string, { seconds, maxUses = Infinity }: LinkLimits = {}): Promise<NewLink> {
  const request = { roomId, maxUses: usesIn(maxUses), ...(seconds !== undefined && { duration: durationOf(seconds) }) };
  // If the answer was lost, its repeat has no secret: the link is of no use.
  for (let attempts = 0; attempts < 3; attempts++) {
    const { link, secret, outcome } = await client.call("createInvitationLink", request);
    const linkSeq = outcome?.seq ?? 0n;
    if (secret) return { roomId, secret, seq: Number(linkSeq), link: link && linkOf(link) };
    await client.call("revokeInvitationLink", { roomId, linkSeq });
  }
  throw new ParlanceError("the answer with the secret of the link was lost");
}

/** Takes a link back. Allowed for who made it, and for the room's owner and admins. */
export async function revokeLink(client: Client, { roomId, seq }: { roomId: string; seq: number }): Promise<void> {
  await client.change("revokeInvitationLink", { roomId, linkSeq: seq });
}

/** The links to a room by which one can join, oldest first, at most 20. Allowed for those who may invite. */
export async function listLinks(client: Client, roomId: string, signal?: AbortSignal): Promise<readonly InvitationLink[]> {
  return (await client.call("listInvitationLinks", { roomId }, signal)).links.map(linkOf);
}

/** What a link leads to; nobody is told. Rejects with the reason `link_invalid` if there is no such link any more. */
export async function previewLink(client: Client, { roomId, secret }: LinkKey, signal?: AbortSignal): Promise<LinkPreview> {
  const { kind, title, imageUrl, memberCount, until } = await client.call("getInvitationLink", { roomId, secret }, signal);
  return Object.freeze({ roomId, kind, title, imageUrl, memberCount: Number(memberCount), until: date(until) });
}

/** Joins a room by a link. Rejects with the reason `link_invalid` if there is no such link any more. */
export async function joinByLink(client: Client, { roomId, secret }: LinkKey): Promise<Room> {
  await client.call("joinByLink", { roomId, secret });
  return client.openRoom(roomId);
}

const MOST_USES = 2 ** 32 - 1;

/** In the contract 0 is any number; who has computed it has none left. */
function usesIn(maxUses: number): number {
  if (maxUses === Infinity) return 0;
  if (Number.isInteger(maxUses) && maxUses > 0 && maxUses <= MOST_USES) return maxUses;
  const message = `max_uses: must be a whole number from 1 to ${MOST_USES}, or Infinity`;
  throw refused({ code: Code.InvalidArgument, reason: "invalid_field", message, metadata: {} });
}

function linkOf({ roomId, linkSeq, createdBy, at, until, maxUses, uses, suspended: isSuspended }: LinkMessage): InvitationLink {
  return Object.freeze({ roomId, seq: Number(linkSeq), createdBy, at: date(at), until: date(until), maxUses: maxUses || Infinity, uses, isSuspended });
}
