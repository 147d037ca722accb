import { type Room, v1 } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { sayWhoWasAsked } from "./invitations";
import { route } from "./route.svelte";
import { texts } from "./texts";

const TYPE = "application/x-parlance-person";

export const ROLES: Record<v1.Role, string> = {
  [v1.Role.UNSPECIFIED]: "",
  [v1.Role.MEMBER]: "",
  [v1.Role.ADMIN]: texts.people.admin,
  [v1.Role.OWNER]: texts.people.owner,
};

/** Whether the user may manage the members of a room. */
export function mayManage(room: Room): boolean {
  return room.kind !== v1.RoomKind.DIRECT && (room.role === v1.Role.OWNER || room.role === v1.Role.ADMIN);
}

/** Whether the user may add and invite people to a room. */
export function mayAdd(chat: Chat, room: Room): boolean {
  return room.kind !== v1.RoomKind.DIRECT && chat.may(room, "invite");
}

/** Whether the user may archive a room, or take that back. */
export function mayArchive(chat: Chat, room: Room): boolean {
  return mayManage(room) && chat.may(room, "editSettings");
}

/** Whether the user may freeze a room, or take that back. */
export function mayFreeze(chat: Chat, room: Room): boolean {
  return room.kind !== v1.RoomKind.DIRECT && !room.isArchived && chat.may(room, "editSettings");
}

/** Whether the user may set slow mode, and as the owner what members may do. */
export function maySetRules(chat: Chat, room: Room): boolean {
  return mayManage(room) && mayFreeze(chat, room);
}

export function drag(event: DragEvent, userId: string): void {
  event.dataTransfer?.setData(TYPE, userId);
  // Dropped elsewhere, it becomes a word.
  event.dataTransfer?.setData("text/plain", `@${userId}`);
}

/** Whether the dragged item may be dropped on a room: a user, by someone who may add members. */
export function mayDrop(event: DragEvent, room: Room, chat: Chat): boolean {
  const may = (event.dataTransfer?.types.includes(TYPE) ?? false) && mayAdd(chat, room);
  if (may) event.preventDefault();
  return may;
}

/** Adds the dropped user. */
export async function drop(event: DragEvent, room: Room, chat: Chat): Promise<void> {
  const userId = event.dataTransfer?.getData(TYPE);
  if (!userId || !mayAdd(chat, room)) return;
  event.preventDefault();
  await addMembers(chat, room, [userId]);
}

/** Adds people, and says whom the server has invited instead. */
export async function addMembers(chat: Chat, room: Room, userIds: string[]): Promise<void> {
  sayWhoWasAsked(chat, await chat.attempt(texts.failures.add, () => room.addMembers(userIds)));
}

export function setRole(chat: Chat, room: Room, userId: string, role: v1.Role): void {
  void chat.attempt(texts.failures.changeRole, () => chat.client.call("setRole", { roomId: room.id, userId, role }));
}

/** Makes somebody the owner, after a question. */
export async function handOver(chat: Chat, room: Room, userId: string): Promise<void> {
  if (await chat.confirm(texts.details.askOwner(chat.people.fullName(userId)), texts.details.makeOwner)) setRole(chat, room, userId, v1.Role.OWNER);
}

/** Removes a member, after a question. */
export async function remove(chat: Chat, room: Room, userId: string): Promise<void> {
  const question = texts.details.askRemove(chat.people.fullName(userId), chat.titleOf(room));
  if (!(await chat.confirm(question, texts.details.remove, { isDestructive: true }))) return;
  await chat.attempt(texts.failures.remove, () => chat.client.call("removeMember", { roomId: room.id, userId }));
}

/** Bans somebody, after a question. */
export async function ban(chat: Chat, room: Room, userId: string): Promise<void> {
  const question = texts.details.askBan(chat.people.fullName(userId), chat.titleOf(room));
  if (!(await chat.confirm(question, texts.details.ban, { isDestructive: true }))) return;
  await chat.attempt(texts.failures.ban, () => room.banMember(userId));
}

/** Mutes somebody, after asking for how long. */
export function mute(chat: Chat, room: Room, userId: string): Promise<boolean> {
  return new Promise((done) => (chat.muting = { room, userId, done }));
}

export async function unmute(chat: Chat, room: Room, userId: string): Promise<void> {
  await chat.attempt(texts.failures.change, () => room.unmuteMember(userId));
}

/** Archives a room, after a question. */
export async function archive(chat: Chat, room: Room): Promise<void> {
  if (!(await chat.confirm(texts.archive.ask(chat.titleOf(room)), texts.archive.archive))) return;
  await chat.attempt(texts.failures.archive, () => room.update({ archived: true }));
}

export async function unarchive(chat: Chat, room: Room): Promise<void> {
  await chat.attempt(texts.failures.unarchive, () => room.update({ archived: false }));
}

/** Freezes a room, after a question. */
export async function freeze(chat: Chat, room: Room): Promise<void> {
  if (!(await chat.confirm(texts.freezing.ask(chat.titleOf(room)), texts.freezing.freeze))) return;
  await chat.attempt(texts.failures.freeze, () => room.update({ frozen: true }));
}

export async function unfreeze(chat: Chat, room: Room): Promise<void> {
  await chat.attempt(texts.failures.unfreeze, () => room.update({ frozen: false }));
}

/** Deletes a room, after a question. Whoever has it open is told. */
export async function deleteRoom(chat: Chat, room: Room): Promise<void> {
  if (!(await chat.confirm(texts.details.askDelete(chat.titleOf(room)), texts.details.delete, { isDestructive: true }))) return;
  await chat.attempt(texts.failures.deleteRoom, () => room.deleteRoom());
}

/** Deletes a message of somebody else, after a question. */
export async function removeMessage(chat: Chat, room: Room, seq: number): Promise<void> {
  if (!(await chat.confirm(texts.message.deleteForEveryone, texts.message.delete, { isDestructive: true }))) return;
  await chat.attempt(texts.failures.deleteMessage, () => room.delete(seq));
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
