#!/usr/bin/env node
/** A chat in the terminal; with --lines, a line interface for other programs. */

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { connect, failure } from "./connection.js";
import { Lost, Refused } from "./errors.js";
import { CursorSchema, RoomKind } from "./gen/chat_pb.js";
import { inputLines } from "./input.js";
import { runLines } from "./lines.js";
import { Session } from "./session.js";

/** Number of past events shown at first. */
const HISTORY = 50n;

const USAGE = `usage: chat.js [--server ADDRESS] (--user NAME | --token-file FILE) (--to USER | --room ID)
       chat.js --lines

  --server ADDRESS   host:port, or https://host:port [default: 127.0.0.1:8080]
  --user NAME        who you are; in local mode a new name makes a new user
  --token-file FILE  your token, unless the server is in local mode
  --to USER          talk to a person
  --room ID          talk in a room
  --lines            plain lines; see lines.js`;

/** @param {{server: string, user?: string, "token-file"?: string, to?: string, room?: string}} options */
async function terminal({ server, user, "token-file": tokenFile, to, room: roomId }) {
  const freshToken = async () => (tokenFile ? (await readFile(tokenFile, "utf8")).trim() : signUp(server, user));
  const token = await freshToken();
  const room = await findRoom(server, token, { to, roomId });
  /** Already visible as typed. @type {Set<string>} */
  const typed = new Set();

  /** @param {import("./session.js").Update} update */
  function show(update) {
    if (update.$typeName === "disconnected") {
      console.log(`* ${update.reason}; again in ${(update.retryInMs / 1000).toFixed(1)} s`);
    } else if (update.$typeName === "parlance.v1.Event" && update.roomId === room.roomId) {
      const { at, actorId, requestId, body } = update;
      if (body.case !== "message" || typed.delete(requestId)) return;
      const time = at ? timestampDate(at).toTimeString().slice(0, 5) : "--:--";
      console.log(`${time} ${actorId}: ${body.value.text || "(deleted)"}`);
    }
  }

  const seq = room.headSeq > HISTORY ? room.headSeq - HISTORY : 0n;
  const cursors = [create(CursorSchema, { roomId: room.roomId, seq, epoch: room.epoch })];
  const session = new Session({ server, token, onUpdate: show, cursors, freshToken });

  /** @param {string} text */
  async function send(text) {
    const clientMessageId = randomUUID();
    typed.add(clientMessageId);
    try {
      await session.send(room.roomId, text, { clientMessageId });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      console.log(`* not sent: ${error.message}`);
    }
  }

  async function talk() {
    const sending = [];
    for await (const line of inputLines()) if (line.trim()) sending.push(send(line));
    await Promise.all(sending);
    session.close();
  }

  await Promise.all([session.run(), talk()]);
}

/**
 * Returns a token for `userId`; a server in local mode issues one for anyone.
 * @param {string} server
 * @param {string} [userId]
 */
async function signUp(server, userId) {
  const { token } = await connect(server).users.createUser({ userId }).catch(fail);
  if (token) return token;
  throw new Refused("token_missing", "this server makes no tokens: --token-file is needed");
}

/**
 * Reads the room.
 * @param {string} server
 * @param {string} token
 * @param {{to?: string, roomId?: string}} target
 */
async function findRoom(server, token, { to, roomId }) {
  const { rooms } = connect(server, token);
  // The same two people always yield the same room.
  const { room } = to
    ? await rooms.createRoom({ kind: RoomKind.DIRECT, memberIds: [to] }).catch(fail)
    : await rooms.getRoom({ roomId }).catch(fail);
  if (room) return room;
  throw new Refused("room_not_found", "the server named no room");
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function fail(error) {
  throw failure(error);
}

async function main() {
  const { values } = parseArgs({
    options: {
      server: { type: "string", default: "127.0.0.1:8080" },
      user: { type: "string" },
      "token-file": { type: "string" },
      to: { type: "string" },
      room: { type: "string" },
      lines: { type: "boolean", default: false },
    },
  });
  if (values.lines) return runLines();
  if (!(values.user || values["token-file"]) || !(values.to || values.room)) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  await terminal({ ...values, server: values.server ?? "" });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Refused || error instanceof Lost)) throw error;
  console.error(`parlance: ${error.message}`);
  process.exitCode = 1;
  // Nobody reads further input.
  process.stdin.destroy();
}
