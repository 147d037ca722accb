import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";

import { Client, type MemberEvent, PermissionDeniedError, TransportError, v1, WebSocketTransport } from "../src/index.js";
import { type Invitation, invitationsOf } from "../src/invitations.js";
import { FakeTransport } from "./fake.js";
import { Server } from "./server.js";

const at = (milliseconds: number) => ({ seconds: BigInt(Math.floor(milliseconds / 1_000)), nanos: 0 });
const IN_AN_HOUR = Date.now() + 3_600_000;
const invitation = (roomId: string, until = IN_AN_HOUR, invitedBy = "bob") => ({ roomId, userId: "alice", invitedBy, at: at(1_000), until: at(until), title: roomId });
const rooms = (all: readonly Invitation[]) => all.map(({ roomId }) => roomId).sort();

describe("of a fake server", () => {
  async function open() {
    const transport = new FakeTransport();
    const client = new Client({ url: "http://nowhere", token: "t", transport });
    onTestFinished(() => client.close());
    client.start().catch(() => {});
    await vi.waitFor(() => expect(transport.connections).toHaveLength(1));
    transport.last.welcome();
    await vi.waitFor(() => expect(client.state.status).toBe("online"));
    const asked = (count: number) => vi.waitFor(() => expect(transport.last.of("listInvitations")).toHaveLength(count));
    const answer = (index: number, invitations: ReturnType<typeof invitation>[], more: { nextPageToken?: string; unreadableRoomIds?: string[] } = {}) =>
      transport.last.reply(transport.last.of("listInvitations")[index]!.requestId, { case: "listInvitations", value: { invitations, ...more } });
    const signal = (roomId: string, invitation?: object) =>
      transport.last.say({ case: "signal", value: { signal: { case: "invitationChanged", value: { roomId, ...(invitation && { invitation }) } } } });
    return { client, invitations: invitationsOf(client), transport, asked, answer, signal };
  }

  test("changes while the list is read are newer than the list", async () => {
    const { client, invitations, transport, asked, answer, signal } = await open();
    const loading = invitations.load();
    await asked(1);
    answer(0, [invitation("a"), invitation("b")], { nextPageToken: "next" });
    await asked(2);
    signal("b");
    signal("d", invitation("d"));
    // Added by somebody else: no signal says so.
    transport.last.say({ case: "event", value: { roomId: "a", seq: 1n, actorId: "bob", body: { case: "memberAdded", value: { userId: "alice" } } } });
    await vi.waitFor(() => expect(client.room("a")).toBeDefined());
    answer(1, [invitation("c")]);
    expect(rooms(await loading)).toEqual(["c", "d"]);
    expect(Object.isFrozen(invitations.all) && invitations.all.every(Object.isFrozen)).toBe(true);
    expect(invitationsOf(client)).toBe(invitations);
  });

  test("it is read again on each connection, and what has not changed stays identical", async () => {
    const { invitations, transport, asked, answer } = await open();
    const loading = invitations.load();
    await asked(1);
    answer(0, [invitation("a"), invitation("b")]);
    const before = await loading;
    const changed = vi.fn();
    invitations.on("change", changed);
    const again = async (page: ReturnType<typeof invitation>[], unreadableRoomIds: string[] = []) => {
      const { length } = transport.connections;
      transport.last.frames.fail(new TransportError("lost"));
      await vi.waitFor(() => expect(transport.connections).toHaveLength(length + 1), { timeout: 10_000 });
      transport.last.welcome();
      await asked(1);
      answer(0, page, { unreadableRoomIds });
    };
    // A room that cannot be read for the moment is still there.
    await again([invitation("b")], ["a"]);
    await again([invitation("b"), invitation("c")]);
    await vi.waitFor(() => expect(rooms(invitations.all)).toEqual(["b", "c"]));
    expect(changed).toHaveBeenCalledOnce();
    expect(before).toContain(invitations.all.find(({ roomId }) => roomId === "b"));
  });

  test("on connections that end before the answer, one question waits, and not one more for each", async () => {
    const { client, invitations, transport, asked, answer } = await open();
    client.loadBlocked().catch(() => {});
    const loading = invitations.load();
    for (let count = 0; count < 4; count++) {
      await asked(1);
      await vi.waitFor(() => expect(transport.last.of("listBlocked")).toHaveLength(1));
      const { length } = transport.connections;
      transport.last.frames.fail(new TransportError("lost"));
      await vi.waitFor(() => expect(transport.connections).toHaveLength(length + 1), { timeout: 10_000 });
      transport.last.welcome();
    }
    await asked(1);
    answer(0, [invitation("a")]);
    // Who asked first has the latest.
    expect(rooms(await loading)).toEqual(["a"]);
    await vi.waitFor(() => expect(transport.last.of("listBlocked")).toHaveLength(1));
    transport.last.reply(transport.last.of("listBlocked")[0]!.requestId, { case: "listBlocked", value: { blocks: [{ userId: "carol" }] } });
    await vi.waitFor(() => expect(client.getSnapshot("blocked")).toEqual(["carol"]));
  });

  test("an invitation disappears when it expires", async () => {
    const { invitations, asked, answer } = await open();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const loading = invitations.load();
    await vi.advanceTimersByTimeAsync(0);
    await asked(1);
    answer(0, [invitation("a", IN_AN_HOUR), invitation("b", IN_AN_HOUR + 40 * 86_400_000)]);
    expect(rooms(await loading)).toEqual(["a", "b"]);
    await vi.advanceTimersByTimeAsync(3_601_000);
    expect(rooms(invitations.all)).toEqual(["b"]);
    // Longer than a timer can be.
    await vi.advanceTimersByTimeAsync(39 * 86_400_000);
    expect(rooms(invitations.all)).toEqual(["b"]);
    await vi.advanceTimersByTimeAsync(86_400_000);
    expect(invitations.all).toEqual([]);
  });

  test("one that is being answered is not shown, and again if that is refused; not if it is over", async () => {
    const { invitations, transport, asked, answer, signal } = await open();
    const loading = invitations.load();
    await asked(1);
    answer(0, [invitation("a")]);
    await loading;
    const refuse = async (name: "acceptInvitation" | "declineInvitation", count: number, reason: string) => {
      await vi.waitFor(() => expect(transport.last.of(name)).toHaveLength(count));
      transport.last.reply(transport.last.of(name).at(-1)!.requestId, { case: "error", value: { code: 7, reason } });
    };
    const first = invitations.accept("a");
    expect(invitations.all).toEqual([]);
    await refuse("acceptInvitation", 1, "room_frozen");
    await expect(first).rejects.toThrow(PermissionDeniedError);
    expect(rooms(invitations.all)).toEqual(["a"]);

    const second = invitations.accept("a");
    await refuse("acceptInvitation", 2, "not_invited");
    await expect(second).rejects.toMatchObject({ reason: "not_invited" });
    expect(invitations.all).toEqual([]);

    signal("a", invitation("a"));
    await vi.waitFor(() => expect(rooms(invitations.all)).toEqual(["a"]));
    const third = invitations.decline("a");
    await vi.waitFor(() => expect(transport.last.of("declineInvitation")).toHaveLength(1));
    // Invited again before the answer has arrived.
    signal("a", invitation("a", IN_AN_HOUR, "carol"));
    transport.last.reply(transport.last.of("declineInvitation")[0]!.requestId, { case: "declineInvitation", value: {} });
    await third;
    expect(invitations.all.map(({ invitedBy }) => invitedBy)).toEqual(["carol"]);
  });
});

describe("of a server", () => {
  let [server, strict] = [] as unknown as [Server, Server];
  beforeAll(async () => void ([server, strict] = await Promise.all([Server.start(), Server.start("--additions", "invite")])));
  afterAll(() => Promise.all([server.stop(), strict.stop()]));

  async function person(name: string, at = server): Promise<Client> {
    const userId = `${name}-${Math.random().toString(36).slice(2)}`;
    const client = new Client({ url: at.url, token: await at.token(userId), transport: new WebSocketTransport(at.url, WebSocket) });
    onTestFinished(() => client.close());
    await client.start();
    return client;
  }

  test("somebody is invited, accepts, and is a member; another one declines; a third invitation is taken back", async () => {
    const [ann, bob, carol, dora] = await Promise.all([person("ann"), person("bob"), person("carol"), person("dora")]);
    const room = await ann.createRoom({ kind: "group", title: "Plans" });
    const happened: MemberEvent[] = [];
    room.on("member", (event) => event.userId !== ann.userId && happened.push(event));
    const all = [bob, carol, dora].map(invitationsOf);
    await Promise.all(all.map((invitations) => invitations.load()));
    const [ofBob, ofCarol, ofDora] = all as [typeof all[0], typeof all[0], typeof all[0]];
    const ofAnn = invitationsOf(ann);
    for (const { userId } of [bob, carol, dora]) await ofAnn.invite(room.id, userId, { seconds: 3_600 });
    for (const invitations of all) await vi.waitFor(() => expect(rooms(invitations.all)).toEqual([room.id]));
    expect(ofBob.all[0]).toMatchObject({ userId: bob.userId, invitedBy: ann.userId, title: "Plans", kind: v1.RoomKind.GROUP, memberCount: 1 });
    expect(Math.abs(ofBob.all[0]!.until.getTime() - ofBob.all[0]!.at.getTime() - 3_600_000)).toBeLessThan(1_000);
    expect((await ofAnn.toRoom(room.id)).map(({ userId }) => userId)).toEqual([bob, carol, dora].map(({ userId }) => userId).sort());

    const joined = await ofBob.accept(room.id);
    expect(joined).toMatchObject({ id: room.id, title: "Plans", isMember: true });
    await ofCarol.decline(room.id);
    await ofAnn.revoke(room.id, dora.userId);
    for (const invitations of all) await vi.waitFor(() => expect(invitations.all).toEqual([]));
    await expect(ofDora.accept(room.id)).rejects.toMatchObject({ reason: "not_invited" });
    expect(await ofAnn.toRoom(room.id)).toEqual([]);
    await vi.waitFor(() => expect(happened.map(({ kind, userId, byUserId }) => [kind, userId, byUserId])).toEqual([
      ...[bob, carol, dora].map(({ userId }) => ["invited", userId, ann.userId]),
      ["added", bob.userId, bob.userId],
      ["uninvited", carol.userId, carol.userId],
      ["uninvited", dora.userId, ann.userId],
    ]));
    expect(happened[0]!.until).toBeInstanceOf(Date);
  });

  test("an answer on one device is seen on the other", async () => {
    const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
    const other = new Client({ url: server.url, token: await server.token(bob.userId), transport: new WebSocketTransport(server.url, WebSocket) });
    onTestFinished(() => other.close());
    await other.start();
    const room = await ann.createRoom({ kind: "channel", title: "News" });
    await Promise.all([bob, other].map((client) => invitationsOf(client).load()));
    await invitationsOf(ann).invite(room.id, bob.userId);
    for (const client of [bob, other]) await vi.waitFor(() => expect(rooms(invitationsOf(client).all)).toEqual([room.id]));
    await invitationsOf(bob).decline(room.id);
    await vi.waitFor(() => expect(invitationsOf(other).all).toEqual([]));
  });

  test("where the server takes consent, strangers who are added are invited, and the answer names them", async () => {
    const [ann, bob] = await Promise.all([person("ann", strict), person("bob", strict)]);
    const room = await ann.createRoom({ kind: "group", title: "Plans" });
    expect(await room.addMembers([bob.userId])).toEqual([bob.userId]);
    await invitationsOf(bob).load();
    await invitationsOf(bob).accept(room.id);
    const second = await ann.createRoom({ kind: "group", title: "More" });
    // By now they know each other.
    expect(await second.addMembers([bob.userId])).toEqual([]);
    const [carol, dora] = [await person("carol", strict), await person("dora", strict)];
    const third = await ann.createRoom({ kind: "group", title: "All", memberIds: [carol.userId, bob.userId, dora.userId] });
    expect([...third.invitedUserIds].sort()).toEqual([carol.userId, dora.userId].sort());
    expect(ann.room(third.id)?.invitedUserIds).toBe(third.invitedUserIds);
  });
});
