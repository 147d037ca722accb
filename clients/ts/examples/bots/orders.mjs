// Keeps a room for each order of a shop, with its customer and courier: `PARLANCE_TOKEN=... PARLANCE_SECRET=... node orders.mjs`, where the
// token has the scope `service`, then curl -X PUT -H "authorization: Bearer $PARLANCE_SECRET" \
//   -d '{"customer":"ann","courier":"ben","status":"on its way"}' http://127.0.0.1:3000/orders/42
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

import { RefusedError, v1 } from "@parlance/client";

import { connect } from "./connect.mjs";

const { PARLANCE_SECRET: secret, PORT: port = "3000" } = process.env;
if (!secret) throw new Error("PARLANCE_SECRET has to be set: whoever knows it may change orders");

const hash = (text) => createHash("sha256").update(text).digest();
const isAllowed = ({ headers }) => timingSafeEqual(hash(headers.authorization ?? ""), hash(`Bearer ${secret}`));

async function orderOf(request) {
  const [, number] = /^\/orders\/(\d{1,20})$/.exec(request.url) ?? [];
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) if (body.length <= 1_024) body += chunk;
  const { customer, courier, status } = JSON.parse(body);
  if (!number || ![customer, courier, status].every((text) => text && typeof text === "string")) throw new SyntaxError("not an order");
  return { number, customer, courier, status };
}

const client = connect();
await client.start();
/** Every step may be repeated: whoever puts the same order again finds everything done. */
async function update({ number, customer, courier, status }) {
  const roomId = `order-${number}`;
  for (const userId of [customer, courier]) await client.call("createUser", { userId });
  const settings = { title: `Order ${number}`, historyVisibility: v1.HistoryVisibility.ALL }; // a later courier reads all
  const { room } = await client.call("createRoom", { kind: v1.RoomKind.GROUP, roomId, ownerId: customer, settings });
  await client.change("addMembers", { roomId, userIds: [courier] });
  const last = room.settings.data;
  // Stored before it is sent: a repeat is recognised at any time, and a status that comes back is a new message.
  const afterSeq = last?.status === status ? last.afterSeq : Number(room.headSeq);
  await client.change("updateRoom", { roomId, data: { order: number, status, afterSeq } });
  const clientMessageId = `order-${afterSeq}-${hash(status).toString("hex").slice(0, 16)}`;
  const message = { kind: "system", text: `Your order is ${status}.`, data: { status }, clientMessageId, afterSeq };
  await client.call("sendMessage", { target: { case: "roomId", value: roomId }, ...message });
  return roomId;
}

let updates = Promise.resolve();
/** One update after the other: each has to see the status that the one before has stored. */
const inTurn = (order) => (updates = updates.catch(() => {}).then(() => update(order)));
const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
  try {
    if (!isAllowed(request)) return answer(401, { error: "the secret is missing or wrong" });
    answer(200, { roomId: await inTurn(await orderOf(request)) });
  } catch (error) {
    if (error instanceof SyntaxError) answer(400, { error: error.message });
    else answer(error instanceof RefusedError ? 422 : 503, { error: error.message });
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
