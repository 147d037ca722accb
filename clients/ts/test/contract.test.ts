import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Client, type LimitError, NotFoundError, PermissionDeniedError, type Storage, UnauthenticatedError, v1, WebSocketTransport } from "../src/index.js";
import { FileStorage } from "../src/node.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { eventually } from "./eventually.js";
import { Server } from "./server.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server.stop());

const TRANSPORTS = {
  websocket: (url: string) => new WebSocketTransport(url, WebSocket as never),
  "grpc-web": (url: string) => grpcWeb(url),
};

setFlagsFromString("--expose-gc");
/** Collects garbage while the stack is empty. */
const collect: (options: { execution: "async" }) => Promise<void> = runInNewContext("gc");

let names = 0;
const fresh = (name: string) => `${name}-${process.pid}-${names++}`;

describe.each(Object.entries(TRANSPORTS))("over %s", (_, transport) => {
  const clients: Client[] = [];
  afterAll(() => clients.forEach((client) => client.close()));

  async function client(userId: string, storage?: Storage): Promise<Client> {
    const token = await server.token(userId);
    const client = new Client({ url: server.url, token, transport: transport(server.url), ...(storage && { storage }) });
    clients.push(client);
    await client.start();
    return client;
  }

  /** Two users and their direct room. */
  async function pair() {
    const [alice, bob] = await Promise.all([client(fresh("alice")), client(fresh("bob"))]);
    const { roomId } = await alice.send({ toUser: bob.userId, text: "hello" });
    const room = async (client: Client) => {
      const room = await eventually("the room is there", () => client.room(roomId));
      await room.loadLatest();
      return room;
    };
    return { alice, bob, hers: await room(alice), his: await room(bob) };
  }

  const texts = (room: { messages: readonly { text: string }[] }) => room.messages.map(({ text }) => text);

  test("a hidden room is back with its next message, on every device", async () => {
    const { alice, bob, hers, his } = await pair();
    const phone = await client(alice.userId);
    const listed = (of: Client) => of.rooms.some(({ id }) => id === hers.id);
    await hers.setHidden(true);
    expect([listed(alice), hers.isHidden, alice.hiddenRooms]).toEqual([false, true, [hers]]);
    await eventually("it is hidden on the phone", () => !listed(phone));
    expect(listed(bob)).toBe(true);
    expect(texts(hers)).toEqual(["hello"]);
    await hers.setHidden(false);
    expect(listed(alice)).toBe(true);
    await eventually("it is shown on the phone", () => listed(phone));
    await hers.setHidden(true);
    await his.send("are you there?");
    for (const device of [alice, phone]) await eventually("it is back", () => listed(device));
    const tablet = await client(alice.userId);
    expect(listed(tablet)).toBe(true);
  });

  test("a group is made, filled, led and renamed, and shows who of it is online", async () => {
    const { alice, bob } = await pair();
    const [carol, absent] = [await client(fresh("carol")), fresh("absent")];
    const room = await alice.createRoom({ kind: "group", title: "Plans" });
    const kinds: string[] = [];
    room.on("member", ({ userId, kind }) => userId !== alice.userId && kinds.push(`${userId} ${kind}`));
    await room.addMembers([bob.userId, carol.userId]);
    await room.setRole(bob.userId, v1.Role.ADMIN);
    await eventually("it is in the others' lists", () => [bob, carol].every((one) => one.room(room.id) !== undefined));
    await bob.room(room.id)!.update({ topic: "this week" });
    await eventually("the topic has come", () => room.topic === "this week" && room.title === "Plans");

    await room.watchPresence();
    const everyone = [alice, bob, carol].map(({ userId }) => userId).sort();
    expect([room.members.map(({ userId }) => userId), room.online]).toEqual([everyone, everyone]);
    carol.close();
    await eventually("it is seen that one goes", () => !room.online.includes(carol.userId));

    await room.removeMember(carol.userId);
    await eventually("all of it was seen", () => kinds.length === 4);
    expect(kinds).toEqual([`${bob.userId} added`, `${carol.userId} added`, `${bob.userId} role`, `${carol.userId} removed`]);
    await expect(bob.room(room.id)!.setRole(alice.userId, v1.Role.MEMBER)).rejects.toBeInstanceOf(PermissionDeniedError);

    const profiles = await alice.users([bob.userId, absent, alice.userId]);
    expect(profiles.map(({ userId }) => userId)).toEqual([bob.userId, alice.userId]);
  });

  test("messages have a kind and data, rooms and users a picture and data, on all devices", async () => {
    const { alice, bob, hers, his } = await pair();
    const order = { id: 17, items: ["tea"], fields: { paid: false } };
    const seq = await hers.send("Order 17", { kind: "custom:order", data: order });
    await eventually("it has arrived", () => his.messages.at(-1)?.seq === seq);
    expect(his.messages.at(-1)).toMatchObject({ kind: "custom:order", text: "Order 17", data: order });
    expect(his.messages[0]).toMatchObject({ kind: "text", data: undefined });
    await hers.send("", { kind: "custom:wave", data: { from: "alice" } });
    await hers.edit(seq, "Order 17, paid", { data: { paid: true }, unsetData: ["items"] });
    const changed = { id: 17, fields: { paid: false }, paid: true };
    for (const room of [hers, his]) await eventually("the edit is there", () => isDeepStrictEqual(room.message(seq)?.data, changed));
    await hers.edit(seq, "Order 17, sent");
    for (const room of [hers, his]) await eventually("its text is", () => room.message(seq)?.text === "Order 17, sent");
    expect(his.message(seq)?.data).toEqual(changed);
    await expect(his.send("not the app", { kind: "system" })).rejects.toBeInstanceOf(PermissionDeniedError);

    const picture = "https://pictures.example/plans.png";
    const group = await alice.createRoom({ kind: "group", title: "Plans", imageUrl: picture, data: { order: 17 }, memberIds: [bob.userId] });
    const there = await eventually("he is in it", () => bob.room(group.id));
    await eventually("he has the picture", () => there.imageUrl === picture && there.data?.["order"] === 17);
    await group.update({ imageUrl: "", data: { state: "open" } });
    await eventually("it is gone", () => there.imageUrl === "" && isDeepStrictEqual(there.data, { order: 17, state: "open" }));
    await bob.refresh();
    const held = there.info;
    await bob.refresh();
    expect(there.info).toBe(held);
    await hers.delete(seq);
    await eventually("its data is gone, too", () => his.message(seq)?.deleted === true);
    expect(his.message(seq)?.data).toBeUndefined();
  });

  test("profiles have a picture and data, and people are found by the beginning of their name", async () => {
    const { alice, bob } = await pair();
    const name = fresh("Zoe Zimmer");
    const heard = new Promise<v1.User>((resolve) => bob.on("user", resolve));
    const { userId } = await alice.updateProfile({ name, imageUrl: "https://pictures.example/zoe.png", data: { status: "at lunch" } });
    expect(await heard).toMatchObject({ userId, name, imageUrl: "https://pictures.example/zoe.png", data: { status: "at lunch" } });
    await alice.updateProfile({ unsetData: ["status"] });
    const found = await bob.searchUsers(name.toUpperCase().slice(0, -1), { limit: 200 });
    const { userId: same, data = {} } = found.find((user) => user.name === name)!;
    expect([same, data]).toEqual([alice.userId, {}]);
    expect(await bob.searchUsers(fresh("nobody"))).toEqual([]);
  });

  test("the app's backend makes rooms with ids of its own, for others, and says things as the system", async () => {
    const owner = await client(fresh("owner"));
    const backend = new Client({ url: server.url, token: await server.backendToken(fresh("shop")), transport: transport(server.url) });
    clients.push(backend);
    await backend.start();
    const id = fresh("order");
    const made = { kind: "group", id, title: "Order", ownerId: owner.userId } as const;
    const rooms = [await backend.createRoom(made), await backend.createRoom({ ...made, title: "again" })];
    expect(rooms.map((room) => [room.id, room.title, room.isMember])).toEqual([1, 2].map(() => [id, "Order", false]));
    expect(backend.rooms).toEqual([]);
    const theirs = await eventually("the owner has it", () => owner.room(id));
    expect(theirs.role).toBe(v1.Role.OWNER);
    await rooms[0]!.send("Your order is on its way", { kind: "system" });
    await eventually("it is said", () => theirs.lastMessage?.kind === "system");
    const own = await backend.createRoom({ kind: "channel", id: fresh("news"), title: "News" });
    expect([own.isMember, own.role]).toEqual([true, v1.Role.OWNER]);
  });

  test("members are muted and slowed down, and everyone has preferences of their own, on all devices", async () => {
    const [alice, bob] = await Promise.all([client(fresh("alice")), client(fresh("bob"))]);
    const room = await alice.createRoom({ kind: "group", title: "Plans", memberIds: [bob.userId] });
    const his = await eventually("he is in it", () => bob.room(room.id));
    const kinds: string[] = [];
    his.on("member", ({ kind, reason }) => kinds.push(`${kind} ${reason}`));

    await room.muteMember(bob.userId, { seconds: 3_600, reason: "spam" });
    await eventually("he knows", () => his.silencedUntil > bob.serverTime + 3_500_000);
    await expect(his.send("unheard")).rejects.toMatchObject({ reason: "muted" });
    await room.unmuteMember(bob.userId);
    await eventually("he knows that, too", () => his.silencedUntil === 0);
    expect(kinds).toEqual(["muted spam", "unmuted "]);

    await room.update({ slowModeSeconds: 3_600 });
    await eventually("he knows", () => his.slowModeSeconds === 3_600);
    await his.send("the first");
    const refused = await his.send("too soon").catch((error: unknown) => error);
    expect(refused).toMatchObject({ reason: "slow_mode" });
    expect((refused as LimitError).retryDelayMs).toBeGreaterThan(3_000_000);
    // Nothing waits behind it.
    await his.react(room.headSeq, "👍");

    const phone = await client(bob.userId);
    await his.setPinned(true);
    await his.setMuted(true);
    await his.setMarkedUnread();
    const there = phone.room(room.id)!;
    await eventually("the phone has it", () => there.isPinned && there.mutedUntil === Infinity && there.isMarkedUnread);
    expect((await bob.call("getUnreadTotal", {})).unreadRooms).toBe(1);
    await there.markRead();
    await eventually("it was looked at on the phone", () => !his.isMarkedUnread);
    const { entries } = await bob.call("listInbox", { pinnedOnly: true });
    expect(entries.map(({ room }) => room?.roomId)).toEqual([room.id]);
    expect(entries[0]?.preferences).toMatchObject({ pinned: true, muted: true, markedUnread: false });
  });

  test("who is blocked writes no more in private, and who is banned is listed, on all devices", async () => {
    const { alice, bob, hers, his } = await pair();
    const phone = await client(bob.userId);
    expect(await bob.loadBlocked()).toEqual([]);
    await phone.loadBlocked();
    const changes: (readonly string[])[] = [];
    phone.on("blocked", (userIds) => changes.push(userIds));
    await bob.blockUser(alice.userId);
    expect(bob.blocked).toEqual([alice.userId]);
    await eventually("the phone knows", () => phone.getSnapshot("blocked").length === 1);
    await expect(hers.send("anyone?")).rejects.toMatchObject({ reason: "not_accepted" });
    const tablet = await client(bob.userId);
    expect(await tablet.loadBlocked()).toEqual([alice.userId]);
    await bob.unblockUser(alice.userId);
    await eventually("the phone knows that, too", () => phone.blocked.length === 0);
    expect(changes).toEqual([[alice.userId], []]);
    await hers.send("again");
    await eventually("he has it", () => texts(his).at(-1) === "again");

    const room = await alice.createRoom({ kind: "channel", title: "Open", memberIds: [bob.userId] });
    await room.banMember(bob.userId, { seconds: 3_600 });
    const [ban] = await room.bans();
    expect(ban).toMatchObject({ userId: bob.userId });
    expect(ban!.until).toBeGreaterThan(alice.serverTime + 3_500_000);
    await room.unbanMember(bob.userId);
    expect(await room.bans()).toEqual([]);
  });

  test("a new name reaches whoever shares a room", async () => {
    const { alice, bob } = await pair();
    const names: string[] = [];
    for (const one of [alice, bob]) one.on("user", ({ userId, name }) => userId === bob.userId && names.push(name));
    await bob.call("updateUser", { userId: "me", name: "Robert" });
    await eventually("both have it", () => names.length === 2);
    expect(names).toEqual(["Robert", "Robert"]);
  });

  test("two people talk, change their minds, and see how far it came", async () => {
    const { alice, hers, his } = await pair();
    expect(texts(his)).toEqual(["hello"]);
    expect(his.unreadCount).toBe(1);
    const states: string[] = [];
    hers.on("change", () => {
      const last = hers.messages.at(-1);
      const state = last?.text === "how are you?" && hers.stateOf(last);
      if (state && states.at(-1) !== state) states.push(state);
    });
    const seq = await hers.send("how are you?");
    await eventually("it has come", () => his.messages.length === 2);
    expect(his.unreadCount).toBe(2);
    let shown = his.unreadCount;
    his.on("change", () => (shown = his.unreadCount));
    await his.markRead();
    expect(his.unreadCount).toBe(0);
    expect(shown).toBe(0);
    await eventually("it is read", () => hers.stateOf(hers.messages.at(-1)!) === "read");
    expect(states[0]).toBe("sending");
    expect(states).toContain("sent");
    expect(states.at(-1)).toBe("read");

    // On another device, which was not connected when it was read.
    const tablet = new Client({ url: server.url, token: await server.token(alice.userId), transport: transport(server.url) });
    clients.push(tablet);
    await tablet.start();
    const there = tablet.room(hers.id)!;
    await there.loadLatest();
    await eventually("it is known to be read", () => there.stateOf(there.messages.at(-1)!) === "read");
    expect(there.readBy(seq)).toEqual([hers.peerId]);

    await his.react(seq, "👍");
    await eventually("the reaction is there", () => hers.messages.at(-1)?.reactions[0]?.userIds.length === 1);
    await hers.edit(seq, "how do you do?");
    await eventually("it is edited", () => his.messages.at(-1)?.text === "how do you do?");
    await hers.delete(seq);
    await eventually("it is deleted for both", () => his.messages.at(-1)?.deleted && hers.messages.at(-1)?.deleted);
    // Hers is shown before its event has arrived.
    await eventually("both have the same", () => isDeepStrictEqual(hers.messages.at(-1), his.messages.at(-1)));
    const answer = await his.send("fine", { replyToSeq: seq });
    const last = await eventually("the answer is there", () => hers.messages.find((message) => message.seq === answer));
    expect(last.replyToSeq).toBe(seq);

    his.startTyping();
    await eventually("he types", () => hers.typing.length === 1);
    await his.send("done");
    await eventually("he types no more", () => hers.typing.length === 0);
    await alice.watchPresence([hers.peerId]);
    expect(alice.isOnline(hers.peerId)).toBe(true);
  });

  test("what the server refuses is an error of its kind", async () => {
    const { alice, hers } = await pair();
    const strangers = await (await client(fresh("carol"))).call("createRoom", { kind: v1.RoomKind.GROUP });
    const roomId = strangers.room!.roomId;
    await expect(alice.send({ roomId, text: "let me in" })).rejects.toBeInstanceOf(PermissionDeniedError);
    await expect(alice.call("getUser", { userId: "nobody" })).rejects.toMatchObject({ reason: "user_not_found" });
    await expect(alice.call("getMessage", { roomId: hers.id, seq: 99n })).rejects.toBeInstanceOf(NotFoundError);
    const eve = new Client({ url: server.url, token: "garbage", transport: transport(server.url) });
    await expect(eve.start()).rejects.toBeInstanceOf(UnauthenticatedError);
  });

  test("nothing is lost, doubled or reordered while connections break and the server dies", async () => {
    const { hers, his } = await pair();
    const count = 300;
    const sent = Array.from({ length: count }, (_, number) => `${number}`);
    let done = 0;
    const sending = Promise.all(sent.map((text) => hers.send(text).then(() => done++)));
    const chaos = (async () => {
      for (const share of [0.1, 0.25, 0.4]) {
        await eventually("some are sent", () => done >= count * share);
        server.breakAll();
      }
      await eventually("half are sent", () => done >= count * 0.5);
      await server.end("SIGKILL");
      await server.launch();
      await eventually("more are sent", () => done >= count * 0.75);
      await server.end("SIGTERM");
      await server.launch();
    })();
    await Promise.all([sending, chaos]);
    await eventually("all have come", () => his.messages.length === count + 1);
    await eventually("all are back", () => hers.messages.length === count + 1 && hers.messages.every(({ seq }) => seq));
    expect(texts(his)).toEqual(["hello", ...sent]);
    expect(texts(hers)).toEqual(["hello", ...sent]);
    const seqs = his.messages.map(({ seq }) => seq!);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  });

  test("what was changed while cut off is carried out after a restart, but for what was withdrawn or is refused", async () => {
    const { alice, bob, hers, his } = await pair();
    const seq = hers.messages[0]!.seq!;
    const directory = await mkdtemp(path.join(tmpdir(), "parlance-queue-"));
    const before = await client(alice.userId, new FileStorage(directory));
    server.cut = true;
    server.breakAll();
    const room = before.room(hers.id)!;
    for (const change of [room.edit(seq, "better"), room.react(seq, "👍"), room.markRead()]) change.catch(() => {});
    before.send({ roomId: hers.id, text: "x".repeat(200_000) });
    const { id } = before.send({ roomId: hers.id, text: "kept" });
    await before.send({ roomId: hers.id, text: "withdrawn" }).discard();
    before.send({ roomId: hers.id, text: "last" });
    await eventually("everything is stored", () => before.storage.status === "durable");
    before.close();
    server.cut = false;
    const after = await client(alice.userId, new FileStorage(directory));
    await eventually("he has it", () => texts(his).at(-1) === "last");
    expect(texts(his)).toEqual(["better", "kept", "last"]);
    expect(his.messages[0]!.reactions).toEqual([{ emoji: "👍", userIds: [alice.userId] }]);
    expect(his.messages[1]!.key).toBe(`${alice.userId}/${id}`);
    await eventually("only what is refused is left", () => after.commands.every(({ state }) => state === "failed"));
    expect(after.commands).toMatchObject([{ kind: "send", error: { message: expect.any(String) } }]);
    expect([after.state.status, bob.state.status]).toEqual(["online", "online"]);
    await rm(directory, { recursive: true, force: true });
  });

  test("who closes is gone for the others, whatever was collected while it was there", async () => {
    const { alice, bob } = await pair();
    const isOnline = async () => {
      const { presences } = await bob.call("getPresence", { userIds: [alice.userId] });
      return presences[0]?.online;
    };
    expect(await isOnline()).toBe(true);
    await collect({ execution: "async" });
    alice.close();
    await eventually("she is gone", async () => (await isOnline()) === false);
  });

  test("a long history is scrolled back and forth", async () => {
    const { hers, his } = await pair();
    for (let number = 0; number < 120; number += 1) await hers.send(`${number}`);
    const all = ["hello", ...Array.from({ length: 120 }, (_, number) => `${number}`)];
    await his.loadLatest();
    expect(texts(his)).toEqual(all.slice(-50));
    while (his.hasOlder) await his.loadOlder();
    expect(texts(his)).toEqual(all);
    const middle = his.messages[60]!;
    await his.jumpTo(middle.seq!);
    expect(texts(his)).toContain(middle.text);
    expect(his.hasNewer).toBe(true);
    await hers.send("meanwhile");
    while (his.hasNewer) await his.loadNewer();
    while (his.hasOlder) await his.loadOlder();
    expect(texts(his)).toEqual([...all, "meanwhile"]);
  });
});
