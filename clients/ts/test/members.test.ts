import { expect, test, vi } from "vitest";

import { PermissionDeniedError, v1 } from "../src/index.js";
import { listMembers, type MemberDataEvent, onMemberData, updateMember } from "../src/members.js";
import { all, person } from "./people.js";

test("members are listed with names, pictures and data, and data is changed by themselves and by admins", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  await bob.updateProfile({ name: "Bob B.", imageUrl: "https://pictures.example/bob.png" });
  const room = await ann.createRoom({ kind: "group", title: "Team", memberIds: [bob.userId] });
  const heard: MemberDataEvent[] = [];
  const stop = onMemberData(ann, (event) => heard.push(event));

  await updateMember(bob, { roomId: room.id, userId: "me" }, { data: { team: "red", points: 7 } });
  await updateMember(ann, { roomId: room.id, userId: bob.userId }, { data: { team: "blue" }, unsetData: ["points"] });
  await expect(updateMember(bob, { roomId: room.id, userId: ann.userId }, { data: { team: "red" } })).rejects.toThrow(PermissionDeniedError);
  const [first, second] = (await all(listMembers(ann, room.id, { pageSize: 1 }))).sort(({ userId }) => (userId === ann.userId ? -1 : 1));
  expect(first).toMatchObject({ userId: ann.userId, role: v1.Role.OWNER, imageUrl: "", data: undefined });
  expect(second).toEqual({
    userId: bob.userId,
    role: v1.Role.MEMBER,
    silencedUntil: 0,
    name: "Bob B.",
    imageUrl: "https://pictures.example/bob.png",
    data: { team: "blue" },
  });
  expect(Object.isFrozen(second)).toBe(true);

  await vi.waitFor(() => expect(heard).toHaveLength(2));
  expect(heard.map(({ roomId, userId, data, byUserId }) => [roomId, userId, data, byUserId])).toEqual([
    [room.id, bob.userId, { team: "red", points: 7 }, bob.userId],
    [room.id, bob.userId, { team: "blue" }, ann.userId],
  ]);
  stop();
  const aborted = AbortSignal.abort(new Error("enough"));
  await expect(all(listMembers(ann, room.id, { signal: aborted }))).rejects.toThrow("enough");
});
