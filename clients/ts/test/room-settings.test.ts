import { expect, test, vi } from "vitest";

import { MemoryStorage, type RoomDeletion, v1 } from "../src/index.js";
import { person, server, unique, withToken } from "./people.js";

test("a room is made with all its settings, and members see how they change", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const title = unique("garden");
  const room = await ann.createRoom({
    kind: "channel",
    title,
    history: "since_joined",
    listed: true,
    joining: v1.RoomJoining.BY_REQUEST,
    permissions: { invite: v1.Role.MEMBER },
    memberIds: [bob.userId],
  });
  expect(room).toMatchObject({ title, history: "since_joined", isListed: true, joining: v1.RoomJoining.BY_REQUEST, permissions: { invite: v1.Role.MEMBER } });
  const his = await vi.waitFor(() => expect(bob.room(room.id)).toMatchObject({ history: "since_joined", isListed: true })).then(() => bob.room(room.id)!);
  await room.update({ history: "all", listed: false });
  await vi.waitFor(() => expect(his).toMatchObject({ title, history: "all", isListed: false }));
  const defaults = [await ann.createRoom({ kind: "channel", title }), await ann.createRoom({ kind: "group" })];
  expect(defaults.map(({ history, isListed }) => [history, isListed])).toEqual([["all", false], ["since_joined", false]]);
});

test("how much of the history a new member may read is part of the last state", async () => {
  const [token, storage] = [await server.token(unique("ann")), new MemoryStorage()];
  const ann = await withToken(token, { storage });
  const rooms = [await ann.createRoom({ kind: "group", history: "all" }), await ann.createRoom({ kind: "channel", history: "since_joined" })];
  ann.close();
  const offline = await withToken(token, { storage, transport: { open: () => new Promise(() => {}) } }, false);
  await vi.waitFor(() => expect(rooms.map(({ id }) => offline.room(id)?.history)).toEqual(["all", "since_joined"]));
});

test("its owner deletes a room: who is a member learns of it, and it is in no list any more", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId] });
  const seq = await room.send("soon gone");
  const his = await vi.waitFor(() => expect(bob.room(room.id)?.headSeq).toBe(seq)).then(() => bob.room(room.id)!);
  await expect(his.deleteRoom()).rejects.toMatchObject({ name: "PermissionDeniedError" });
  const deletions: RoomDeletion[] = [];
  const deleted = (deletion: RoomDeletion) => void deletions.push(deletion);
  his.on("deleted", deleted);
  bob.on("deleted", deleted);
  room.on("deleted", deleted);
  await room.deleteRoom();
  const deletion = { roomId: room.id, seq: seq + 1, byUserId: ann.userId };
  await vi.waitFor(() => expect(deletions).toEqual([deletion, deletion, deletion]));
  for (const client of [ann, bob]) await vi.waitFor(() => expect(client.rooms).toEqual([]));
  expect([his.isMember, room.isMember]).toEqual([false, false]);
});
