import { create, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ClosedError, PreconditionError, TransportError, UnauthenticatedError, v1 } from "../src/index.js";
import { refused } from "../src/errors.js";
import { Positions } from "../src/session/positions.js";
import { Session } from "../src/session/session.js";
import { FakeTransport, message } from "./fake.js";

let transport: FakeTransport;
let session: Session;
let tokens: boolean[];
beforeEach(() => {
  vi.useFakeTimers();
  transport = new FakeTransport();
  tokens = [];
  session = new Session({
    transport,
    token: ({ refused }) => (tokens.push(refused), `token-${tokens.length}`),
    deviceId: "phone",
  });
  session.start();
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
});

/** Lets everything go on that waits for nothing but its turn. */
const settle = () => vi.advanceTimersByTimeAsync(0);

async function online(heads: { roomId: string; seq: bigint; epoch?: bigint }[] = []) {
  await settle();
  transport.last.welcome(heads);
  await settle();
  expect(session.state.status).toBe("online");
  return transport.last;
}

/** Waits for the next connection, however long that takes. */
async function reconnected(heads: Parameters<typeof online>[0] = []) {
  const before = transport.connections.length;
  for (let second = 0; second < 60 && transport.connections.length === before; second++) await vi.advanceTimersByTimeAsync(1_000);
  return online(heads);
}

test("it resumes where it was, and hands every event over once", async () => {
  const seen: bigint[] = [];
  session.on("event", ({ seq }) => seen.push(seq));
  const first = await online([{ roomId: "r", seq: 2n, epoch: 7n }]);
  first.event("r", 1n);
  first.event("r", 2n);
  await settle();
  first.frames.fail(new TransportError("cut"));
  const second = await reconnected();
  expect(second.hello.cursors).toMatchObject([{ roomId: "r", seq: 2n, epoch: 7n }]);
  expect(second.hello.deviceId).toBe("phone");
  second.event("r", 2n);
  second.event("r", 3n);
  await settle();
  expect(seen).toEqual([1n, 2n, 3n]);
});

test("rooms that one has left push no other out of the hello", async () => {
  const seq = 1n;
  const positions = new Positions();
  const rooms = Array.from({ length: 2_000 }, (_, index) => `room-${index}`);
  positions.seed(rooms.map((roomId) => create(v1.CursorSchema, { roomId, seq, epoch: 1n })));
  // Of others one hears later, and is no member of them any more.
  for (let index = 0; index < 500; index++) {
    positions.event(create(v1.EventSchema, { roomId: `left-${index}`, seq }), 0);
    positions.gap(create(v1.GapSchema, { roomId: `left-${index}`, fromSeq: 2n, toSeq: 0n, reason: v1.GapReason.NOT_MEMBER }), 0);
  }
  const named = positions.cursors().map(({ roomId }) => roomId);
  expect(named).toHaveLength(2_000);
  expect(new Set(named)).toEqual(new Set(rooms));
});

test("events of an unknown kind move the cursor", async () => {
  const seen: [bigint, string | undefined][] = [];
  session.on("event", ({ seq, body }) => seen.push([seq, body.case]));
  const first = await online();
  first.event("r", 1n);
  // As a server of a later version sends it: field 99 of the event is none that is known here.
  const event = create(v1.EventSchema, { roomId: "r", seq: 2n, actorId: "bob", messageCount: 1n });
  const encoded = new Uint8Array([...toBinary(v1.EventSchema, event), 0x9a, 0x06, 0x01, 0x78]);
  first.say({ case: "event", value: fromBinary(v1.EventSchema, encoded) });
  // And as JSON carries it: without it.
  first.say({ case: "event", value: fromJson(v1.EventSchema, { roomId: "r", seq: "3" }) });
  first.event("r", 4n);
  await settle();
  expect(seen).toEqual([[1n, "message"], [2n, undefined], [3n, undefined], [4n, "message"]]);
  first.frames.fail(new TransportError("cut"));
  const second = await reconnected();
  expect(second.hello.cursors).toMatchObject([{ roomId: "r", seq: 4n }]);
});

test("what was not answered goes out again as it was", async () => {
  const first = await online([{ roomId: "r", seq: 5n }]);
  const sent = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello" });
  const edited = session.call("editMessage", { roomId: "r", seq: 1n, text: "better" });
  await settle();
  const [message, edit] = first.sent;
  expect(message!.operation.value).toMatchObject({ afterSeq: 5n });
  first.event("r", 6n);
  first.frames.fail(new TransportError("cut"));
  const second = await reconnected();
  // The room has gone on, and they still say what was known when they were made.
  expect(second.sent).toEqual([message, edit]);
  second.say({ case: "reply", value: { requestId: message!.requestId, result: { case: "sendMessage", value: { seq: 7n } } } });
  second.say({ case: "reply", value: { requestId: edit!.requestId, result: { case: "editMessage", value: {} } } });
  expect((await sent).seq).toBe(7n);
  await edited;
  second.frames.fail(new TransportError("cut"));
  expect((await reconnected()).sent).toEqual([]);
});

test("it waits longer from failure to failure, and not at all when it is woken", async () => {
  const first = await online();
  transport.refusal = new TransportError("nobody there");
  first.frames.fail(transport.refusal);
  const delays: number[] = [];
  session.on("state", (state) => state.status === "waiting" && delays.push(state.retryAt - Date.now()));
  await vi.advanceTimersByTimeAsync(120_000);
  for (const [failures, delay] of delays.entries()) {
    const most = Math.min(20_000, 250 * 2 ** failures);
    expect(delay).toBeGreaterThanOrEqual(most / 2);
    expect(delay).toBeLessThanOrEqual(most);
  }
  expect(delays.length).toBeGreaterThan(8);
  const before = tokens.length;
  session.wake();
  await settle();
  expect(tokens.length).toBe(before + 1);
});

test("a server that drains is left when it says, and the next one found at once", async () => {
  const first = await online();
  first.say({ case: "draining", value: { reconnectAfter: { seconds: 3n, nanos: 500_000_000 } } });
  await vi.advanceTimersByTimeAsync(3_400);
  expect(first.closed).toBe(false);
  expect(transport.connections.length).toBe(1);
  await vi.advanceTimersByTimeAsync(101);
  expect(first.closed).toBe(true);
  expect(transport.connections.length).toBe(2);
});

test("a token that is about to expire is replaced on the same connection", async () => {
  const connection = await online();
  const expiring = { case: "tokenExpiring" as const, value: { expiresAfter: { seconds: 60n } } };
  connection.say(expiring);
  await settle();
  expect(tokens).toEqual([false, true]);
  expect(connection.of("refresh").map(({ operation }) => operation.value)).toMatchObject([{ token: "token-2" }]);
  connection.answer({ case: "refreshed", value: {} });
  await settle();
  // One that is refused, or does not come, changes nothing.
  connection.say(expiring);
  await settle();
  connection.answer({ case: "error", value: { code: 16, reason: "token_invalid", message: "no" } });
  await settle();
  expect(connection.closed).toBe(false);
  expect(session.state.status).toBe("online");
  expect(transport.connections.length).toBe(1);
});

test("a token at its end is followed by another one, and by none if that is refused too", async () => {
  const expired = { code: 16, reason: "token_expired", message: "expired" };
  const first = await online();
  first.say({ case: "reply", value: { result: { case: "error", value: expired } } });
  await settle();
  expect(tokens).toEqual([false, true]);
  const second = await online();
  await vi.advanceTimersByTimeAsync(15_000);
  second.say({ case: "reply", value: { result: { case: "error", value: expired } } });
  await settle();
  // That one had worked: it is asked for again.
  expect(tokens).toEqual([false, true, true]);
  transport.refusal = refused({ ...expired, metadata: {} });
  transport.last.frames.fail(transport.refusal);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(session.state).toMatchObject({ status: "closed", error: expect.any(UnauthenticatedError) });
});

test("a connection on which no answer comes is given up", async () => {
  const first = await online();
  void session.call("getUser", { userId: "me" }).catch(() => {});
  await vi.advanceTimersByTimeAsync(24_000);
  expect(first.closed).toBe(false);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(first.closed).toBe(true);
  expect((await reconnected()).sent).toHaveLength(1);
});

test("after a sleep of the machine a connection is doubted", async () => {
  const first = await online();
  session.wake();
  await vi.advanceTimersByTimeAsync(2_000);
  first.answer({ case: "getPresence", value: {} });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(first.closed).toBe(false);
  session.wake();
  await vi.advanceTimersByTimeAsync(7_000);
  expect(first.closed).toBe(true);
});

test("what is refused for now goes out again when the server said", async () => {
  const { sent } = await online();
  const call = session.call("getUser", { userId: "me" });
  await settle();
  transport.last.refuse({ code: 8, reason: "rate_limited", retryDelay: { seconds: 2n, nanos: 0 } });
  await vi.advanceTimersByTimeAsync(1_900);
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(500);
  expect(sent).toHaveLength(2);
  transport.last.answer({ case: "getUser", value: { user: { userId: "alice" } } });
  expect((await call).user?.userId).toBe("alice");
});

test("what is refused for good is an error with its reason", async () => {
  await online();
  const call = session.call("leaveRoom", { roomId: "r" });
  await settle();
  transport.last.refuse({ code: 9, reason: "owner_leaves", message: "hand it over first", metadata: { room_id: "r" } });
  await expect(call).rejects.toBeInstanceOf(PreconditionError);
  await expect(call).rejects.toMatchObject({ code: 9, reason: "owner_leaves", metadata: { room_id: "r" } });
});

for (const found of [true, false, "imported"]) {
  test(`a late retry looks through the log itself, and ${found === true ? "finds" : "does not find"} the message${found === "imported" ? ", but an imported one with its id" : ""}`, async () => {
    const connection = await online([{ roomId: "r", seq: 10n }]);
    const call = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello", clientMessageId: "m1" });
    await settle();
    connection.refuse({ code: 9, reason: "catch_up_first", metadata: { head_seq: "300" } });
    await settle();
    expect(connection.sent.at(-1)!.operation).toMatchObject({ case: "listEvents", value: { roomId: "r", fromSeq: 11n, toSeq: 300n } });
    connection.answer({ case: "listEvents", value: { events: [message("r", 11n, "x")], nextFromSeq: 211n } });
    await settle();
    expect(connection.sent.at(-1)!.operation).toMatchObject({ case: "listEvents", value: { fromSeq: 211n } });
    const own = message("r", 250n, "hello", "alice", "m1");
    if (found === "imported") Object.assign(own.body.value!, { sentAt: timestampFromMs(1) });
    connection.answer({ case: "listEvents", value: { events: found ? [own] : [] } });
    await settle();
    if (found !== true) {
      expect(connection.sent.at(-1)!.operation).toMatchObject({ case: "sendMessage", value: { clientMessageId: "m1", afterSeq: 300n } });
      connection.answer({ case: "sendMessage", value: { roomId: "r", seq: 301n } });
    }
    expect(await call).toMatchObject(found === true ? { seq: 250n, isRepeat: true } : { seq: 301n, isRepeat: false });
  });
}

test("a change whose events are on two pages of the log is found with all of them", async () => {
  const connection = await online([{ roomId: "r", seq: 10n }]);
  const call = session.call("addMembers", { roomId: "r", userIds: ["bob", "carol"], requestId: "m1" });
  await settle();
  connection.refuse({ code: 9, reason: "catch_up_first", metadata: { head_seq: "300" } });
  await settle();
  const own = (seq: bigint) => message("r", seq, "one of them", "alice", "m1");
  connection.answer({ case: "listEvents", value: { events: [message("r", 209n, "x"), own(210n)], nextFromSeq: 211n } });
  await settle();
  connection.answer({ case: "listEvents", value: { events: [own(211n), message("r", 212n, "x")], nextFromSeq: 213n } });
  expect(await call).toMatchObject({ outcome: { seq: 210n, lastSeq: 211n, isRepeat: true } });
});

test("what names an event is not moved to the end of a room that is shorter than it was", async () => {
  const connection = await online([{ roomId: "r", seq: 26n }]);
  const call = session.call("deleteMessage", { roomId: "r", seq: 9n });
  await settle();
  connection.refuse({ code: 11, reason: "cursor_ahead", metadata: { head_seq: "12", room_id: "r" } });
  await expect(call).rejects.toMatchObject({ reason: "cursor_ahead" });
  expect(connection.of("deleteMessage")).toHaveLength(1);
});

test("what names an event is not carried out in another epoch of its room, however long that is", async () => {
  const connection = await online([{ roomId: "r", seq: 26n, epoch: 1n }]);
  const call = session.call("deleteMessage", { roomId: "r", seq: 9n });
  const outcome = expect(call).rejects.toMatchObject({ reason: "room_restored" });
  const sent = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello" });
  await settle();
  expect(connection.of("deleteMessage")).toHaveLength(1);
  connection.frames.fail(new TransportError("lost"));
  await reconnected([{ roomId: "r", seq: 40n, epoch: 2n }]);
  const next = transport.last;
  await outcome;
  expect(next.of("deleteMessage")).toHaveLength(0);
  expect(next.of("sendMessage")).toHaveLength(1);
  next.answer({ case: "sendMessage", value: { roomId: "r", seq: 41n } });
  await sent;
});

test("what a user has asked for is not carried out as another one", async () => {
  const first = await online([]);
  const call = session.call("createRoom", { kind: v1.RoomKind.GROUP, settings: { title: "secret" } });
  const outcome = expect(call).rejects.toBeInstanceOf(ClosedError);
  await settle();
  first.frames.fail(new TransportError("cut"));
  while (transport.last === first) await vi.advanceTimersByTimeAsync(1_000);
  const second = transport.last;
  second.say({ case: "welcome", value: { userId: "carol", nodeId: "n1", heads: [] } });
  while (transport.last === second) await vi.advanceTimersByTimeAsync(1_000);
  transport.last.say({ case: "welcome", value: { userId: "carol", nodeId: "n1", heads: [] } });
  await settle();
  expect(session.state).toMatchObject({ status: "online", userId: "carol" });
  expect(transport.last.of("createRoom")).toEqual([]);
  await outcome;
});

test("a call can be given up, and ends with the client", async () => {
  await online();
  const abort = new AbortController();
  const given = session.call("getUser", { userId: "me" }, { signal: abort.signal });
  const left = session.call("getUser", { userId: "me" });
  const outcome = Promise.all([expect(given).rejects.toThrow("enough"), expect(left).rejects.toBeInstanceOf(ClosedError)]);
  abort.abort(new Error("enough"));
  session.close();
  await outcome;
  await expect(session.call("getUser", { userId: "me" })).rejects.toBeInstanceOf(ClosedError);
});

test("gaps are handed over without what is there already", async () => {
  const gaps: [bigint, bigint][] = [];
  session.on("gap", ({ fromSeq, toSeq }) => gaps.push([fromSeq, toSeq]));
  const connection = await online();
  connection.event("r", 5n);
  connection.say({ case: "gap", value: { roomId: "r", fromSeq: 1n, toSeq: 5n, reason: 1 } });
  connection.say({ case: "gap", value: { roomId: "r", fromSeq: 4n, toSeq: 20n, reason: 1 } });
  connection.event("r", 20n);
  connection.event("r", 21n);
  await settle();
  expect(gaps).toEqual([[6n, 20n]]);
  connection.frames.fail(new TransportError("cut"));
  expect((await reconnected()).hello.cursors[0]?.seq).toBe(21n);
});
