import { expect, test, vi } from "vitest";

import { durationOf } from "../src/duration.js";
import { InvalidRequestError, v1 } from "../src/index.js";
import { invitationsOf } from "../src/invitations.js";
import { createLink, joinByLink, listLinks, previewLink, revokeLink } from "../src/links.js";
import { person } from "./people.js";

test("a link is made, looked at by a stranger, used as often as it may be, and taken back", async () => {
  const [ann, bob, carol] = await Promise.all([person("ann"), person("bob"), person("carol")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans" });
  const added: [string, number][] = [];
  ann.on("event", ({ body }) => body.case === "memberAdded" && added.push([body.value.userId, Number(body.value.linkSeq)]));
  const { roomId, secret, seq, link } = await createLink(ann, room.id, { seconds: 3_600, maxUses: 1 });
  expect(secret).toMatch(/^[0-9a-f]{32}$/);
  expect(link).toMatchObject({ roomId: room.id, seq, createdBy: ann.userId, maxUses: 1, uses: 0, isSuspended: false });
  expect(link!.until.getTime() - link!.at.getTime()).toBe(3_600_000);

  const preview = await previewLink(bob, { roomId, secret });
  expect(preview).toMatchObject({ roomId, kind: v1.RoomKind.GROUP, title: "Plans", imageUrl: "", memberCount: 1 });
  const joined = await joinByLink(bob, { roomId, secret });
  expect([joined.id, joined.isMember, joined.title]).toEqual([room.id, true, "Plans"]);
  await vi.waitFor(() => expect(added).toContainEqual([bob.userId, seq]));
  for (const work of [() => previewLink(carol, { roomId, secret }), () => joinByLink(carol, { roomId, secret })]) {
    await expect(work()).rejects.toMatchObject({ reason: "link_invalid" });
  }

  const second = await createLink(ann, room.id);
  expect((await listLinks(ann, room.id)).map(({ seq, maxUses }) => [seq, maxUses])).toEqual([[second.seq, Infinity]]);
  await revokeLink(ann, { roomId: room.id, seq: second.seq });
  expect(await listLinks(ann, room.id)).toEqual([]);
  await expect(joinByLink(carol, second)).rejects.toMatchObject({ reason: "link_invalid" });
  await expect(createLink(bob, room.id)).rejects.toMatchObject({ code: 7 });
});

test("a link whose secret was lost with the answer is taken back, and another one is made", async () => {
  const ann = await person("ann");
  const room = await ann.createRoom({ kind: "group", title: "Plans" });
  const { call } = ann;
  let losses = 1;
  vi.spyOn(ann, "call").mockImplementation((async (name: "createInvitationLink", request: never) => {
    const answer = await call.call(ann, name, request);
    return name === "createInvitationLink" && losses-- > 0 ? { ...(answer as object), secret: "" } : answer;
  }) as never);
  const { secret, seq } = await createLink(ann, room.id);
  expect(secret).not.toBe("");
  expect((await listLinks(ann, room.id)).map((link) => link.seq)).toEqual([seq]);
});

test("no time left and no uses left are refused, and not taken for no limit", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans" });
  await room.addMembers([bob.userId]);
  for (const seconds of [0, NaN, -1, Infinity]) {
    await expect(createLink(ann, room.id, { seconds }), `${seconds}`).rejects.toThrow(InvalidRequestError);
    await expect(invitationsOf(ann).invite(room.id, "dora", { seconds }), `${seconds}`).rejects.toThrow(InvalidRequestError);
  }
  for (const maxUses of [0, NaN, -1, 1.5, 2 ** 32]) await expect(createLink(ann, room.id, { maxUses }), `${maxUses}`).rejects.toThrow(InvalidRequestError);
  for (const work of [() => room.muteMember(bob.userId, { seconds: 0 }), () => room.banMember(bob.userId, { seconds: 0 })]) await expect(work()).rejects.toThrow(InvalidRequestError);
  expect(await listLinks(ann, room.id)).toEqual([]);
  expect(await room.bans()).toEqual([]);

  const { link } = await createLink(ann, room.id, { seconds: 90.5, maxUses: Infinity });
  expect([link!.until.getTime() - link!.at.getTime(), link!.maxUses]).toEqual([90_500, Infinity]);
  expect([0.001, 1.9996, 0.9999999, -1.5].map(durationOf)).toEqual([
    { seconds: 0n, nanos: 1_000_000 },
    { seconds: 2n, nanos: 0 },
    { seconds: 1n, nanos: 0 },
    { seconds: 0n, nanos: 0 },
  ]);
});
