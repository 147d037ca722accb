// One room as plain lines, for `tools/conformance`, which documents input and output. Prints what a
// page would show: the room's timeline, from its first message on.
import { EventEmitter, once } from "node:events";

import { WebSocket } from "ws";

import { Client, RefusedError, v1, WebSocketTransport } from "../dist/index.js";
import { grpcWeb } from "../dist/transport/grpc-web.js";

const { PARLANCE_SERVER, PARLANCE_TOKEN, PARLANCE_ROOM, PARLANCE_TRANSPORT, PARLANCE_LOUD } = process.env;
const url = `http://${PARLANCE_SERVER}`;
// Over grpc-web each change of a room waits for the answer to the previous one: thousands take
// minutes.
const transport = PARLANCE_TRANSPORT === "grpc-web" && !PARLANCE_LOUD ? grpcWeb(url) : new WebSocketTransport(url, WebSocket);
const tokens = new EventEmitter();

/** The first token, until it is refused; then those provided on the input. */
let token = PARLANCE_TOKEN;
async function currentToken({ refused }) {
  if (!refused) return token;
  console.log("token");
  return ([token] = await once(tokens, "token"))[0];
}

const client = new Client({ url, token: currentToken, transport });
const sending = [];
const reading = read();
await client.start();
const room = client.room(PARLANCE_ROOM);

/** Seq of the last printed message, and of the last own one. */
let [printed, own] = [0, 0];
let progressed = () => {};
/** The displayed messages are from before the room was restored from a backup. */
let isStale = false;

/** Prints new messages, once everything before them is loaded. */
function print() {
  const { messages } = room;
  if (room.isLoading || isStale) return;
  if ((messages[0]?.seq ?? 0) > printed && room.hasOlder) return void room.loadOlder();
  const known = messages.findLastIndex(({ seq }) => seq <= printed);
  for (const { seq, senderId, text } of messages.slice(known + 1)) {
    console.log(`event ${seq} ${senderId} ${text}`);
    printed = seq;
  }
  // While older ones were loaded, later ones may have left the memory.
  if (room.hasNewer) void room.loadNewer();
  progressed();
}

room.on("change", print);
client.on("gap", async ({ roomId, reason }) => {
  if (roomId !== room.id || reason !== v1.GapReason.RESTORED) return;
  console.log("restored");
  [printed, own, isStale] = [0, 0, true];
  await room.loadLatest();
  isStale = false;
  print();
});
await room.loadLatest();
console.log("ready");
print();

async function send(id, text) {
  const target = { case: "roomId", value: room.id };
  try {
    const { seq } = await client.call("sendMessage", { target, text, clientMessageId: id });
    own = Math.max(own, Number(seq));
    console.log(`sent ${id} ${seq}`);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    console.log(`failed ${id} ${error.reason}`);
  }
}

/** Not with `readline`, which also splits lines at other characters. */
async function read() {
  process.stdin.setEncoding("utf8");
  let rest = "";
  for await (const chunk of process.stdin) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [, command, id, text] = /^(\S*) ?(\S*) ?(.*)$/s.exec(line);
      if (command === "token") tokens.emit("token", id);
      else sending.push(send(id, command === "json" ? JSON.parse(text) : text));
    }
  }
}

await reading;
await Promise.all(sending);
while (printed < own) await new Promise((resolve) => (progressed = resolve));
client.close();
