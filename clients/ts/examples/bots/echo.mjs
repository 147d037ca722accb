// Says everything again: `PARLANCE_TOKEN=... node echo.mjs`. Whoever writes to the bot, or adds it to a room, gets an echo.
import { connect, eventsOf } from "./connect.mjs";

const client = connect();
for await (const { roomId, seq, actorId, body } of eventsOf(client)) {
  if (body.case !== "message" || actorId === client.userId) continue;
  // An event may come twice after a restart: the id makes the answer one all the same.
  await client.send({ id: `echo-${roomId}-${seq}`, roomId, afterSeq: Number(seq), text: body.value.text });
}
