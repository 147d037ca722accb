import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { create, fromBinary, fromJsonString, toBinary, toJson } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";

import { type Connection, RefusedError, TransportError, UnauthenticatedError, v1, WebSocketTransport } from "../src/index.js";
import { encodeJson } from "../src/transport/json.js";

let http: Server;
let sockets: WebSocketServer;
/** Answers a plain request. */
let answer: (response: ServerResponse) => void;
/** Handles a WebSocket. */
let accept: (socket: WebSocket) => void;
/** Whether WebSockets are accepted. */
let opens: boolean;
beforeEach(async () => {
  [opens, accept, answer] = [true, () => {}, (response) => response.end()];
  http = createServer((_, response) => answer(response));
  sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "parlance.v1" });
  http.on("upgrade", (request, socket, head) => {
    if (opens) sockets.handleUpgrade(request, socket, head, (socket) => accept(socket));
    else socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  for (const socket of sockets.clients) socket.terminate();
  http.closeAllConnections();
  http.close();
});

const transport = () => new WebSocketTransport(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, WebSocket as never);
const open = (token = "token", signal?: AbortSignal) => transport().open(token, create(v1.HelloSchema), signal);

/** All frames until the stream ends, and the error if it breaks. */
async function read({ frames }: Connection): Promise<{ cases: (string | undefined)[]; error: unknown }> {
  const cases: (string | undefined)[] = [];
  try {
    for await (const { frame } of frames) cases.push(frame.case);
    return { cases, error: undefined };
  } catch (error) {
    return { cases, error };
  }
}

test("fields that the server does not know are to be ignored", () => {
  const offers: string[][] = [];
  class Recorder {
    constructor(_: string, protocols: string[]) {
      offers.push(protocols);
    }
    close() {}
  }
  const transport = new WebSocketTransport("http://chat.example", Recorder as never);
  transport.open("t", create(v1.HelloSchema)).catch(() => {});
  expect(offers).toEqual([["parlance.v1", "unknown-fields.ignore", "bearer.t"]]);
});

test("half a surrogate pair becomes the same in JSON as in binary", () => {
  const frame = create(v1.ClientFrameSchema, {
    requestId: "1",
    operation: { case: "sendMessage", value: { target: { case: "roomId", value: "r" }, text: "a \ud83d b \ude00 c 😀" } },
  });
  const json = fromJsonString(v1.ClientFrameSchema, encodeJson(frame));
  const binary = fromBinary(v1.ClientFrameSchema, toBinary(v1.ClientFrameSchema, frame));
  expect(json).toEqual(binary);
  expect(json.operation.value).toMatchObject({ text: "a \ufffd b \ufffd c 😀" });
});

test("a frame is as large as what is sent", async () => {
  const over = transport();
  const frame = create(v1.ClientFrameSchema, { requestId: "1", operation: { case: "updateUser", value: { name: 'ü"😀\n' } } });
  const received = new Promise<number>((resolve) => {
    accept = (socket) => socket.on("message", (data: Buffer) => !data.includes("hello") && resolve(data.length));
  });
  const connection = await over.open("token", create(v1.HelloSchema));
  connection.send(frame);
  expect(await received).toBe(over.size(frame));
  connection.close();
});

test("a frame that cannot be read ends the connection, so that no event is skipped", async () => {
  accept = (socket) => {
    socket.send(JSON.stringify(toJson(v1.ServerFrameSchema, create(v1.ServerFrameSchema, { frame: { case: "welcome", value: {} } }))));
    socket.send('{"event": 7}');
    socket.send('{"event": {"roomId": "r", "seq": "2"}}');
  };
  const { cases, error } = await read(await open());
  expect(cases).toEqual(["welcome"]);
  expect(error).toBeInstanceOf(TransportError);
});

test("a close for a frame that is too large says so", async () => {
  accept = (socket) => socket.close(1009, "frame_too_large");
  const { error } = await read(await open());
  expect(error).toMatchObject({ reason: "frame_too_large" });
});

for (const [what, status, body] of [
  ["403 of a proxy", 403, "<html>Forbidden</html>"],
  ["404 of a proxy", 404, "not found"],
  ["401 of a proxy", 401, "{}"],
  ["403 of the server", 403, '{"error": {"code": 7, "reason": "origin_not_allowed"}}'],
] as const) {
  test(`a handshake that fails with ${what} is a connection that failed`, async () => {
    opens = false;
    answer = (response) => response.writeHead(status).end(body);
    const failed = open();
    await expect(failed).rejects.toBeInstanceOf(TransportError);
    await expect(failed).rejects.toThrow(`HTTP ${status}`);
  });
}

test("a handshake that fails for its token says so", async () => {
  opens = false;
  answer = (response) => response.writeHead(401).end('{"error": {"code": 16, "reason": "token_expired", "message": "expired"}}');
  await expect(open()).rejects.toBeInstanceOf(UnauthenticatedError);
});

test("a token that cannot be sent is one that is refused", async () => {
  const failed = open("two words\n");
  await expect(failed).rejects.toBeInstanceOf(UnauthenticatedError);
  await expect(failed).rejects.toBeInstanceOf(RefusedError);
});

test("an open that hangs can be aborted", async () => {
  const abort = new AbortController();
  let cut = () => {};
  const gone = new Promise<void>((resolve) => (cut = resolve));
  http.removeAllListeners("upgrade");
  http.on("upgrade", (_, socket) => {
    for (const name of ["end", "error", "close"]) socket.on(name, cut);
    socket.resume();
    abort.abort(new Error("enough"));
  });
  await expect(open("token", abort.signal)).rejects.toThrow("enough");
  await gone;
});
