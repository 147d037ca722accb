import { afterEach, expect, test, vi } from "vitest";

import { Client } from "../src/index.js";
import { answerRoutine, FakeTransport, message } from "./fake.js";

// What shows messages is not loaded here before a room needs it.
const clients: Client[] = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

/** A client whose inbox is not answered: it loads nothing in advance. */
async function open() {
  vi.resetModules();
  const { Client } = await import("../src/index.js");
  const transport = new FakeTransport();
  const client = new Client({ url: "http://nowhere", token: "t", transport });
  clients.push(client);
  client.start().catch(() => {});
  await vi.waitFor(() => expect(transport.connections).toHaveLength(1));
  const connection = transport.last;
  connection.welcome([{ roomId: "r", seq: 1n }]);
  connection.event("r", 2n, "first");
  await vi.waitFor(() => expect(client.room("r")).toBeDefined());
  return { client, room: client.room("r")!, connection };
}

test("messages are shown although what shows them is loaded on demand", async () => {
  const { room, connection } = await open();
  expect(room).toMatchObject({ isLoaded: false, isLoading: false, hasOlder: true, hasNewer: false, messages: [] });
  const loading = room.loadLatest();
  expect(room.isLoading).toBe(true);
  connection.onsend = ({ requestId, operation }) => {
    // The page is older than what was received before the room was opened.
    if (operation.case === "listMessages") connection.reply(requestId, { case: "listMessages", value: { messages: [], headSeq: 1n } });
    if (operation.case === "listEvents") connection.reply(requestId, { case: "listEvents", value: { events: [message("r", 2n, "first")], headSeq: 2n } });
  };
  await loading;
  await vi.waitFor(() => expect(room.messages.map(({ text }) => text)).toEqual(["first"]));
  expect(room).toMatchObject({ isLoaded: true, isLoading: false });
});

test("a message that another replies to is read although what shows it is loaded on demand", async () => {
  const { room, connection } = await open();
  room.on("change", () => room.message(2));
  expect(room.message(2)).toBeUndefined();
  await vi.waitFor(() => expect(connection.of("getMessage")).toHaveLength(1));
  connection.reply(connection.of("getMessage")[0]!.requestId, { case: "getMessage", value: { message: message("r", 2n, "first") } });
  await vi.waitFor(() => expect(room.message(2)?.text).toBe("first"));
});

test("a room that is deleted while its view is loaded is not read", async () => {
  const { room, connection } = await open();
  const loading = room.loadLatest();
  room.release();
  await loading;
  expect(connection.of("listMessages")).toHaveLength(0);
  expect(room).toMatchObject({ isLoaded: false, isLoading: false });
});

test("what shows messages is loaded once the rooms are known: the network may be lost by then", async () => {
  const { client, room, connection } = await open();
  answerRoutine(connection);
  const [asked] = connection.of("listInbox");
  connection.reply(asked!.requestId, { case: "listInbox", value: {} });
  await client.start();
  await vi.waitFor(() => {
    const asks = connection.of("getMessage").length;
    room.message(2);
    expect(connection.of("getMessage").length).toBeGreaterThan(asks);
  });
});
