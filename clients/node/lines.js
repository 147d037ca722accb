/**
 * One room as plain lines, for programs that control this client.
 *
 * In: `send ID TEXT`, `json ID TEXT` with a text in JSON, `token TOKEN`. Out: `ready` once,
 * `event SEQ USER TEXT` for every message of the room from its first on, `sent ID SEQ`, `failed
 * ID REASON`, `restored` when the room starts over, `token` when another token is needed. At
 * end of input it waits for all answers, and for all events up to the highest seq among them.
 */

import { EventEmitter, once } from "node:events";

import { create } from "@bufbuild/protobuf";

import { Refused } from "./errors.js";
import { CursorSchema, GapReason } from "./gen/chat_pb.js";
import { inputLines } from "./input.js";
import { Session } from "./session.js";

/** Resolves after the end of input; rejects with `Refused` if the session ends before. */
export async function runLines() {
  const { PARLANCE_SERVER: server, PARLANCE_TOKEN: token, PARLANCE_ROOM: roomId } = process.env;
  if (!server || !token || !roomId) {
    throw new Refused("usage", "PARLANCE_SERVER, PARLANCE_TOKEN and PARLANCE_ROOM are needed");
  }
  const progress = new EventEmitter();
  let ready = false;
  let printed = 0n;
  let highestSent = 0n;

  /** @param {import("./session.js").Update} update */
  function onUpdate(update) {
    if (update.$typeName === "parlance.v1.Welcome" && !ready) {
      ready = true;
      console.log("ready");
    } else if (update.$typeName === "parlance.v1.Event" && update.roomId === roomId) {
      const { seq, actorId, body } = update;
      if (body.case === "message") console.log(`event ${seq} ${actorId} ${body.value.text}`);
      printed = seq;
    } else if (update.$typeName === "parlance.v1.Gap" && update.roomId === roomId) {
      if (update.reason === GapReason.RESTORED) {
        console.log("restored");
        printed = highestSent = 0n;
      } else if (update.toSeq > 0n) printed = update.toSeq;
    }
    progress.emit("printed");
  }

  const cursors = [create(CursorSchema, { roomId, seq: 0n, epoch: 0n })];
  const session = new Session({ server, token, onUpdate, cursors, freshToken });

  async function freshToken() {
    console.log("token");
    const [fresh] = await once(progress, "token");
    return fresh;
  }

  /**
   * @param {string} clientMessageId
   * @param {string} text
   */
  async function send(clientMessageId, text) {
    try {
      const { seq } = await session.send(roomId ?? "", text, { clientMessageId });
      if (seq > highestSent) highestSent = seq;
      console.log(`sent ${clientMessageId} ${seq}`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      console.log(`failed ${clientMessageId} ${error.reason}`);
    }
  }

  async function drive() {
    const sending = [];
    for await (const line of inputLines()) {
      const [, command, id = "", text = ""] = /^(\S*) ?(\S*) ?(.*)$/s.exec(line) ?? [];
      if (command === "send") sending.push(send(id, text));
      else if (command === "json") sending.push(send(id, JSON.parse(text)));
      else if (command === "token") progress.emit("token", id);
    }
    await Promise.all(sending);
    while (printed < highestSent) await once(progress, "printed");
    session.close();
  }

  await Promise.all([session.run(), drive()]);
}
