import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type Connection, TransportError, v1 } from "../src/index.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { eventually } from "./eventually.js";

const OK = "grpc-status:0\r\n";

let http: Server;
/** Handles a call by its method. */
let handle: (method: string, response: ServerResponse) => void;
const called: string[] = [];
/** The contents of the welcome besides the user, and its stream. */
let welcome: MessageInitShape<typeof v1.WelcomeSchema>;
let stream: ServerResponse;
beforeEach(async () => {
  called.length = 0;
  welcome = {};
  handle = () => {};
  http = createServer((request: IncomingMessage, response) => {
    const method = request.url!.split("/").at(-1)!;
    request.resume();
    called.push(method);
    if (method !== "Subscribe") return handle(method, response);
    response.writeHead(200, { "content-type": "application/grpc-web+proto" });
    stream = response;
    response.write(message(v1.ServerFrameSchema, { frame: { case: "welcome", value: { userId: "alice", ...welcome } } }));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  http.closeAllConnections();
  http.close();
});

function envelope(flags: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function message<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Buffer {
  return envelope(0, toBinary(schema, create(schema, init)));
}

const reply = (response: ServerResponse, body: Buffer | undefined, trailers: string) =>
  response.writeHead(200, { "content-type": "application/grpc-web+proto" }).end(Buffer.concat([body ?? Buffer.alloc(0), envelope(0x80, Buffer.from(trailers))]));

const transport = () => grpcWeb(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
const open = (signal = new AbortController().signal) => transport().open("token", create(v1.HelloSchema), signal);

/** The replies of a connection by request id, as they arrive. */
function listen(connection: Connection) {
  const replies = new Map<string, v1.Reply["result"]>();
  const ended = (async () => {
    for await (const { frame } of connection.frames) if (frame.case === "reply") replies.set(frame.value.requestId, frame.value.result);
  })();
  ended.catch(() => {});
  return { replies, ended };
}

const frame = (requestId: string, operation: MessageInitShape<typeof v1.ClientFrameSchema>["operation"]) =>
  create(v1.ClientFrameSchema, { requestId, operation: operation! });
const edit = (requestId: string, roomId: string) => frame(requestId, { case: "editMessage", value: { roomId, seq: 1n, text: "x", requestId } });

for (const [what, answer, expected] of [
  ["gRPC's own refusal of what is too large", (r: ServerResponse) => reply(r, undefined, "grpc-status:11\r\ngrpc-message:too large\r\n"), { code: 3, reason: "frame_too_large" }],
  ["HTTP 413 of a proxy", (r: ServerResponse) => r.writeHead(413).end(), { code: 3, reason: "frame_too_large" }],
  ["HTTP 403 of a proxy", (r: ServerResponse) => r.writeHead(403).end("<html>"), { code: 7, reason: "" }],
  ["HTTP 502 of a proxy", (r: ServerResponse) => r.writeHead(502).end("<html>"), { code: 14, reason: "" }],
] as const) {
  test(`${what} is an answer to its call, and the stream goes on`, async () => {
    handle = (method, response) => (method === "EditMessage" ? answer(response) : reply(response, message(v1.GetUserResponseSchema, {}), OK));
    const connection = await open();
    const { replies } = listen(connection);
    connection.send(edit("1", "r"));
    await eventually("the call is answered", () => replies.has("1"));
    expect(replies.get("1")).toMatchObject({ case: "error", value: expected });
    connection.send(frame("2", { case: "getUser", value: { userId: "me" } }));
    await eventually("another call is answered", () => replies.has("2"));
    expect(replies.get("2")!.case).toBe("getUser");
    connection.close();
  });
}

test("a call that gets no answer at all is a connection that broke", async () => {
  handle = (_, response) => response.destroy();
  const connection = await open();
  const { ended } = listen(connection);
  connection.send(edit("1", "r"));
  await expect(ended).rejects.toBeInstanceOf(TransportError);
  connection.close();
});

test("changes keep their order within a room, and wait for nothing else", async () => {
  const hanging: ServerResponse[] = [];
  handle = (method, response) => {
    if (method === "EditMessage") hanging.push(response);
    else if (method === "MarkRead") reply(response, message(v1.MarkReadResponseSchema, {}), OK);
    else reply(response, message(v1.DeleteMessageResponseSchema, {}), OK);
  };
  const connection = await open();
  const { replies } = listen(connection);
  connection.send(edit("1", "r"));
  connection.send(frame("2", { case: "deleteMessage", value: { roomId: "r", seq: 1n, requestId: "2" } }));
  connection.send(frame("3", { case: "markRead", value: { roomId: "r", seq: 1n, requestId: "3" } }));
  connection.send(frame("4", { case: "deleteMessage", value: { roomId: "s", seq: 1n, requestId: "4" } }));
  await eventually("the mark and the other room are answered", () => replies.has("3") && replies.has("4"));
  await eventually("the edit is under way", () => hanging.length === 1);
  expect(called.filter((method) => method === "DeleteMessage")).toHaveLength(1);
  reply(hanging[0]!, message(v1.EditMessageResponseSchema, {}), OK);
  await eventually("the rest of the room follows", () => replies.has("2"));
  expect([...replies.keys()].indexOf("1")).toBeLessThan([...replies.keys()].indexOf("2"));
  connection.close();
});

test("a stream that a proxy refuses is a connection that failed", async () => {
  http.removeAllListeners("request");
  http.on("request", (_, response: ServerResponse) => response.writeHead(403).end("<html>"));
  await expect(open()).rejects.toBeInstanceOf(TransportError);
});

test("an open that hangs can be aborted", async () => {
  const abort = new AbortController();
  let cut = () => {};
  const gone = new Promise<void>((resolve) => (cut = resolve));
  http.removeAllListeners("request");
  http.on("request", (request: IncomingMessage) => {
    request.socket.on("close", cut);
    abort.abort(new Error("enough"));
  });
  await expect(open(abort.signal)).rejects.toThrow();
  await gone;
});

test("a stream without its heartbeats is dead, whatever its calls say, and one with them is not", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    welcome = { heartbeatAfter: { seconds: 25n } };
    const connection = await open();
    const cases: (string | undefined)[] = [];
    const ended = (async () => {
      for await (const { frame } of connection.frames) cases.push(frame.case);
    })();
    ended.catch(() => {});
    for (let beats = 1; beats <= 3; beats++) {
      vi.advanceTimersByTime(34_000);
      stream.write(message(v1.ServerFrameSchema, {}));
      await vi.waitUntil(() => cases.length === 1 + beats);
    }
    vi.advanceTimersByTime(36_000);
    await expect(ended).rejects.toBeInstanceOf(TransportError);
    expect(cases).toEqual(["welcome", undefined, undefined, undefined]);
    connection.close();
    await vi.waitUntil(() => vi.getTimerCount() === 0);
  } finally {
    vi.useRealTimers();
  }
});

test("a stream of a server without heartbeats that is silent for minutes is opened anew, whatever its calls say", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const connection = await open();
    const cases: (string | undefined)[] = [];
    const ended = (async () => {
      for await (const { frame } of connection.frames) cases.push(frame.case);
    })();
    vi.advanceTimersByTime(4 * 60_000);
    await Promise.resolve();
    expect(cases).not.toContain("draining");
    vi.advanceTimersByTime(2 * 60_000);
    connection.close();
    await ended;
    expect(cases).toEqual(["welcome", "draining"]);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("a frame is as large as the message of its call", () => {
  const value = { roomId: "r", seq: 1n, text: '"'.repeat(1_000), requestId: "1" };
  const bytes = toBinary(v1.EditMessageRequestSchema, create(v1.EditMessageRequestSchema, value)).length;
  expect(transport().size!(frame("1", { case: "editMessage", value }))).toBe(bytes);
});
