/**
 * Members of a room with their names and pictures, and with the data that the app keeps about them there. `room.members` has their
 * ids and roles, and is kept up to date.
 *
 * @module
 */
import type { JsonObject } from "@bufbuild/protobuf";

import type { Client } from "./client/client.js";
import type { Member as MemberMessage } from "./gen/chat_pb.js";
import type { RoomMember } from "./room/info.js";
import type { DataChange } from "./room/message.js";
import type { RequestOf } from "./session/operations.js";
import { pages } from "./session/pages.js";
import { endOf } from "./state/until.js";

const PAGE = 50;

/** A member as they were when the list was read. */
export interface Member extends RoomMember {
  /** The name in their profile; empty if the user may not see it. The event `user` has changes. */
  readonly name: string;
  /** URL of a picture; empty for none. */
  readonly imageUrl: string;
  /** Data of the app about them in this room, which ends with their membership. Changes come by {@link onMemberData}. */
  readonly data: JsonObject | undefined;
}

/** The data of a member was changed. */
export interface MemberDataEvent {
  readonly roomId: string;
  readonly seq: number;
  readonly userId: string;
  /** All of it after the change; undefined if it was changed again since, or the membership has ended. */
  readonly data: JsonObject | undefined;
  /** The acting user. */
  readonly byUserId: string;
}

/** How members are listed. */
export interface MembersOptions {
  /** Members per request, at most 200. */
  pageSize?: number;
  signal?: AbortSignal;
}

/** The members of a room by user id, read page by page as the loop goes on. */
export async function* listMembers(client: Client, roomId: string, { pageSize = PAGE, signal }: MembersOptions = {}): AsyncGenerator<Member, void> {
  for await (const { members } of pages((pageToken) => client.call("listMembers", { roomId, pageSize, pageToken }, signal))) yield* members.map(memberOf);
}

/**
 * Sets and removes keys of the data of a member; others stay. Allowed for oneself (`me`), and for those who may change the settings,
 * of members with a lower role.
 */
export async function updateMember(client: Client, { roomId, userId }: { roomId: string; userId: string }, change: DataChange): Promise<void> {
  await client.change("updateMember", { roomId, userId, ...change } as RequestOf<"updateMember">);
}

/** Calls `listener` when the data of a member changes in any of the user's rooms. Returns a function that unsubscribes. */
export function onMemberData(client: Client, listener: (event: MemberDataEvent) => void): () => void {
  return client.on("event", ({ roomId, seq, actorId, body }) => {
    if (body.case !== "memberUpdated") return;
    const { userId, data } = body.value;
    listener(Object.freeze({ roomId, seq: Number(seq), userId, data, byUserId: actorId }));
  });
}

function memberOf({ userId, role, mute, displayName: name, imageUrl, data }: MemberMessage): Member {
  return Object.freeze({ userId, role, silencedUntil: endOf(mute), name, imageUrl, data });
}
