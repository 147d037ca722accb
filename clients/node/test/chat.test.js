/** Two people chat through a proxy that cuts their connections, and a server that dies. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { connect } from "../connection.js";
import { RoomKind } from "../gen/chat_pb.js";
import { Session } from "../session.js";
import { Person, Proxy, Server } from "./harness.js";

const LIMIT = { timeout: 120_000 };

/** @type {(() => unknown)[]} */
let cleanups;
/** @type {Server} */
let server;
/** @type {Record<string, string>} */
let tokens;
/** @type {string} */
let roomId;
/** As alice. @type {ReturnType<typeof connect>["rooms"]} */
let rooms;

beforeEach(async () => {
  cleanups = [];
  const dataDir = await mkdtemp(join(tmpdir(), "parlance-"));
  cleanups.push(() => rm(dataDir, { recursive: true }));
  server = new Server(dataDir);
  cleanups.push(() => server.kill());
  await server.start();
  const { users } = connect(server.address);
  tokens = {};
  for (const userId of ["alice", "bob"]) tokens[userId] = (await users.createUser({ userId })).token;
  ({ rooms } = connect(server.address, tokens.alice));
  ({ roomId } = await directRoom());
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** The room of the two, as it is now. */
async function directRoom() {
  const { room } = await rooms.createRoom({ kind: RoomKind.DIRECT, memberIds: ["bob"] });
  assert.ok(room);
  return room;
}

/**
 * Waits until the server has so many messages.
 * @param {number} atLeast
 */
async function stored(atLeast) {
  const deadline = Date.now() + 60_000;
  while ((await directRoom()).messageCount < atLeast) assert.ok(Date.now() < deadline);
}

/**
 * @param {string} name
 * @param {string} address
 */
async function start(name, address) {
  const person = new Person(name, { server: address, token: tokens[name], roomId });
  cleanups.push(() => person.kill());
  await person.until(() => person.other[0] === "ready");
  return person;
}

/**
 * All that was said is there, once and in order, and where the answers say.
 * @param {Person} person
 * @param {Record<string, string[]>} texts
 */
function check(person, texts) {
  const seqs = person.events.map(([seq]) => seq);
  assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
  for (const [name, said] of Object.entries(texts)) {
    const heard = person.events.filter(([, user]) => user === name).map(([, , text]) => text);
    assert.deepEqual(heard.sort(), [...said].sort());
  }
  const own = person.events.filter(([, user]) => user === person.name);
  assert.deepEqual(person.sent, Object.fromEntries(own.map(([seq, , text]) => [text, seq])));
  assert.deepEqual(person.other, ["ready"]);
}

test("nothing is lost, doubled or reordered", LIMIT, async () => {
  const proxy = new Proxy(server);
  const address = await proxy.start();
  cleanups.push(() => proxy.close());
  const people = [await start("alice", address), await start("bob", address)];
  /** @type {Record<string, string[]>} */
  const texts = { alice: [], bob: [] };

  for (const [number, fault] of ["cut", "cut", "kill", "cut", "drain", "cut"].entries()) {
    const before = 200 * number;
    for (const person of people) await person.until(() => person.events.length >= before);
    // What is stored now, nobody is told of: it has to be sent again.
    if (fault !== "drain") proxy.swallowAnswers();
    for (const person of people) {
      const said = Array.from({ length: 100 }, (_, n) => `${person.name}-${number}-${n}`);
      texts[person.name].push(...said);
      person.say(said);
    }
    if (fault === "drain") {
      await server.drain();
      await server.start();
      continue;
    }
    await stored(before + 20);
    if (fault === "cut") {
      assert.equal(proxy.cut(), 2);
    } else {
      await server.kill();
      await server.start();
    }
  }

  for (const person of people) await person.until(() => person.events.length >= 1200);
  for (const person of people) {
    assert.equal(await person.finish(), 0);
    check(person, texts);
  }
  assert.deepEqual(people[0].events, people[1].events);
  assert.equal((await directRoom()).messageCount, 1200n);
});

test("more happens than the server pushes at once, or looks through for a repeat", LIMIT, async () => {
  const session = new Session({ server: server.address, token: tokens.alice, onUpdate() {} });
  cleanups.push(() => session.close());
  const running = session.run();
  const texts = Array.from({ length: 10_100 }, (_, n) => `a${n}`);
  /** @type {(text: string, afterSeq?: bigint) => ReturnType<Session["send"]>} */
  const send = (text, afterSeq) => session.send(roomId, text, { clientMessageId: text, afterSeq });
  const first = await send("a0");
  await Promise.all(texts.slice(1).map((text) => send(text)));
  const again = await send("a0", first.seq - 1n);
  assert.deepEqual([again.seq, again.isRepeat], [first.seq, true]);
  const late = await send("late", first.seq);
  assert.equal(late.isRepeat, false);
  session.close();
  await running;

  const bob = await start("bob", server.address);
  bob.say(["hello"]);
  assert.equal(await bob.finish(), 0);
  check(bob, { alice: [...texts, "late"], bob: ["hello"] });
});
