// Deletes messages with forbidden words, and bans users who send three of them from the room: the bot is an admin of its
// rooms. `PARLANCE_TOKEN=... PARLANCE_WORDS=spam,scam node moderation.mjs`
import { connect, eventsOf, isDone } from "./connect.mjs";

const STRIKES = 3;
const words = new Set((process.env["PARLANCE_WORDS"] ?? "spam").toLowerCase().split(","));
/** Seqs of the messages that count as strikes, by room and user. */
const strikes = new Map();

const isForbidden = (text) => text.toLowerCase().split(/[^\p{L}\p{N}]+/u).some((word) => words.has(word));

const client = connect();
for await (const { roomId, seq, actorId: userId, body } of eventsOf(client)) {
  // Edited messages are checked again.
  const text = body.case === "message" || body.case === "messageEdited" ? body.value.text : "";
  if (userId === client.userId || !isForbidden(text)) continue;
  const target = body.case === "message" ? seq : body.value.targetSeq;
  await isDone(client.change("deleteMessage", { roomId, seq: target }));
  // A message that is read late has its edited text: the edit is not a strike of its own.
  const struck = strikes.get(`${roomId} ${userId}`) ?? new Set();
  if (struck.has(target)) continue;
  strikes.set(`${roomId} ${userId}`, struck.add(target));
  const count = struck.size;
  let warning = `${userId}: not here, please (${count} of ${STRIKES})`;
  if (count >= STRIKES) {
    const isBanned = await isDone(client.change("banMember", { roomId, userId }));
    warning = isBanned ? `${userId} was banned` : `${userId} cannot be banned by this bot`;
  }
  await isDone(client.send({ id: `strike-${roomId}-${seq}`, roomId, afterSeq: Number(seq), text: warning }));
}
