// One room as plain lines, for `tools/conformance`: what it is told and prints stands there.
// What is printed is what a page would show: the room's timeline, from its first message on.
import { createInterface } from "node:readline";

import { WebSocket } from "ws";

import { Client, RefusedError, WebSocketTransport } from "../dist/index.js";
import { grpcWeb } from "../dist/transport/grpc-web.js";

const { PARLANCE_SERVER, PARLANCE_TOKEN, PARLANCE_ROOM, PARLANCE_TRANSPORT } = process.env;
const url = `http://${PARLANCE_SERVER}`;
const transport = PARLANCE_TRANSPORT === "grpc-web" ? grpcWeb(url) : new WebSocketTransport(url, WebSocket);
const client = new Client({ url, token: PARLANCE_TOKEN, transport });
await client.start();
const room = client.room(PARLANCE_ROOM);

/** Seq of the last message that was printed, and of the last of one's own. */
let [printed, own] = [0, 0];
let progressed = () => {};

/** Prints what is new, once everything before it is there. */
function print() {
  const { messages } = room;
  if (room.isLoading) return;
  if ((messages[0]?.seq ?? 0) > printed && room.hasOlder) return void room.loadOlder();
  const known = messages.findLastIndex(({ seq }) => seq <= printed);
  for (const { seq, senderId, text } of messages.slice(known + 1)) {
    console.log(`event ${seq} ${senderId} ${text}`);
    printed = seq;
  }
  progressed();
}

room.on("change", print);
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

const sending = [];
for await (const line of createInterface({ input: process.stdin })) {
  const [, id, text] = /^send ([^ ]*) ?(.*)$/s.exec(line) ?? [];
  if (id !== undefined) sending.push(send(id, text));
}
await Promise.all(sending);
while (printed < own) await new Promise((resolve) => (progressed = resolve));
client.close();
