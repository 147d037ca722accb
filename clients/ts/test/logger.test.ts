import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";

import { Client, type ClientOptions, type Logger, MemoryStorage, type Storage, TransportError, UnauthenticatedError, v1, WebSocketTransport } from "../src/index.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { answerRoutine, FakeTransport } from "./fake.js";
import { person, server, unique, withToken } from "./people.js";

type Line = [level: keyof Logger, message: string, fields: object];

function logger() {
  const lines: Line[] = [];
  const at = (level: keyof Logger) => (message: string, fields: object) => void lines.push([level, message, fields]);
  const logged: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { lines, logger: logged, of: (text: string) => lines.filter(([, message]) => message === text) };
}

async function open(options: Partial<ClientOptions> = {}) {
  const [log, transport] = [logger(), new FakeTransport()];
  const client = new Client({ url: "http://nowhere", token: "t0ken", transport, logger: log.logger, ...options });
  onTestFinished(() => client.close());
  client.start().catch(() => {});
  await vi.waitFor(() => expect(transport.connections).toHaveLength(1), 5_000);
  transport.onopen = answerRoutine;
  answerRoutine(transport.last);
  transport.last.welcome([{ roomId: "r", seq: 10n }]);
  await vi.waitFor(() => expect(client.state.status).toBe("online"));
  return { client, transport, log };
}

test("connections, from the first attempt on, and what ends them", async () => {
  const { client, transport, log } = await open();
  expect(log.lines).toEqual([
    ["debug", "connecting", {}],
    ["info", "connected", { userId: "alice", nodeId: "n1" }],
  ]);
  transport.last.frames.fail(new TransportError("cut"));
  await vi.waitFor(() => expect(log.of("not connected, retrying")).toEqual([["warn", "not connected, retrying", { error: "TransportError", message: "cut", retryInMs: expect.any(Number) as number }]]));
  client.close();
  expect(log.lines.at(-1)).toEqual(["info", "closed", {}]);
});

test("what cannot go on is an error", async () => {
  const log = logger();
  const client = new Client({ url: "ftp://nowhere", token: "t0ken", logger: log.logger });
  await expect(client.start()).rejects.toThrow("http");
  expect(log.lines.at(-1)).toMatchObject(["error", "closed", { error: "ConfigurationError" }]);
});

test("calls and changes that are refused or retried, without what they say", async () => {
  const { client, transport, log } = await open({ storage: new MemoryStorage() });
  const reply = (name: v1.ClientFrame["operation"]["case"], error: object) =>
    vi.waitFor(() => expect(transport.last.of(name).length).toBeGreaterThan(0)).then(() => transport.last.reply(transport.last.of(name).at(-1)!.requestId, { case: "error", value: error }));
  const call = client.call("getUser", { userId: "bob" });
  await reply("getUser", { code: 14, reason: "overloaded", message: "too busy", retryDelay: { seconds: 3_600n } });
  await vi.waitFor(() => expect(log.of("call refused, retrying")).toHaveLength(1));
  expect(log.lines.at(-1)).toMatchObject(["debug", "call refused, retrying", { operation: "getUser", error: "UnavailableError", reason: "overloaded", message: "too busy", retryInMs: 3_600_000 }]);

  const room = client.room("r");
  expect(room).toBeUndefined();
  const sent = client.send({ roomId: "r", text: "s3cret", data: { iban: "s3cret" } });
  await reply("sendMessage", { code: 7, reason: "not_member", message: "not a member" });
  await expect(sent).rejects.toThrow();
  expect(log.lines.slice(-2)).toMatchObject([
    ["info", "call refused", { operation: "sendMessage", error: "PermissionDeniedError", reason: "not_member" }],
    ["warn", "change failed", { id: sent.id, roomId: "r", operation: "send", reason: "not_member" }],
  ]);
  transport.last.say({ case: "gap", value: { roomId: "r", fromSeq: 11n, toSeq: 12n, reason: v1.GapReason.TOO_LONG } });
  await vi.waitFor(() => expect(log.lines.at(-1)).toEqual(["debug", "events are not delivered", { roomId: "r", fromSeq: 11, toSeq: 12, reason: v1.GapReason.TOO_LONG }]));
  client.close();
  await expect(call).rejects.toThrow("closed");
  // What ends with the client is not a refusal.
  expect(log.lines.at(-1)?.[1]).toBe("closed");
  expect(JSON.stringify(log.lines)).not.toMatch(/s3cret|t0ken/);
});

test("a storage that does not work", async () => {
  const storage: Storage = { open: () => Promise.reject(new Error("the disk is full")) };
  const { log } = await open({ storage });
  await vi.waitFor(() => expect(log.lines).toContainEqual(["warn", "the storage does not work: changes do not survive the page", { error: "Error", message: "the disk is full" }]));
});

test("nothing is written anywhere without a logger, and `console` is one", async () => {
  const said = (["debug", "info", "warn", "error", "log"] as const).map((name) => vi.spyOn(console, name).mockImplementation(() => {}));
  onTestFinished(() => void vi.restoreAllMocks());
  await person("ann");
  for (const spy of said) expect(spy).not.toHaveBeenCalled();
  const ann = await withToken(await server.token(unique("ann")), { logger: console });
  expect(console.info).toHaveBeenCalledWith("connected", { userId: ann.userId, nodeId: expect.any(String) as string });
});

test.each([
  ["websocket", () => new WebSocketTransport(server.url, WebSocket as never)],
  ["grpc-web", () => grpcWeb(server.url)],
])("a token that no header can hold is refused, and not logged: %s", async (_, transport) => {
  for (const token of ["s3cret t0ken", "s3cret\u00fc", "s3cret\nt0ken"]) {
    const log = logger();
    const client = new Client({ url: server.url, token: () => token, transport: transport(), logger: log.logger });
    onTestFinished(() => client.close());
    client.start().catch(() => {});
    await vi.waitFor(() => expect(client.state).toMatchObject({ error: expect.any(UnauthenticatedError) as Error }));
    expect(JSON.stringify(log.lines)).not.toContain("s3cret");
  }
});
