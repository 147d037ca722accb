import { toJsonString } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ClosedError, OfflineError, TransportError, UnauthenticatedError, v1 } from "../src/index.js";
import { frameTooLarge, refused } from "../src/errors.js";
import { Session, type TokenProvider } from "../src/session/session.js";
import { type FakeConnection, FakeHost, FakeTransport } from "./fake.js";

const MAX_FRAME_BYTES = 131_072;

let transport: FakeTransport;
let host: FakeHost;
let session: Session;
let token: TokenProvider;
beforeEach(() => {
  vi.useFakeTimers();
  transport = new FakeTransport();
  host = new FakeHost();
  token = () => "token";
  session = new Session({ transport, host, token: (request) => token(request) });
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
});

/** Runs everything that is ready. */
const settle = () => vi.advanceTimersByTimeAsync(0);
const seconds = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);

async function online(heads: { roomId: string; seq: bigint; epoch?: bigint }[] = []): Promise<FakeConnection> {
  session.start();
  await settle();
  transport.last.welcome(heads);
  await settle();
  expect(session.state.status).toBe("online");
  return transport.last;
}

/** The next connection, after any delay, with a welcome. */
async function reconnected(): Promise<FakeConnection> {
  const before = transport.connections.length;
  for (let second = 0; second < 60 && transport.connections.length === before; second++) await seconds(1);
  return online();
}

/** Answers probes, like a live server. */
function answerProbes(connection: FakeConnection): void {
  connection.onsend = ({ requestId, operation }) => {
    if (operation.case === "getPresence") connection.reply(requestId, { case: "getPresence", value: {} });
  };
}

const streamError = (code: number, reason: string) => ({ case: "reply", value: { result: { case: "error", value: { code, reason, message: reason } } } }) as const;

test("a connection that falls silent is probed, and left without an answer", async () => {
  const first = await online();
  await seconds(24);
  expect(first.sent).toEqual([]);
  await seconds(2);
  expect(first.sent).toHaveLength(1);
  await seconds(9);
  expect(first.closed).toBe(false);
  await seconds(2);
  expect(first.closed).toBe(true);
  await reconnected();
});

test("a quiet connection that answers its probes is kept", async () => {
  const first = await online();
  answerProbes(first);
  await seconds(3_600);
  expect(transport.connections).toHaveLength(1);
  expect(first.sent.length).toBeLessThan(3_600 / 25 + 1);
});

test("a sleep is noticed by the wall clock where the monotonic one stood still", async () => {
  const first = await online();
  vi.setSystemTime(Date.now() + 2 * 3_600_000);
  await seconds(2);
  expect(first.sent).toHaveLength(1);
  expect(first.closed).toBe(false);
  await seconds(6);
  expect(first.closed).toBe(true);
});

test("a clock that is set does not end a connection with unanswered calls", async () => {
  for (const shift of [3_600_000, -7_200_000]) {
    const first = await online();
    answerProbes(first);
    const call = session.call("getUser", { userId: "me" });
    await settle();
    vi.setSystemTime(Date.now() + shift);
    await seconds(8);
    expect(first.closed).toBe(false);
    first.reply(first.of("getUser").at(-1)!.requestId, { case: "getUser", value: {} });
    await call;
  }
});

test("without a network the state says so at once, and with one it is tried at once", async () => {
  const first = await online();
  transport.refusal = new TransportError("nobody there");
  host.goOffline();
  expect(session.state).toMatchObject({ status: "waiting", error: expect.any(OfflineError) });
  expect(first.closed).toBe(true);
  await seconds(120);
  expect(session.state).toMatchObject({ error: expect.any(OfflineError) });
  transport.refusal = undefined;
  host.goOnline();
  await settle();
  expect(transport.connections).toHaveLength(2);
});

test("a network that goes during an attempt ends it at once", async () => {
  transport.hangs = true;
  session.start();
  await settle();
  host.goOffline();
  await settle();
  expect(session.state).toMatchObject({ status: "waiting", error: expect.any(OfflineError) });
  expect(transport.signals[0]!.aborted).toBe(true);
});

test("a network that comes back during an attempt does not leave it waiting", async () => {
  session.start();
  transport.hangs = true;
  await seconds(5);
  transport.hangs = false;
  host.goOnline();
  await settle();
  expect(transport.signals[0]!.aborted).toBe(true);
  expect(transport.connections).toHaveLength(1);
});

test("a wake does not cut short a delay that the server asked for", async () => {
  const first = await online();
  const delay = { seconds: 30n, nanos: 0 };
  first.say({ case: "reply", value: { result: { case: "error", value: { code: 14, reason: "unavailable", retryDelay: delay } } } });
  first.frames.end();
  await settle();
  for (let second = 0; second < 29; second++) {
    session.wake();
    host.goOnline();
    await seconds(1);
  }
  expect(transport.connections).toHaveLength(1);
  await seconds(2);
  expect(transport.connections).toHaveLength(2);
});

test("a token provider that hangs is given up and asked again", async () => {
  const signals: AbortSignal[] = [];
  token = ({ signal }) => (signals.push(signal), new Promise(() => {}));
  session.start();
  await seconds(20);
  expect(signals[0]!.aborted).toBe(true);
  token = () => "token";
  await seconds(2);
  expect(transport.connections).toHaveLength(1);
});

test("an open that hangs is aborted and repeated", async () => {
  transport.hangs = true;
  session.start();
  await seconds(15);
  expect(transport.signals[0]!.aborted).toBe(true);
  transport.hangs = false;
  await seconds(2);
  expect(transport.connections).toHaveLength(1);
});

for (const [code, reason] of [[3, "malformed_json"], [3, "frame_too_large"], [5, "unknown_path"], [7, "origin_not_allowed"], [9, "hello_required"], [11, "cursor_ahead"], [13, "internal"]] as const) {
  test(`${reason} under no request id is followed by another connection, before a welcome and after it`, async () => {
    session.start();
    await settle();
    transport.last.say(streamError(code, reason));
    await settle();
    transport.last.frames.end();
    expect((await reconnected()).closed).toBe(false);
    transport.last.say(streamError(code, reason));
    await settle();
    transport.last.frames.end();
    await reconnected();
  });
}

test("a frame that is too large fails its call, whatever it is, and is never sent", async () => {
  const first = await online();
  const calls = [
    session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "x".repeat(200_000) }),
    // 70,000 bytes of text, and twice that as JSON.
    session.call("editMessage", { roomId: "r", seq: 1n, text: '"'.repeat(70_000) }),
  ];
  for (const call of calls) await expect(call).rejects.toMatchObject({ reason: "frame_too_large" });
  await settle();
  expect(first.sent).toEqual([]);
  expect(session.state.status).toBe("online");
});

test("a proxy that takes less than the server fails the largest call only", async () => {
  const first = await online();
  const small = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "small" });
  const large = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "x".repeat(40_000) });
  const outcome = expect(large).rejects.toMatchObject({ reason: "frame_too_large" });
  await settle();
  first.frames.fail(frameTooLarge("message too big"));
  await settle();
  await outcome;
  const second = await reconnected();
  expect(second.sent).toHaveLength(1);
  second.answer({ case: "sendMessage", value: { roomId: "r", seq: 1n } });
  expect((await small).seq).toBe(1n);
});

test("any number of calls that are too large fail, and the one behind them is sent", async () => {
  session.start();
  const calls = Array.from({ length: 5_000 }, () => session.call("updateUser", { name: "x".repeat(100) }));
  const outcomes = Promise.allSettled(calls);
  void session.call("getUser", { userId: "me" }).catch(() => {});
  await settle();
  transport.last.say({ case: "welcome", value: { userId: "alice", limits: { maxFrameBytes: 100 } } });
  for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { reason: "frame_too_large" } });
  expect(transport.last.sent.map(({ operation }) => operation.case)).toEqual(["getUser"]);
});

test("hello fits the frame limit for any number of rooms, with the most recently active ones", async () => {
  const room = (index: number) => `018f4e5c-0000-7000-8000-${String(index).padStart(12, "0")}`;
  const first = await online(Array.from({ length: 2_500 }, (_, index) => ({ roomId: room(index), seq: 1_000n, epoch: 1n })));
  for (let index = 0; index < 2_500; index++) first.event(room(index), 1_000n);
  // The oldest room becomes the latest one.
  first.event(room(0), 1_001n);
  await settle();
  first.frames.fail(new TransportError("cut"));
  const { hello } = await reconnected();
  const bytes = toJsonString(v1.ClientFrameSchema, { $typeName: "parlance.v1.ClientFrame", requestId: "hello", asUser: "", operation: { case: "hello", value: hello } }).length;
  expect(bytes).toBeLessThanOrEqual(MAX_FRAME_BYTES);
  expect(hello.cursors.length).toBeGreaterThan(1_000);
  expect(hello.cursors.slice(0, 2).map(({ roomId }) => roomId)).toEqual([room(0), room(2_499)]);
});

test("a hello that is refused for its size is followed by a smaller one", async () => {
  const first = await online();
  for (let index = 0; index < 1_000; index++) first.event(`room-${index}`, 1n);
  await settle();
  first.frames.fail(new TransportError("cut"));
  // A proxy in front of the server accepts 16 KiB.
  transport.onopen = (connection) => {
    const bytes = toJsonString(v1.HelloSchema, connection.hello).length;
    if (bytes > 16_384) connection.frames.fail(frameTooLarge("too big"));
    else connection.welcome();
  };
  await seconds(30);
  expect(session.state.status).toBe("online");
  expect(transport.last.hello.cursors.length).toBeGreaterThan(100);
});

for (const how of ["hangs up", "drains at once"]) {
  test(`a server that welcomes and ${how} is not stormed`, async () => {
    transport.onopen = (connection) => {
      connection.welcome();
      if (how === "hangs up") connection.frames.end();
      else connection.say({ case: "draining", value: {} });
    };
    session.start();
    await seconds(300);
    expect(transport.connections.length).toBeLessThan(45);
    expect(session.state.status).not.toBe("closed");
  });
}

test("an identity is refused for good only after fresh tokens were refused too, with time between", async () => {
  const first = await online();
  await seconds(20);
  const asked: [boolean, number][] = [];
  const start = Date.now();
  token = ({ refused }) => (asked.push([refused, Date.now() - start]), "expired");
  transport.refusal = refused({ code: 16, reason: "token_expired", message: "expired", metadata: {} });
  first.frames.fail(transport.refusal);
  await seconds(3);
  // A fresh one immediately, and the next one later.
  expect(asked).toEqual([[true, 0]]);
  expect(session.state.status).toBe("waiting");
  await seconds(60);
  expect(session.state).toMatchObject({ status: "closed", error: expect.any(UnauthenticatedError) });
  expect(asked.length).toBe(3);
  expect(asked[2]![1]).toBeGreaterThan(30_000);
});

test("tokens that are accepted and expire at once end nothing, and storm nothing", async () => {
  transport.onopen = (connection) => {
    connection.welcome();
    connection.say(streamError(16, "token_expired"));
  };
  session.start();
  await seconds(300);
  expect(session.state.status).not.toBe("closed");
  expect(transport.connections.length).toBeLessThan(45);
});

test("a call that is refused for its token is repeated with another one, once", async () => {
  const tokens: boolean[] = [];
  token = ({ refused }) => (tokens.push(refused), "token");
  const first = await online();
  const call = session.call("getUser", { userId: "me" });
  const outcome = expect(call).rejects.toBeInstanceOf(UnauthenticatedError);
  await settle();
  first.refuse({ code: 16, reason: "token_expired" });
  await settle();
  expect(tokens).toEqual([false, true]);
  const second = await online();
  expect(second.of("getUser")).toHaveLength(1);
  second.refuse({ code: 16, reason: "token_expired" });
  await settle();
  await outcome;
  expect(session.state.status).toBe("online");
});

test("a call that stays unanswered while others are answered fails, and the session goes on", async () => {
  transport.onopen = answerProbes;
  await online();
  const stuck = session.call("getUser", { userId: "me" });
  const outcome = expect(stuck).rejects.toMatchObject({ reason: "no_answer" });
  for (let connection = 0; connection < 2; connection++) {
    await seconds(27);
    await reconnected();
  }
  await seconds(27);
  await outcome;
  expect((await reconnected()).of("getUser")).toEqual([]);
});

test("what a proxy refuses is repeated for a while, and fails in the end", async () => {
  const first = await online();
  const call = session.call("getUser", { userId: "me" });
  const outcome = expect(call).rejects.toMatchObject({ code: 7 });
  first.onsend = ({ requestId, operation }) => {
    if (operation.case === "getUser") first.reply(requestId, { case: "error", value: { code: 7, message: "HTTP 403" } });
  };
  await settle();
  first.refuse({ code: 7, message: "HTTP 403" });
  await seconds(20);
  await outcome;
  expect(first.of("getUser").length).toBeGreaterThan(3);
  expect(first.closed).toBe(false);
});

test("typing ends with its connection", async () => {
  const first = await online();
  const sent = session.call("sendTyping", { roomId: "r" });
  const outcome = expect(sent).rejects.toBeInstanceOf(TransportError);
  await settle();
  first.frames.fail(new TransportError("cut"));
  await settle();
  await outcome;
  await expect(session.call("sendTyping", { roomId: "r" })).rejects.toBeInstanceOf(TransportError);
  expect((await reconnected()).sent).toEqual([]);
  const limited = session.call("sendTyping", { roomId: "r" });
  await settle();
  transport.last.refuse({ code: 8, reason: "rate_limited", retryDelay: { seconds: 1n, nanos: 0 } });
  await expect(limited).rejects.toMatchObject({ reason: "rate_limited" });
});

for (const reason of [v1.GapReason.NOT_MEMBER, v1.GapReason.RESTORED]) {
  test(`a promised event that ${v1.GapReason[reason]} rules out is not waited for`, async () => {
    const first = await online([{ roomId: "r", seq: 1n }]);
    answerProbes(first);
    const sent = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello" });
    await settle();
    first.answer({ case: "sendMessage", value: { roomId: "r", seq: 9n } });
    await sent;
    first.say({ case: "gap", value: { roomId: "r", reason, toSeq: reason === v1.GapReason.RESTORED ? 5n : 0n } });
    await seconds(60);
    expect(transport.connections).toHaveLength(1);
  });
}

test("a message to a room that the user is no member of, as of an app's backend, promises no event", async () => {
  const first = await online([{ roomId: "another", seq: 1n }]);
  answerProbes(first);
  const sent = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello" });
  await settle();
  first.answer({ case: "sendMessage", value: { roomId: "r", seq: 9n } });
  await sent;
  await seconds(60);
  expect(transport.connections).toHaveLength(1);
});

test("a promised event that never comes does not break connections for ever", async () => {
  transport.onopen = answerProbes;
  const first = await online([{ roomId: "r", seq: 1n }]);
  const sent = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello" });
  await settle();
  first.answer({ case: "sendMessage", value: { roomId: "r", seq: 9n } });
  await sent;
  transport.onopen = (connection) => (answerProbes(connection), connection.welcome());
  await seconds(600);
  expect(transport.connections.length).toBeLessThan(6);
  expect(session.state.status).toBe("online");
});

test("calls after the end name its cause, and nothing is left running", async () => {
  token = () => "expired";
  transport.refusal = refused({ code: 16, reason: "token_expired", message: "the token expired", metadata: {} });
  session.start();
  await seconds(10);
  const call = session.call("getUser", { userId: "me" });
  await expect(call).rejects.toThrow("the token expired");
  await expect(call).rejects.toBeInstanceOf(ClosedError);
  expect(host.listeners.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("close does not throw where the connection does", async () => {
  const first = await online();
  first.close = () => {
    throw new Error("no");
  };
  session.close();
  expect(session.state.status).toBe("closed");
  expect(vi.getTimerCount()).toBe(0);
});
