// Repeats every message: `PARLANCE_TOKEN=... node echo.mjs`. Users who write to the bot, or add it to a room, get an echo.
import { connect, eventsOf, isDone } from "./connect.mjs";

const client = connect();
for await (const { roomId, seq, actorId, body } of eventsOf(client)) {
  if (body.case !== "message" || actorId === client.userId) continue;
  // An event may arrive twice after a restart: the id makes both answers the same message.
  await isDone(client.send({ id: `echo-${roomId}-${seq}`, roomId, afterSeq: Number(seq), text: body.value.text }));
}
