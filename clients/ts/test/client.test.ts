import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client, LimitError, TransportError, v1 } from "../src/index.js";
import { FakeTransport } from "./fake.js";

type Entry = MessageInitShape<typeof v1.InboxEntrySchema>;

let transport: FakeTransport;
let client: Client;
let inbox: Entry[];

beforeEach(() => {
  vi.useFakeTimers();
  [transport, inbox] = [new FakeTransport(), []];
  client = new Client({ url: "http://x", token: "t", transport });
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

/** An entry of the inbox; every event up to `head` is a message unless specified
 * otherwise. */
const entry = (roomId: string, head: number, fields: { title?: string; read?: number; peerId?: string; messages?: number; members?: number } = {}): Entry => {
  const { title = roomId, read = head, peerId = "", messages = head, members = 2 } = fields;
  const readCount = Math.min(read, messages);
  return {
    room: {
      roomId,
      kind: peerId ? v1.RoomKind.DIRECT : v1.RoomKind.GROUP,
      headSeq: BigInt(head),
      messageCount: BigInt(messages),
      memberCount: BigInt(members),
      settings: { title },
      epoch: 1n,
      createdAt: { seconds: 1_700_000_000n },
    },
    membership: { userId: "alice", role: v1.Role.MEMBER, active: true },
    read: { seq: BigInt(read), messageCount: BigInt(readCount) },
    unreadCount: BigInt(messages - readCount),
    peerId,
  };
};

const asked = (name: string) => transport.last.sent.filter(({ operation }) => operation.case === name);
const settle = () => vi.advanceTimersByTimeAsync(20);

/** Answers all open calls of an operation. */
function answer(name: string, value: (request: never) => object) {
  const connection = transport.last;
  for (const frame of connection.sent.filter(({ operation }) => operation.case === name)) {
    connection.sent.splice(connection.sent.indexOf(frame), 1);
    const result = { case: name, value: value(frame.operation.value as never) } as MessageInitShape<typeof v1.ReplySchema>["result"];
    connection.say({ case: "reply", value: { requestId: frame.requestId, ...(result && { result }) } });
  }
}

async function start() {
  const started = client.start();
  await settle();
  transport.last.welcome(inbox.map(({ room }) => ({ roomId: room!.roomId!, seq: room!.headSeq!, epoch: 1n })));
  await settle();
  answer("listInbox", () => ({ entries: inbox }));
  await settle();
  await started;
}

function event(roomId: string, seq: number, body: MessageInitShape<typeof v1.EventSchema>["body"], actorId = "bob") {
  const at = { seconds: BigInt(1_700_000_000 + seq) };
  transport.last.say({
    case: "event",
    value: { roomId, seq: BigInt(seq), at, actorId, requestId: `${actorId}-${seq}`, messageCount: BigInt(seq), ...(body && { body }) },
  });
}

const says = (roomId: string, seq: number, actorId = "bob") => event(roomId, seq, { case: "message", value: { text: `${seq}` } }, actorId);

function receipt(roomId: string, userId: string, readSeq: number, messageCount?: number) {
  const value = { roomId, userId, readSeq: BigInt(readSeq), ...(messageCount !== undefined && { messageCount: BigInt(messageCount) }) };
  transport.last.say({ case: "signal", value: { signal: { case: "receipt", value } } });
}

test("only what was received is acknowledged as delivered, whatever the head is", async () => {
  inbox = [entry("r", 10)];
  await start();
  says("r", 11);
  await settle();
  void client.refresh();
  await settle();
  inbox = [entry("r", 100)];
  answer("listInbox", () => ({ entries: inbox }));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(client.room("r")?.headSeq).toBe(100);
  expect(asked("acknowledgeDelivery").map(({ operation }) => operation.value)).toMatchObject([{ roomId: "r", seq: 11n }]);
});

test("events that arrive while the inbox is being read are not undone by it", async () => {
  inbox = [entry("r", 10, { title: "old" })];
  await start();
  void client.refresh();
  await settle();
  event("r", 11, { case: "roomChanged", value: { settings: { title: "new" } } });
  event("r", 12, { case: "memberRemoved", value: { userId: "alice" } });
  await settle();
  answer("listInbox", () => ({ entries: inbox }));
  await settle();
  expect(client.room("r")).toMatchObject({ title: "new", isMember: false });
  expect(client.rooms).toEqual([]);
});

test("a room that the whole inbox does not list any more is left", async () => {
  inbox = [entry("a", 10), entry("b", 10)];
  await start();
  void client.refresh();
  await settle();
  says("b", 11);
  await settle();
  answer("listInbox", () => ({ entries: [] }));
  await settle();
  expect(client.rooms.map(({ id }) => id)).toEqual(["b"]);
});

test("what another device read is not unread here", async () => {
  inbox = [entry("r", 10, { read: 0 })];
  await start();
  expect(client.unread).toEqual({ messages: 10, rooms: 1 });
  receipt("r", "alice", 10);
  await settle();
  expect(client.unread).toEqual({ messages: 0, rooms: 0 });
  receipt("r", "alice", 12);
  says("r", 11);
  says("r", 12);
  says("r", 13);
  await settle();
  expect(client.room("r")).toMatchObject({ readSeq: 12, unreadCount: 1 });
});

test("receipts of another device with a count need no inbox", async () => {
  inbox = [entry("r", 100, { read: 0, messages: 80 })];
  await start();
  for (let seq = 1; seq <= 40; seq++) receipt("r", "alice", seq, Math.floor(seq / 2));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(client.room("r")).toMatchObject({ readSeq: 40, unreadCount: 60 });
  expect(asked("listInbox")).toHaveLength(0);
});

test("receipts of another device without a count read the inbox now and then, however many there are", async () => {
  inbox = [entry("r", 100, { read: 0 })];
  await start();
  let reads = 0;
  for (let seq = 1; seq <= 40; seq++) {
    receipt("r", "alice", seq);
    await vi.advanceTimersByTimeAsync(250);
    reads += asked("listInbox").length;
    answer("listInbox", () => ({ entries: [entry("r", 100, { read: seq })] }));
  }
  await vi.advanceTimersByTimeAsync(6_000);
  reads += asked("listInbox").length;
  answer("listInbox", () => ({ entries: [entry("r", 100, { read: 40 })] }));
  await settle();
  expect(client.room("r")?.unreadCount).toBe(60);
  expect(reads).toBeLessThanOrEqual(4);
});

test("after a restore the room goes back with its seqs and counts", async () => {
  inbox = [entry("r", 100, { read: 90 })];
  await start();
  transport.last.say({ case: "gap", value: { roomId: "r", fromSeq: 1n, toSeq: 40n, reason: v1.GapReason.RESTORED, epoch: 2n } });
  await vi.advanceTimersByTimeAsync(200);
  expect(client.room("r")?.headSeq).toBe(40);
  const restored = entry("r", 40, { read: 30 });
  answer("listInbox", () => ({ entries: [{ ...restored, room: { ...restored.room, epoch: 2n } }] }));
  await settle();
  expect(client.room("r")).toMatchObject({ headSeq: 40, messageCount: 40, readSeq: 30, unreadCount: 10 });
});

test("slices are frozen, identical until they change, and emitted once for all that is received at once", async () => {
  inbox = Array.from({ length: 50 }, (_, at) => entry(`r${at}`, 10));
  await start();
  const room = client.room("r7")!;
  const before = { rooms: client.getSnapshot("rooms"), unread: client.getSnapshot("unread"), info: room.info, typing: room.typing };
  const calls = { rooms: vi.fn(), unread: vi.fn(), info: vi.fn(), typing: vi.fn(), list: vi.fn(), room: vi.fn() };
  client.subscribe("rooms", calls.rooms);
  client.subscribe("unread", calls.unread);
  client.on("rooms", calls.list);
  client.on("room", calls.room);
  room.subscribe("info", calls.info);
  room.subscribe("typing", calls.typing);
  for (let seq = 11; seq <= 110; seq++) says("r7", seq);
  await settle();
  expect(client.getSnapshot("rooms")[0]).toBe(room.info);
  expect(client.getSnapshot("rooms").slice(1)).toEqual(before.rooms.filter(({ id }) => id !== "r7"));
  expect(room.info).toMatchObject({ headSeq: 110, unreadCount: 100 });
  expect(before.info).toMatchObject({ headSeq: 10, unreadCount: 0 });
  expect(client.getSnapshot("unread")).toEqual({ messages: 100, rooms: 1 });
  for (const value of [room.info, client.getSnapshot("rooms"), client.getSnapshot("unread"), room.messages]) {
    expect(Object.isFrozen(value)).toBe(true);
  }
  expect(room.typing).toBe(before.typing);
  expect(calls.typing).not.toHaveBeenCalled();
  expect(calls.rooms.mock.calls.length).toBeLessThanOrEqual(2);
  expect(calls.list.mock.calls.length).toBeLessThanOrEqual(2);
  expect(client.getSnapshot("rooms")).toBe(client.getSnapshot("rooms"));
});

test("events say what changed", async () => {
  inbox = [entry("r", 1)];
  await start();
  const log: unknown[] = [];
  client.on("message", ({ seq, text }) => log.push(["message", seq, text]));
  client.on("edited", ({ seq, kind, userId }) => log.push(["edited", seq, kind, userId]));
  client.on("member", ({ kind, userId, byUserId }) => log.push(["member", kind, userId, byUserId]));
  client.on("typing", ({ userId, isTyping }) => log.push(["typing", userId, isTyping]));
  client.on("read", ({ userId, readSeq }) => log.push(["read", userId, readSeq]));
  says("r", 2);
  event("r", 3, { case: "messageEdited", value: { targetSeq: 2n, text: "two" } });
  event("r", 4, { case: "reactionAdded", value: { targetSeq: 2n, emoji: "👍" } });
  event("r", 5, { case: "memberAdded", value: { userId: "carol", role: v1.Role.MEMBER } });
  transport.last.say({ case: "signal", value: { signal: { case: "typing", value: { roomId: "r", userId: "carol", expiresAfter: { seconds: 6n } } } } });
  receipt("r", "bob", 5);
  await settle();
  await vi.advanceTimersByTimeAsync(6_000);
  expect(log).toEqual([
    ["message", 2, "2"],
    ["edited", 2, "text", "bob"],
    ["edited", 2, "reactions", "bob"],
    ["member", "added", "carol", "bob"],
    ["typing", "carol", true],
    ["read", "bob", 5],
    ["typing", "carol", false],
  ]);
});

test("the direct room with someone is found, hidden or not", async () => {
  inbox = [entry("a", 1, { peerId: "bob" }), { ...entry("b", 1, { peerId: "carol" }), hidden: true }];
  await start();
  expect(client.directRoomWith("bob")?.id).toBe("a");
  expect(client.directRoomWith("carol")?.id).toBe("b");
  expect(client.directRoomWith("dave")).toBeUndefined();
  event("d", 1, { case: "roomCreated", value: { kind: v1.RoomKind.DIRECT } });
  event("d", 2, { case: "memberAdded", value: { userId: "alice", role: v1.Role.MEMBER } });
  event("d", 3, { case: "memberAdded", value: { userId: "dave", role: v1.Role.MEMBER } });
  await settle();
  expect(client.directRoomWith("dave")?.id).toBe("d");
});

test("the direct rooms of one user are not found by the next one", async () => {
  inbox = [entry("a", 1, { peerId: "bob" })];
  await start();
  expect(client.directRoomWith("bob")?.id).toBe("a");
  for (let count = 0; count < 2; count++) {
    const { last } = transport;
    if (count === 0) last.frames.fail(new TransportError("cut"));
    while (transport.last === last) await vi.advanceTimersByTimeAsync(1_000);
    transport.last.say({ case: "welcome", value: { userId: "carol", nodeId: "n1", heads: [] } });
    await settle();
  }
  expect(client.userId).toBe("carol");
  expect(client.directRoomWith("bob")).toBeUndefined();
});

test("rooms are in order by their last message, however many move at once", async () => {
  inbox = Array.from({ length: 40 }, (_, at) => entry(`r${String(at).padStart(2, "0")}`, 10));
  await start();
  const order = () => client.rooms.map(({ id }) => id);
  for (const round of [[5], [3, 7, 3], Array.from({ length: 30 }, (_, at) => at)]) {
    for (const at of round) says(`r${String(at).padStart(2, "0")}`, 11 + (at * 7) % 23);
    await settle();
    const sorted = [...client.rooms].sort((a, b) => {
      const time = ({ lastMessage, memberSince }: (typeof client.rooms)[number]) => Math.max(lastMessage?.at.getTime() ?? 0, memberSince.getTime());
      return time(b) - time(a) || (a.id < b.id ? -1 : 1);
    });
    expect(order()).toEqual(sorted.map(({ id }) => id));
  }
});

test("messages of rooms that nobody watches are let go, but for those looked at last", async () => {
  inbox = Array.from({ length: 40 }, (_, at) => entry(`r${at}`, 10));
  await start();
  const watched = client.room("r0")!;
  watched.subscribe("messages", () => {});
  for (const { room } of inbox) {
    const loading = client.room(room!.roomId!)!.loadLatest();
    await settle();
    answer("listReceipts", () => ({}));
    answer("listMessages", ({ roomId }: v1.ListMessagesRequest) => ({
      messages: [create(v1.EventSchema, { roomId, seq: 10n, body: { case: "message", value: { text: "ten" } } })],
      headSeq: 10n,
      nextSeq: 10n,
    }));
    await settle();
    await loading;
  }
  const loaded = inbox.filter(({ room }) => client.room(room!.roomId!)!.getSnapshot("messages").length > 0).map(({ room }) => room!.roomId);
  expect(loaded).toHaveLength(16);
  expect(loaded).toContain("r0");
  expect(loaded).toContain("r39");
});

test("a quoted message is read once, and kept up to date", async () => {
  inbox = [entry("r", 10)];
  await start();
  const room = client.room("r")!;
  const changed = vi.fn();
  room.on("change", changed);
  expect([room.message(3), room.message(3)]).toEqual([undefined, undefined]);
  await settle();
  expect(asked("getMessage")).toHaveLength(1);
  event("r", 11, { case: "messageEdited", value: { targetSeq: 3n, text: "mended" } });
  answer("getMessage", () => ({ message: create(v1.EventSchema, { roomId: "r", seq: 3n, body: { case: "message", value: { text: "three" } } }) }));
  await settle();
  expect(room.message(3)?.text).toBe("mended");
  expect(asked("getMessage")).toHaveLength(0);
  expect(changed).toHaveBeenCalled();
});

test("a room that one creates or joins is there at once", async () => {
  await start();
  const creating = client.createRoom({ kind: "group", title: "Launch", memberIds: ["bob"] });
  await settle();
  answer("createRoom", () => ({ room: entry("g", 3, { title: "Launch", messages: 0 }).room }));
  await settle();
  expect(await creating).toMatchObject({ id: "g", title: "Launch", memberCount: 2, role: v1.Role.OWNER, unreadCount: 0 });
  const joining = client.joinRoom("c");
  await settle();
  answer("joinRoom", () => ({ outcome: { seq: 4n, lastSeq: 4n } }));
  await settle();
  answer("getRoom", () => ({ room: entry("c", 4, { title: "News" }).room, membership: { userId: "alice", role: v1.Role.MEMBER, active: true } }));
  await settle();
  expect((await joining).title).toBe("News");
  expect(client.rooms.map(({ id }) => id).sort()).toEqual(["c", "g"]);
});

test("members are listed once and followed from then on", async () => {
  inbox = [entry("r", 10)];
  await start();
  const room = client.room("r")!;
  const loading = room.loadMembers();
  await settle();
  event("r", 11, { case: "memberAdded", value: { userId: "carol", role: v1.Role.MEMBER } });
  answer("listMembers", () => ({ members: [{ userId: "alice", role: v1.Role.OWNER, active: true }, { userId: "bob", role: v1.Role.MEMBER, active: true }] }));
  await settle();
  await loading;
  event("r", 12, { case: "memberRemoved", value: { userId: "bob" } });
  event("r", 13, { case: "roleChanged", value: { userId: "carol", role: v1.Role.ADMIN } });
  await settle();
  expect(room.members).toEqual([
    { userId: "alice", role: v1.Role.OWNER, silencedUntil: 0 },
    { userId: "carol", role: v1.Role.ADMIN, silencedUntil: 0 },
  ]);
  const { members } = room;
  says("r", 14);
  await settle();
  expect(room.members).toBe(members);
});

test("all members are listed, however many pages that takes", async () => {
  inbox = [entry("r", 10)];
  await start();
  const loading = client.room("r")!.loadMembers();
  const member = (index: number) => ({ userId: `user-${String(index).padStart(3, "0")}`, role: v1.Role.MEMBER, active: true });
  const page = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => member(from + index));
  await settle();
  answer("listMembers", () => ({ members: page(0, 200), nextPageToken: "next" }));
  await settle();
  answer("listMembers", ({ pageToken }: v1.ListMembersRequest) => (expect(pageToken).toBe("next"), { members: page(200, 250) }));
  expect(await loading).toHaveLength(250);
});

test("a subscriber that throws keeps nobody else from being called", async () => {
  inbox = [entry("r", 1)];
  await start();
  const thrown: unknown[] = [];
  const queueMicrotask = vi.spyOn(globalThis, "queueMicrotask").mockImplementation((task) => {
    void Promise.resolve().then(task).catch((error: unknown) => thrown.push(error));
  });
  const room = client.room("r")!;
  const [others, changes] = [vi.fn(), vi.fn()];
  room.subscribe("info", () => {
    throw new Error("of a subscriber");
  });
  room.subscribe("info", others);
  room.on("change", changes);
  says("r", 2);
  await settle();
  expect(others).toHaveBeenCalled();
  expect(changes).toHaveBeenCalled();
  expect(thrown).toEqual([new Error("of a subscriber")]);
  queueMicrotask.mockRestore();
});

const preferences = (roomId: string, preferences: MessageInitShape<typeof v1.RoomPreferencesSchema>) =>
  transport.last.say({ case: "signal", value: { signal: { case: "roomPreferences", value: { roomId, preferences } } } });

test("what one prefers for a room is shown at once, confirmed by the server, and followed from other devices", async () => {
  inbox = [entry("a", 10), { ...entry("b", 20), preferences: { muted: true } } as Entry];
  await start();
  const room = client.room("b")!;
  expect([room.mutedUntil, room.isPinned, client.rooms.map(({ id }) => id)]).toEqual([Infinity, false, ["a", "b"]]);

  // Shown before the server answers.
  void room.setPinned(true);
  void room.setMuted(new Date(2_000_000_000_000));
  await settle();
  expect([room.mutedUntil, room.isPinned]).toEqual([2_000_000_000_000, true]);
  expect(client.rooms.map(({ id }) => id)).toEqual(["b", "a"]);
  answer("setRoomPreferences", () => ({ preferences: { pinned: true, muted: true } }));
  await settle();
  answer("setRoomPreferences", (request: v1.SetRoomPreferencesRequest) => {
    expect(request.mutedUntil?.seconds).toBe(2_000_000_000n);
    return { preferences: { pinned: true, muted: true, mutedUntil: request.mutedUntil! } };
  });
  await settle();
  expect([room.mutedUntil, room.isPinned, client.commands]).toEqual([2_000_000_000_000, true, []]);

  preferences("b", {});
  await settle();
  expect([room.mutedUntil, room.isPinned, client.rooms.map(({ id }) => id)]).toEqual([0, false, ["a", "b"]]);
});

test("a room is marked as unread until the read mark moves, on any device, or until it is looked at", async () => {
  inbox = [{ ...entry("a", 10, { read: 8 }), preferences: { markedUnread: true } } as Entry];
  await start();
  const room = client.room("a")!;
  expect([room.isMarkedUnread, client.unread]).toEqual([true, { messages: 2, rooms: 1 }]);
  receipt("a", "alice", 10, 10);
  await settle();
  expect([room.isMarkedUnread, client.unread]).toEqual([false, { messages: 0, rooms: 0 }]);

  preferences("a", { markedUnread: true });
  await settle();
  expect([room.isMarkedUnread, client.unread]).toEqual([true, { messages: 0, rooms: 1 }]);
  // Everything is read: the mark does not move, and the flag is taken back instead.
  void room.markRead();
  await settle();
  expect(room.isMarkedUnread).toBe(false);
  expect(asked("markRead")).toHaveLength(0);
  answer("setRoomPreferences", (request: v1.SetRoomPreferencesRequest) => (expect(request.markedUnread).toBe(false), { preferences: {} }));
  await settle();
  expect(room.isMarkedUnread).toBe(false);
});

test("a moderator's mutes and bans are events with their end and reason, and one's own mute and slow mode are known", async () => {
  inbox = [{ ...entry("r", 10), membership: { userId: "alice", role: v1.Role.MEMBER, active: true, mute: { until: { seconds: 2_000_000_000n } } } } as Entry];
  inbox[0]!.room!.settings = { title: "r", slowModeSeconds: 30 };
  await start();
  const room = client.room("r")!;
  expect([room.silencedUntil, room.slowModeSeconds]).toEqual([2_000_000_000_000, 30]);
  const members: unknown[] = [];
  room.on("member", ({ kind, userId, until, reason }) => members.push([kind, userId, until?.getTime(), reason]));
  event("r", 11, { case: "memberUnmuted", value: { userId: "alice" } });
  event("r", 12, { case: "memberMuted", value: { userId: "alice", reason: "spam" } });
  event("r", 13, { case: "memberBanned", value: { userId: "carol", until: { seconds: 2_000_000_000n }, reason: "more of it" } });
  event("r", 14, { case: "roomChanged", value: { settings: { title: "r" } } });
  await settle();
  expect(members).toEqual([
    ["unmuted", "alice", undefined, ""],
    ["muted", "alice", undefined, "spam"],
    ["banned", "carol", 2_000_000_000_000, "more of it"],
  ]);
  expect([room.silencedUntil, room.slowModeSeconds]).toEqual([Infinity, 0]);
  void room.muteMember("bob", { seconds: 3_600, reason: "spam" });
  void room.banMember("dave");
  await settle();
  answer("muteMember", (request: v1.MuteMemberRequest) => {
    expect([request.userId, request.duration?.seconds, request.reason]).toEqual(["bob", 3_600n, "spam"]);
    return { outcome: { seq: 15n } };
  });
  await settle();
  answer("banMember", (request: v1.BanMemberRequest) => (expect(request.duration).toBeUndefined(), { outcome: { seq: 16n } }));
  await settle();
  // What is no length of time is for the server to refuse.
  const lengths = [[1.5, 1n, 500_000_000], [NaN, 0n, 0], [-1, 0n, 0], [Infinity, 300_000_000_000n, 0]] as const;
  for (const [at, [given, seconds, nanos]] of lengths.entries()) {
    void room.banMember("dave", { seconds: given });
    await settle();
    answer("banMember", (request: v1.BanMemberRequest) => (expect(request.duration).toMatchObject({ seconds, nanos }), { outcome: { seq: BigInt(17 + at) } }));
    await settle();
  }
});

test("a message in slow mode is refused with its delay, and holds up nothing behind it", async () => {
  inbox = [entry("r", 10)];
  await start();
  const room = client.room("r")!;
  const message = room.send("too soon");
  const refusal = message.catch((error: unknown) => error as LimitError);
  room.react(3, "👍").catch(() => {});
  await settle();
  transport.last.refuse({ code: 8, reason: "slow_mode", message: "wait", retryDelay: { seconds: 7_200n } });
  await settle();
  expect(await refusal).toBeInstanceOf(LimitError);
  expect(((await refusal) as LimitError).retryDelayMs).toBe(7_200_000);
  expect(client.commands[0]).toMatchObject({ kind: "send", state: "failed", error: { reason: "slow_mode", retryAt: Date.now() + 7_200_000 - 20 } });
  expect(asked("addReaction")).toHaveLength(1);
});

test("profiles are read a hundred at a time", async () => {
  await start();
  const ids = Array.from({ length: 120 }, (_, index) => `user-${index}`);
  const users = client.users(ids);
  const profiles = ({ userIds }: v1.GetUsersRequest) => ({ users: userIds.map((userId) => ({ userId })) });
  await settle();
  answer("getUsers", profiles);
  await settle();
  answer("getUsers", profiles);
  expect((await users).map(({ userId }) => userId)).toEqual(ids);
  expect(await client.users([])).toEqual([]);
});

test("reads end with their signal", async () => {
  inbox = [entry("r", 10)];
  await start();
  const reading = new AbortController();
  const { signal } = reading;
  const reads = [client.users(["bob"], signal), client.openRoom("r", signal), client.room("r")!.bans(signal), client.searchUsers("b", { signal })];
  for (const read of reads) read.catch(() => {});
  await vi.waitFor(() => expect(asked("listBans")).toHaveLength(1));
  reading.abort(new Error("the page was left"));
  for (const read of reads) await expect(read).rejects.toThrow("the page was left");
});
