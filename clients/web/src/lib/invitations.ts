import { RefusedError, type Room } from "@parlance/client";
import { invitationsOf } from "@parlance/client/invitations";

import type { Chat } from "./chat.svelte";
import { messageOf } from "./errors";
import { tryEach } from "./form.svelte";
import { route } from "./route.svelte";
import { texts } from "./texts";

/** Accepts the invitation to a room, and opens it. */
export async function accept(chat: Chat, roomId: string): Promise<boolean> {
  const room = await chat.attempt(texts.failures.accept, () => saidPlainly(invitationsOf(chat.client).accept(roomId)));
  if (room) route.open({ room: room.id });
  return room !== undefined;
}

export async function decline(chat: Chat, roomId: string): Promise<boolean> {
  const declined = await chat.attempt(texts.failures.decline, () => invitationsOf(chat.client).decline(roomId).then(() => true));
  return declined ?? false;
}

/** Those who could not be asked or added, as they come to be known. */
type Left = (userIds: string[]) => void;

/** Invites people to a room, one after the other; who cannot be invited does not keep the others from it. */
export async function inviteAll(chat: Chat, room: Room, userIds: readonly string[], left: Left): Promise<void> {
  const failed = await tryEach(userIds, (userId) => invitationsOf(chat.client).invite(room.id, userId));
  const invited = userIds.filter((userId) => !failed.some(({ one }) => one === userId));
  if (invited.length > 0) chat.notice = texts.invitations.asked(namesOf(chat, invited));
  left(failed.map(({ one }) => one));
  if (failed.length > 0) throw new Error(failed.map(({ one, error }) => texts.app.problem(chat.people.fullName(one), messageOf(error))).join("; "));
}

/** The server's maximum per request. */
const TOGETHER = 40;

/** Adds people to a room, as many at once as the server takes, and says whom it has invited instead. */
export async function addAll(chat: Chat, room: Room, userIds: readonly string[], left: Left): Promise<void> {
  const parts = Array.from({ length: Math.ceil(userIds.length / TOGETHER) }, (_, at) => userIds.slice(at * TOGETHER, (at + 1) * TOGETHER));
  const invited: string[] = [];
  const failed = await tryEach(parts, async (part) => invited.push(...(await room.addMembers(part))));
  sayWhoWasAsked(chat, invited);
  left(failed.flatMap(({ one }) => one));
  if (failed.length > 0) throw failed[0]!.error;
}

/** Says whom the server has invited in place of adding them. */
export function sayWhoWasAsked(chat: Chat, userIds: readonly string[] = []): void {
  if (userIds.length > 0) chat.notice = texts.invitations.askedInstead(namesOf(chat, userIds));
}

const MOST_NAMES = 4;

function namesOf(chat: Chat, userIds: readonly string[]): string[] {
  const names = userIds.slice(0, MOST_NAMES).map((userId) => chat.people.name(userId));
  return userIds.length > MOST_NAMES ? [...names, texts.notes.others(userIds.length - MOST_NAMES)] : names;
}

async function saidPlainly<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RefusedError && error.reason === "not_invited") throw new Error(texts.invitations.over);
    throw error;
  }
}
