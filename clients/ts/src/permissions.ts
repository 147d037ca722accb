/**
 * What the user may do in a room, by their role: {@link may}. The server decides; this is for what a page offers.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { type DefaultPermissions, Role, RoomKind } from "./gen/chat_pb.js";
import type { RoomInfo } from "./room/info.js";

/**
 * What a role is needed for. `deleteMessages` is about messages of others, `invite` about adding and inviting; `mentionAll` is needed
 * besides `post`.
 */
export type Permission = "post" | "react" | "invite" | "editSettings" | "deleteMessages" | "mentionAll";

/** As long as neither room nor server have set anything else. */
const USUAL: Record<Permission, Role> = {
  post: Role.MEMBER,
  react: Role.MEMBER,
  invite: Role.ADMIN,
  editSettings: Role.ADMIN,
  deleteMessages: Role.ADMIN,
  mentionAll: Role.ADMIN,
};
const SAYS: readonly Permission[] = ["post", "react", "editSettings", "mentionAll"];
const ADDS: readonly Permission[] = ["post", "react", "invite", "mentionAll"];

/** What holds in rooms that have not set a permission themselves (`--default-permissions`). Read it once per start. */
export async function defaultPermissions(client: Client, signal?: AbortSignal): Promise<DefaultPermissions | undefined> {
  return (await client.call("getServer", {}, signal)).defaultPermissions;
}

/** The lowest role that may do something in a room. */
export function lowestRole({ kind, permissions }: RoomInfo, permission: Permission, defaults?: DefaultPermissions): Role {
  const ofKind = kind === RoomKind.GROUP ? defaults?.group : kind === RoomKind.CHANNEL ? defaults?.channel : undefined;
  return permissions?.[permission] || ofKind?.[permission] || USUAL[permission];
}

/**
 * Whether the user may do something in a room now, also considering mutes, and whether it is frozen or archived. The settings of
 * an archived room are changed only together with `archived: false`.
 */
export function may(client: Pick<Client, "serverTime">, room: RoomInfo, permission: Permission, defaults?: DefaultPermissions): boolean {
  if (!room.isMember || room.role < lowestRole(room, permission, defaults)) return false;
  if (room.silencedUntil > client.serverTime && SAYS.includes(permission)) return false;
  if (room.isArchived) return permission === "editSettings";
  return !room.isFrozen || !ADDS.includes(permission);
}
