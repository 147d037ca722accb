import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";

import { v1 } from "../src/index.js";
import { defaultPermissions, lowestRole, may, type Permission } from "../src/permissions.js";
import { infoOf, type RoomInfo, valuesOf } from "../src/room/info.js";
import { emptyRoom } from "../src/state/room-state.js";
import { person } from "./people.js";

const ALL: readonly Permission[] = ["post", "react", "invite", "editSettings", "deleteMessages", "mentionAll"];
const { ADMIN, MEMBER, OWNER, UNSPECIFIED } = v1.Role;
const clock = { serverTime: 1_000 };

/** What somebody may do in such a room. */
function allowed(room: Partial<RoomInfo>, defaults?: v1.DefaultPermissions): Permission[] {
  const empty = emptyRoom("r");
  const info = { ...infoOf(empty, valuesOf(empty)), kind: v1.RoomKind.GROUP, isMember: true, role: MEMBER, ...room };
  return ALL.filter((permission) => may(clock, info, permission, defaults));
}

test.each<[string, Partial<RoomInfo>, readonly Permission[]]>([
  ["a member", {}, ["post", "react"]],
  ["an admin", { role: ADMIN }, ALL],
  ["the owner", { role: OWNER }, ALL],
  ["somebody else", { isMember: false, role: UNSPECIFIED }, []],
  ["a former admin", { isMember: false, role: ADMIN }, []],
  ["a member of a direct room", { kind: v1.RoomKind.DIRECT }, ["post", "react"]],
  ["a muted member", { silencedUntil: 1_001 }, []],
  ["a muted admin", { role: ADMIN, silencedUntil: Infinity }, ["invite", "deleteMessages"]],
  ["a member whose mute is over", { silencedUntil: 1_000 }, ["post", "react"]],
  ["an admin of a frozen room", { role: ADMIN, isFrozen: true }, ["editSettings", "deleteMessages"]],
  ["an admin of an archived room", { role: ADMIN, isArchived: true }, ["editSettings"]],
  ["a member of an archived room", { isArchived: true }, []],
  ["an admin of a room that is both", { role: ADMIN, isArchived: true, isFrozen: true }, ["editSettings"]],
])("%s", (_, room, expected) => expect(allowed(room)).toEqual(expected));

test("the room's own permissions are before those of its kind, and both before the usual ones", () => {
  const own = create(v1.RoomPermissionsSchema, { post: ADMIN, invite: MEMBER });
  const defaults = create(v1.DefaultPermissionsSchema, { group: { post: MEMBER, react: ADMIN }, channel: { post: OWNER, react: OWNER, invite: MEMBER } });
  expect(allowed({ permissions: own })).toEqual(["react", "invite"]);
  expect(allowed({ permissions: own }, defaults)).toEqual(["invite"]);
  expect(allowed({}, defaults)).toEqual(["post"]);
  expect(allowed({ kind: v1.RoomKind.CHANNEL }, defaults)).toEqual(["invite"]);
  expect(allowed({ kind: v1.RoomKind.DIRECT }, defaults)).toEqual(["post", "react"]);
});

test("what the owner sets is known to members at once, and what the server says of a kind is read", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId] });
  const his = await vi.waitFor(() => {
    expect(bob.room(room.id)).toBeDefined();
    return bob.room(room.id)!;
  });
  const defaults = await defaultPermissions(bob);
  expect(defaults).toMatchObject({ group: { invite: ADMIN }, channel: { post: MEMBER } });
  expect([may(bob, his.info, "invite", defaults), lowestRole(his.info, "invite", defaults)]).toEqual([false, ADMIN]);
  await room.update({ permissions: { invite: MEMBER, post: ADMIN } });
  await vi.waitFor(() => expect(may(bob, his.info, "invite", defaults)).toBe(true));
  expect([may(bob, his.info, "post", defaults), may(ann, room.info, "post", defaults), lowestRole(his.info, "post")]).toEqual([false, true, ADMIN]);
  await bob.refresh();
  expect(may(bob, his.info, "invite", defaults)).toBe(true);
  // A mention of all is one of them for bob, and he may not mention all himself.
  expect([may(bob, his.info, "mentionAll", defaults), may(ann, room.info, "mentionAll", defaults)]).toEqual([false, true]);
  await room.update({ permissions: { post: MEMBER } });
  await room.send("lunch, all?", { mentionAll: true });
  await vi.waitFor(() => expect(his.lastMessage).toMatchObject({ text: "lunch, all?", mentionsAll: true }));
  await expect(his.send("and cake?", { mentionAll: true })).rejects.toMatchObject({ reason: "needs_role" });
});
