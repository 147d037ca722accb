import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client, ClosedError, ConfigurationError, TransportError, v1, WebSocketTransport } from "../src/index.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { answerRoutine, type FakeConnection, FakeTransport } from "./fake.js";

let transport: FakeTransport;
let client: Client;
const unhandled = vi.fn();
beforeEach(() => {
  vi.useFakeTimers();
  process.on("unhandledRejection", unhandled);
  transport = new FakeTransport();
  transport.onopen = serve;
  client = new Client({ url: "http://chat.example", token: "token", transport });
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

const seconds = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);

function serve(connection: FakeConnection): void {
  answerRoutine(connection);
  connection.welcome();
}

test("a start resolves once the rooms are there, also when it is asked for twice", async () => {
  const starts = [client.start(), client.start()];
  await seconds(0);
  await Promise.all(starts);
  await client.start();
});

test("a client without a token is refused at once", () => {
  for (const token of [undefined, ""]) expect(() => new Client({ url: "http://chat.example", token: token as string, transport })).toThrow(ConfigurationError);
});

test("an inbox that is refused rejects the start, and is read again", async () => {
  let refusals = 0;
  transport.onopen = (connection) => {
    connection.onsend = ({ requestId, operation }) => {
      if (operation.case !== "listInbox") return;
      if (refusals++ < 2) connection.reply(requestId, { case: "error", value: { code: 13, reason: "internal" } });
      else connection.reply(requestId, { case: "listInbox", value: {} });
    };
    connection.welcome();
  };
  const rooms = vi.fn();
  client.on("rooms", rooms);
  const outcome = expect(client.start()).rejects.toMatchObject({ reason: "internal" });
  await seconds(5);
  await outcome;
  expect(client.state.status).toBe("online");
  expect(rooms).toHaveBeenCalled();
});

test("a start after the end is rejected", async () => {
  client.close();
  await expect(client.start()).rejects.toBeInstanceOf(ClosedError);
});

test("a start that is closed meanwhile is rejected, whether or not anyone waits", async () => {
  transport.hangs = true;
  const outcome = expect(client.start()).rejects.toBeInstanceOf(ClosedError);
  client.close();
  await outcome;
});

test("a start with a limit closes the client when it has passed, and says why", async () => {
  transport.refusal = new TransportError("nobody there");
  const outcome = expect(client.start({ timeoutMs: 5_000 })).rejects.toThrow(/5000 ms: nobody there/);
  await seconds(5);
  await outcome;
  expect(client.state.status).toBe("closed");
  expect(vi.getTimerCount()).toBe(0);
});

test("a start can be aborted", async () => {
  transport.hangs = true;
  const abort = new AbortController();
  const outcome = expect(client.start({ signal: abort.signal })).rejects.toThrow("enough");
  await seconds(1);
  abort.abort(new Error("enough"));
  await outcome;
  expect(client.state.status).toBe("closed");
  expect(transport.signals[0]!.aborted).toBe(true);
});

const MISCONFIGURED: [string, () => Client, RegExp][] = [
  ["no URL", () => new Client({ url: "chat.example", token: "t", transport: new WebSocketTransport("chat.example", class {} as never) }), /not a URL|begins with/],
  ["no URL over grpc-web", () => new Client({ url: "", token: "t", transport: grpcWeb("") }), /not a URL/],
  ["another scheme", () => new Client({ url: "", token: "t", transport: grpcWeb("ftp://chat.example") }), /https:\/\//],
];
for (const [what, make, message] of MISCONFIGURED) {
  test(`a start with ${what} is rejected at once`, async () => {
    const misconfigured = make();
    const start = misconfigured.start();
    await expect(start).rejects.toThrow(message);
    await expect(start).rejects.toBeInstanceOf(ConfigurationError);
    expect(misconfigured.state.status).toBe("closed");
  });
}

test("a runtime without WebSocket rejects a start at once", async () => {
  vi.stubGlobal("WebSocket", undefined);
  await expect(new Client({ url: "http://chat.example", token: "t" }).start()).rejects.toThrow(/no WebSocket/);
  vi.unstubAllGlobals();
});

test("a page over https rejects a server over http at once, but for one on this machine", async () => {
  const open = vi.fn();
  vi.stubGlobal("location", { protocol: "https:" });
  vi.stubGlobal("WebSocket", class {
    constructor(url: string) {
      open(url);
    }
    close() {}
  });
  await expect(new Client({ url: "http://chat.example", token: "t" }).start()).rejects.toBeInstanceOf(ConfigurationError);
  const local = new Client({ url: "http://127.0.0.1:8080", token: "t" });
  void local.start();
  await seconds(0);
  expect(open.mock.calls).toEqual([["ws://127.0.0.1:8080/ws"]]);
  local.close();
  vi.unstubAllGlobals();
});

test("presence is looked up while online only, and a night offline is one look-up", async () => {
  const start = client.start();
  await seconds(0);
  await start;
  const watched = client.watchPresence(["bob"]);
  await seconds(0);
  await watched;
  await seconds(120);
  expect(transport.last.of("getPresence").length).toBeGreaterThan(2);
  transport.refusal = new TransportError("nobody there");
  transport.last.frames.fail(transport.refusal);
  await seconds(8 * 3_600);
  transport.refusal = undefined;
  await seconds(30);
  expect(client.state.status).toBe("online");
  const asked = transport.last.of("getPresence").filter(({ operation }) => (operation.value as v1.GetPresenceRequest).userIds.length > 0);
  expect(asked).toHaveLength(1);
});

for (const how of ["offline", "online"]) {
  test(`closing while ${how} leaves no timer and no unhandled rejection`, async () => {
    const start = client.start();
    await seconds(0);
    await start;
    void client.watchPresence(["bob"]);
    await seconds(0);
    transport.last.event("r", 1n);
    await seconds(0);
    if (how === "offline") {
      transport.refusal = new TransportError("nobody there");
      transport.last.frames.fail(transport.refusal);
      await seconds(62);
    }
    client.close();
    expect(vi.getTimerCount()).toBe(0);
    await seconds(300);
  });
}
