/**
 * Requests to join a room, which those who may invite answer: where `info.joining` is `BY_REQUEST`.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { JoinRequestAnswer, type JoinRequest as RequestMessage, type RoomKind } from "./gen/chat_pb.js";
import { date } from "./room/message.js";
import { pages } from "./session/pages.js";

const PAGE = 50;

/** A request to join a room. */
export interface JoinRequest {
  readonly roomId: string;
  /** Who asks. */
  readonly userId: string;
  readonly at: Date;
  /** When it expires; if it was rejected, when the user may ask again. */
  readonly until: Date;
  readonly isRejected: boolean;
  /** What the user wrote to those who answer. */
  readonly note: string;
  /** Kind and title of the room; only of the user's own requests. */
  readonly kind: RoomKind;
  readonly title: string;
}

/** Asks to become a member. Asking again changes nothing; who is invited becomes a member at once. */
export async function requestToJoin(client: Client, roomId: string, { note = "" }: { /** For those who answer; at most 300 bytes. */ note?: string } = {}): Promise<void> {
  await client.change("requestToJoin", { roomId, note });
}

/** Withdraws the user's request, if there is one. */
export async function withdrawJoinRequest(client: Client, roomId: string): Promise<void> {
  await client.change("withdrawJoinRequest", { roomId });
}

/** Lets the user in, or rejects the request: then they may ask again after a day. The first answer counts. */
export async function answerJoinRequest(client: Client, { roomId, userId }: { roomId: string; userId: string }, answer: "approve" | "reject"): Promise<void> {
  await client.change("answerJoinRequest", { roomId, userId, answer: answer === "approve" ? JoinRequestAnswer.APPROVE : JoinRequestAnswer.REJECT });
}

/** Which requests are listed. */
export interface JoinRequestsOptions {
  /** Those that wait at this room, for those who may invite. Default: the user's own, also rejected ones. */
  roomId?: string;
  signal?: AbortSignal;
}

/** Requests to join, read page by page as the loop goes on. */
export async function* listJoinRequests(client: Client, { roomId = "", signal }: JoinRequestsOptions = {}): AsyncGenerator<JoinRequest, void> {
  for await (const { requests } of pages((pageToken) => client.call("listJoinRequests", { roomId, pageSize: PAGE, pageToken }, signal))) yield* requests.map(requestOf);
}

/**
 * Calls `listener` when the user's own requests change: made or withdrawn on any device, or answered. Undefined if there is none any
 * more. Signals may be lost: read them again after a reconnect. Returns a function that unsubscribes.
 */
export function onJoinRequest(client: Client, listener: (roomId: string, request: JoinRequest | undefined) => void): () => void {
  return client.on("signal", ({ case: name, value }) => {
    if (name === "joinRequestChanged") listener(value.roomId, value.request && requestOf(value.request));
  });
}

function requestOf({ roomId, userId, at, until, rejected: isRejected, note, kind, title }: RequestMessage): JoinRequest {
  return Object.freeze({ roomId, userId, at: date(at), until: date(until), isRejected, note, kind, title });
}
