// Posts HTTP requests to a room: `PARLANCE_TOKEN=... PARLANCE_ROOM=... PARLANCE_SECRET=... node webhook.mjs`, then curl -H
// "authorization: Bearer $PARLANCE_SECRET" -H "idempotency-key: build-17" -d '{"text":"build 17 failed"}' http://127.0.0.1:3000
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

import { RefusedError } from "@parlance/client";

import { connect } from "./connect.mjs";

const { PARLANCE_ROOM: roomId = "", PARLANCE_SECRET: secret, PORT: port = "3000" } = process.env;
if (!secret) throw new Error("PARLANCE_SECRET has to be set: whoever knows it may post");
const MAX_BYTES = 16 * 1024;

const hash = (text) => createHash("sha256").update(text).digest();
const isAllowed = ({ headers }) => timingSafeEqual(hash(headers.authorization ?? ""), hash(`Bearer ${secret}`));

async function textOf(request) {
  let body = "";
  // Always read to its end, so that the connection can be reused.
  for await (const chunk of request.setEncoding("utf8")) if (body.length <= MAX_BYTES) body += chunk;
  if (body.length > MAX_BYTES) throw new SyntaxError("too large");
  const { text } = JSON.parse(body);
  if (typeof text !== "string") throw new SyntaxError("no text");
  return text;
}

const client = connect();
await client.start();
const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
  try {
    if (!isAllowed(request)) return answer(401, { error: "the secret is missing or wrong" });
    // A repeat with the same key is posted once.
    const id = request.headers["idempotency-key"];
    const { seq } = await client.send({ roomId, text: await textOf(request), ...(id && { id }) });
    answer(200, { seq });
  } catch (error) {
    if (error instanceof SyntaxError) answer(400, { error: error.message });
    else answer(error instanceof RefusedError ? 422 : 503, { error: error.message });
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
