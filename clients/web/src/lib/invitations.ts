import { RefusedError, type Room } from "@parlance/client";
import { invitationsOf } from "@parlance/client/invitations";

import type { Chat } from "./chat.svelte";
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

/** Invites people to a room, one after the other. */
export async function invite(chat: Chat, room: Room, userIds: readonly string[]): Promise<void> {
  const invited: string[] = [];
  await chat.attempt(texts.failures.invite, async () => {
    for (const userId of userIds) {
      await invitationsOf(chat.client).invite(room.id, userId);
      invited.push(userId);
    }
  });
  if (invited.length > 0) chat.notice = texts.invitations.asked(namesOf(chat, invited));
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
