import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";

import { inboxPages, listInbox, unreadTotal } from "../src/inbox.js";
import { type Client, v1 } from "../src/index.js";
import { all, person } from "./people.js";

test("the inbox is read in parts: the latest first, by kind, unread, pinned, hidden and archived", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const memberIds = [bob.userId];
  const first = await ann.createRoom({ kind: "group", title: "first", memberIds });
  const second = await ann.createRoom({ kind: "channel", title: "second", memberIds });
  const third = await ann.createRoom({ kind: "group", title: "third", memberIds });
  for (const room of [third, second, first]) await room.send(`in ${room.title}`);
  const { roomId: direct } = await ann.send({ toUser: bob.userId, text: "hello" });
  await vi.waitFor(() => expect(bob.unread.rooms).toBe(4));
  const titles = async (options = {}) => (await all(listInbox(bob, options))).map(({ id, title }) => (id === direct ? "direct" : title));

  expect(await titles()).toEqual(["direct", "first", "second", "third"]);
  expect(await titles({ pageSize: 1 })).toEqual(["direct", "first", "second", "third"]);
  expect((await all(listInbox(bob, { order: "id" }))).map(({ id }) => id)).toEqual([first.id, second.id, third.id, direct].sort());
  expect(await titles({ kinds: [v1.RoomKind.GROUP] })).toEqual(["first", "third"]);
  const [latest] = await all(listInbox(bob), 1);
  expect(latest).toMatchObject({ kind: v1.RoomKind.DIRECT, peerId: ann.userId, unreadCount: 1, isMember: true, lastMessage: { text: "hello" } });
  // They are what the client knows of its rooms once it has read them.
  await bob.refresh();
  expect(await all(listInbox(bob))).toEqual(bob.rooms.map(({ info }) => info));
  expect(Object.isFrozen(latest)).toBe(true);

  await bob.room(first.id)!.markRead();
  await bob.room(second.id)!.setPinned(true);
  await bob.room(third.id)!.setHidden(true);
  expect(await titles({ unreadOnly: true })).toEqual(["direct", "second"]);
  expect(await titles({ pinnedOnly: true })).toEqual(["second"]);
  expect(await titles()).toEqual(["direct", "first", "second"]);
  await first.update({ archived: true });
  expect(await titles()).toEqual(["direct", "second"]);
  expect((await titles({ includeHidden: true, includeArchived: true })).toSorted()).toEqual(["direct", "first", "second", "third"]);

  expect(await unreadTotal(bob)).toEqual({ messages: 2, rooms: 2, isPartial: false });
  await bob.room(direct)!.setMuted(true);
  expect(await unreadTotal(bob, { withoutMuted: true })).toEqual({ messages: 1, rooms: 1, isPartial: false });
});

test("pages of the inbox say what they leave out", async () => {
  const page = (roomId: string, left: object) => create(v1.ListInboxResponseSchema, { entries: [{ room: { roomId, settings: { title: roomId } }, membership: { active: true } }], ...left });
  const answers = [page("a", { isPartial: true, unreadableRoomIds: ["x"], nextPageToken: "2" }), page("b", { isPartial: true, unreadableRoomIds: ["x", "y"] })];
  const asked: string[] = [];
  const fake = () => ({ userId: "bob", call: async (_: string, { pageToken }: { pageToken: string }) => (asked.push(pageToken), answers[asked.length - 1]!) }) as unknown as Client;
  const pages = await all(inboxPages(fake()));
  expect(pages.map(({ rooms, ...left }) => [rooms.map(({ title }) => title), left])).toEqual([
    [["a"], { isPartial: true, unreadableRoomIds: ["x"] }],
    [["b"], { isPartial: true, unreadableRoomIds: ["x", "y"] }],
  ]);
  expect(asked).toEqual(["", "2"]);
});

test("a room that gets a message while the pages are read comes at the end, and none comes twice", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const rooms = await Promise.all(Array.from({ length: 6 }, (_, index) => ann.createRoom({ kind: "group", title: String(index), memberIds: [bob.userId] })));
  for (const room of rooms) await room.send("first");
  await vi.waitFor(() => expect(bob.unread.rooms).toBe(6));
  for (const order of ["latest", "id"] as const) {
    const titles: string[] = [];
    for await (const { title } of listInbox(bob, { order, unreadOnly: true, pageSize: 2 })) {
      // The first is read before, the others after it: one was listed already, of two only the place changes.
      if (titles.push(title) === 2) for (const index of [0, 5, 1]) await rooms[index]!.send("second");
    }
    expect(titles.toSorted()).toEqual(["0", "1", "2", "3", "4", "5"]);
    if (order === "latest") expect(titles).toEqual(["5", "4", "3", "2", "1", "0"]);
  }
});

test("it is read again only down to where it began, and once it was read without a change, no more", async () => {
  /** Rooms, each with the time of its last message in seconds. */
  type Answer = Record<string, number>;
  const walk = async (answers: readonly Answer[], tokens: readonly string[], most = Infinity) => {
    const asked: string[] = [];
    const call = async (_: string, { pageToken }: { pageToken: string }) => {
      asked.push(pageToken);
      const answer = answers[asked.length - 1]!;
      const entries = Object.entries(answer).map(([roomId, at]) => ({ room: { roomId }, activeAt: at ? { seconds: BigInt(at) } : undefined }));
      return create(v1.ListInboxResponseSchema, { entries, nextPageToken: tokens[asked.length - 1] ?? "" });
    };
    const rooms = await all(listInbox({ userId: "bob", call } as unknown as Client), most);
    return [rooms.map(({ id }) => id).join(""), asked.join()];
  };
  // One page is of one moment.
  expect(await walk([{ a: 3, b: 2 }], [])).toEqual(["ab", ""]);
  const changed: Answer[] = [{ a: 9, b: 8 }, { c: 7 }, { d: 12, a: 9 }, { b: 8, c: 7 }, { d: 12, a: 9 }];
  expect(await walk(changed, ["2", "", "2", "3", "2"])).toEqual(["abcd", ",2,,2,"]);
  // Nothing has changed.
  expect(await walk([{ a: 9, b: 8 }, { c: 7 }, { a: 9, b: 8 }], ["2", "", "2"])).toEqual(["abc", ",2,"]);
  // Nobody asks further than the loop goes.
  expect(await walk([{ a: 9, b: 8 }, { c: 7 }], ["2", ""], 3)).toEqual(["abc", ",2"]);
  // A server that does not know the order says no times.
  expect(await walk([{ a: 0 }, { b: 0 }], ["2", ""])).toEqual(["ab", ",2"]);
});
