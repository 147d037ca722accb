import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";

import { type Client, MemoryStorage, v1 } from "../src/index.js";
import { emptyRoom } from "../src/state/room-state.js";
import { applyToRoom } from "../src/state/apply-room.js";
import { person, server, unique, withToken } from "./people.js";

const ids = (rooms: readonly { id: string }[]) => rooms.map(({ id }) => id);

/** Where a room is. */
function listsOf(client: Client, roomId: string): string[] {
  const lists = { rooms: client.rooms, hiddenRooms: client.hiddenRooms, archivedRooms: client.archivedRooms };
  return Object.entries(lists).flatMap(([name, rooms]) => (ids(rooms).includes(roomId) ? [name] : []));
}

test("an archived room leaves the list of all members, does not count as unread, and returns with what it had", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId] });
  const seq = await room.send("the last word");
  await vi.waitFor(() => expect(bob.unread).toEqual({ messages: 1, rooms: 1 }));
  const his = bob.room(room.id)!;
  const changed = vi.fn();
  bob.subscribe("archivedRooms", changed);

  await room.update({ archived: true });
  await vi.waitFor(() => expect(his.isArchived).toBe(true));
  for (const client of [ann, bob]) await vi.waitFor(() => expect(listsOf(client, room.id)).toEqual(["archivedRooms"]));
  expect(bob.getSnapshot("archivedRooms")).toMatchObject([{ id: room.id, isArchived: true, isMember: true, unreadCount: 1 }]);
  await vi.waitFor(() => expect(changed).toHaveBeenCalledOnce());
  expect(bob.unread).toEqual({ messages: 0, rooms: 0 });
  await expect(his.send("one more")).rejects.toMatchObject({ reason: "room_archived" });
  await expect(his.update({ archived: false })).rejects.toMatchObject({ code: 7 });
  await his.loadLatest();
  expect(his.messages.find((message) => message.seq === seq)?.text).toBe("the last word");
  await his.setPinned(true);

  // What the inbox says is the same.
  await bob.refresh();
  expect(listsOf(bob, room.id)).toEqual(["archivedRooms"]);

  await room.update({ archived: false, title: "More plans" });
  await vi.waitFor(() => expect(listsOf(bob, room.id)).toEqual(["rooms"]));
  expect([his.title, his.isArchived, his.isPinned, bob.unread.messages]).toEqual(["More plans", false, true, 1]);
});

test("a room that was archived while a client was away, or before it had any state, is a member's as before", async () => {
  const [ann, userId] = [await person("ann"), unique("bob")];
  const [token, storage] = [await server.token(userId), new MemoryStorage()];
  const bob = await withToken(token, { storage });
  const room = await ann.createRoom({ kind: "channel", title: "News", memberIds: [userId] });
  await room.send("hello");
  await vi.waitFor(() => expect(bob.unread.messages).toBe(1));
  bob.close();
  await room.update({ archived: true });

  for (const options of [{ storage }, {}]) {
    const again = await withToken(token, options);
    expect(listsOf(again, room.id)).toEqual(["archivedRooms"]);
    expect(again.room(room.id)).toMatchObject({ isMember: true, title: "News", headSeq: room.headSeq });
    again.close();
  }
  // It is part of the last state, too.
  const offline = await withToken(token, { storage, transport: { open: () => new Promise(() => {}) } }, false);
  await vi.waitFor(() => expect(offline.getSnapshot("archivedRooms")).toMatchObject([{ id: room.id, title: "News" }]));
  expect(ids(offline.rooms)).toEqual([]);
});

test("hidden and archived, a room is archived, and hidden again when it is taken back", async () => {
  const ann = await person("ann");
  const room = await ann.createRoom({ kind: "group", title: "Plans" });
  await room.setHidden(true);
  await vi.waitFor(() => expect(listsOf(ann, room.id)).toEqual(["hiddenRooms"]));
  await room.update({ archived: true });
  await vi.waitFor(() => expect(listsOf(ann, room.id)).toEqual(["archivedRooms"]));
  await room.update({ archived: false });
  await vi.waitFor(() => expect(listsOf(ann, room.id)).toEqual(["hiddenRooms"]));
});

test("settings of a room from the inbox are those of its events, and the other way round", () => {
  const settings = { title: "t", frozen: true, archived: true, listed: true, slowModeSeconds: 30, permissions: { post: v1.Role.ADMIN } };
  const entry = create(v1.InboxEntrySchema, { room: { roomId: "r", headSeq: 3n, epoch: 1n, settings } });
  const listed = applyToRoom(emptyRoom("r"), { type: "inbox", roomId: "r", entry, order: 1 }, "ann").settings.value;
  const event = create(v1.EventSchema, { roomId: "r", seq: 4n, body: { case: "roomChanged", value: { settings } } });
  const changed = applyToRoom(emptyRoom("r"), { type: "event", roomId: "r", event }, "ann").settings.value;
  expect(listed).toEqual(changed);
  expect(listed).toMatchObject({ title: "t", isFrozen: true, isArchived: true, isListed: true, slowModeSeconds: 30, permissions: { post: v1.Role.ADMIN } });
});
