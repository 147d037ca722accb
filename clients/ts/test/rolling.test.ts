import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { Client, v1, WebSocketTransport } from "../src/index.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { Cluster } from "./cluster.js";
import { eventually } from "./eventually.js";

const NODES = 3;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(NODES);
}, 90_000);
afterAll(() => cluster?.stop());

/** Two users per transport: through nginx, as in production, to any node. */
const PEOPLE = {
  ann: (url: string) => new WebSocketTransport(url, WebSocket as never),
  ben: (url: string) => grpcWeb(url),
  cat: (url: string) => new WebSocketTransport(url, WebSocket as never),
  dan: (url: string) => grpcWeb(url),
};

test("nothing is lost, doubled or reordered while every node is restarted in turn, and one killed", async () => {
  const people = Object.keys(PEOPLE);
  const clients = Object.entries(PEOPLE).map(
    ([person, transport]) => new Client({ url: cluster.url, token: cluster.token(person), transport: transport(cluster.url) }),
  );
  onTestFinished(() => clients.forEach((client) => client.close()));
  await Promise.all(clients.map((client) => client.start()));
  const { room: created } = await clients[0]!.call("createRoom", {
    kind: v1.RoomKind.GROUP,
    settings: { title: "rolling" },
    memberIds: people.slice(1),
  });
  const rooms = await Promise.all(clients.map((client) => eventually("the room is there", () => client.room(created!.roomId))));
  await Promise.all(rooms.map((room) => room.loadLatest()));

  // Each sends continuously while a node is restarted; everything has to fit into a window.
  let [isOver, limit] = [false, 0];
  const waiting: (() => void)[] = [];
  const sent = people.map((): string[] => []);
  const talking = rooms.map(async (room, who) => {
    while (!isOver) {
      if (sent[who]!.length >= limit) {
        await new Promise<void>((resolve) => waiting.push(resolve));
        continue;
      }
      const text = `${who} ${sent[who]!.length}`;
      sent[who]!.push(text);
      await room.send(text);
    }
  });
  const goOn = () => {
    limit += 4_800 / people.length / (NODES + 1);
    for (const wake of waiting.splice(0)) wake();
  };
  for (let node = 0; node < NODES; node += 1) {
    goOn();
    await cluster.restart(node, "SIGTERM");
  }
  goOn();
  await cluster.restart(0, "SIGKILL");
  isOver = true;
  goOn();
  await Promise.all(talking);

  const count = sent.flat().length;
  for (const room of rooms) {
    await eventually("all have come", () => room.messageCount === count && room.messages.at(-1)?.seq === room.headSeq);
    while (room.hasOlder) await room.loadOlder();
  }
  const [first, ...others] = rooms.map((room) => room.messages.map(({ seq, text }) => `${seq} ${text}`));
  expect(first).toHaveLength(count);
  for (const other of others) expect(other).toEqual(first);
  // Of each user, in the order in which they were written.
  for (const [who, texts] of sent.entries()) {
    expect(rooms[0]!.messages.map(({ text }) => text).filter((text) => text.startsWith(`${who} `))).toEqual(texts);
  }
  expect(sent.every((texts) => texts.length > 20)).toBe(true);
}, 240_000);
