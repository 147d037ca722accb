import { type Room, v1 } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { route } from "./route.svelte";
import { texts } from "./texts";

const TYPE = "application/x-parlance-person";

export const ROLES: Record<v1.Role, string> = {
  [v1.Role.UNSPECIFIED]: "",
  [v1.Role.MEMBER]: "",
  [v1.Role.ADMIN]: texts.people.admin,
  [v1.Role.OWNER]: texts.people.owner,
};

/** Whether the user may change the room and its members. */
export function mayManage(room: Room): boolean {
  return room.kind !== v1.RoomKind.DIRECT && (room.role === v1.Role.OWNER || room.role === v1.Role.ADMIN);
}

export function drag(event: DragEvent, userId: string): void {
  event.dataTransfer?.setData(TYPE, userId);
  // Dropped elsewhere, it becomes a word.
  event.dataTransfer?.setData("text/plain", `@${userId}`);
}

/** Whether the dragged item may be dropped on a room: a user, by someone who may add members. */
export function mayDrop(event: DragEvent, room: Room): boolean {
  const may = (event.dataTransfer?.types.includes(TYPE) ?? false) && mayManage(room);
  if (may) event.preventDefault();
  return may;
}

/** Adds the dropped user. */
export async function drop(event: DragEvent, room: Room, chat: Chat): Promise<void> {
  const userId = event.dataTransfer?.getData(TYPE);
  if (!userId || !mayManage(room)) return;
  event.preventDefault();
  await addMembers(chat, room, [userId]);
}

export async function addMembers(chat: Chat, room: Room, userIds: string[]): Promise<void> {
  await chat.attempt(texts.failures.add, () => chat.client.call("addMembers", { roomId: room.id, userIds }));
}

/** Leaves a room, after handing it over if a new owner is given, and navigates to the list. */
export async function leaveRoom(chat: Chat, room: Room, newOwner?: string): Promise<void> {
  if (newOwner !== undefined) {
    const request = { roomId: room.id, userId: newOwner, role: v1.Role.OWNER };
    const isHandedOver = await chat.attempt(texts.failures.handOver, () => chat.client.call("setRole", request).then(() => true));
    if (!isHandedOver) return;
  }
  const left = await chat.attempt(texts.failures.leave, () => room.leave().then(() => true));
  if (left) route.open(undefined);
}
