import type { Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Client, v1, WebSocketTransport } from "@parlance/client";
import { entry, message, open, say, until } from "./browser.js";
import { people, server } from "./stage.js";

const COUNT = 100_000;
/** Messages imported with one request. */
const TOGETHER = 500;
/** Maximum number of messages in the document, however many are loaded. */
const MOST_DRAWN = 120;

let alice: Client;
let roomId: string;
/** The seq of the first message. */
let first: number;

beforeAll(async () => {
  const founder = await client("alice");
  await server.token("bob");
  const { room } = await founder.call("createRoom", { kind: v1.RoomKind.GROUP, settings: { title: "Archive" }, memberIds: ["bob"] });
  roomId = room!.roomId;
  first = Number(room!.headSeq) + 1;
  // She need not follow all of it.
  founder.close();
  const headers = { "content-type": "application/json", authorization: `Bearer ${await server.backendToken("importer")}` };
  const sentAt = new Date().toISOString();
  for (let count = 0; count < COUNT; count += TOGETHER) {
    const messages = Array.from({ length: TOGETHER }, (_, at) => ({ senderId: "alice", clientMessageId: `${count + at}`, sentAt, text: `number ${count + at}` }));
    const body = JSON.stringify({ firstNumber: count + 1, messages });
    const response = await fetch(`${server.url}/v1/rooms/${roomId}/import`, { method: "POST", headers, body });
    expect(response.status, "the messages are imported").toBe(200);
  }
  alice = await client("alice");
});
afterAll(() => alice?.close());

async function client(userId: string): Promise<Client> {
  const token = await server.token(userId);
  const client = new Client({ url: server.url, token, transport: new WebSocketTransport(server.url, WebSocket as never) });
  await client.start();
  return client;
}

const timeline = (page: Page): Locator => page.getByTestId("timeline");

/** Seqs and positions of the visible messages, from the top. */
const seen = (page: Page) =>
  timeline(page).evaluate((list) => {
    const { top, bottom } = list.getBoundingClientRect();
    return [...list.querySelectorAll("article")]
      .map((row) => ({ seq: Number(row.dataset["seq"]), y: row.getBoundingClientRect().top, end: row.getBoundingClientRect().bottom }))
      .filter(({ y, end }) => end > top && y < bottom)
      .sort((a, b) => a.y - b.y);
  });

const drawn = (page: Page) => page.locator("article").count();

test("a room of 100,000 messages is scrolled, jumped in, and returned to", async () => {
  const bob = await people.named(server.url, "Bob");
  await open(bob, "Archive");
  const last = first + COUNT - 1;
  // The room opens at the previous position, however far back that is.
  await bob.getByRole("button", { name: /^\d+ new$/ }).click();
  await until("the end is shown", () => seen(bob), (rows) => rows.at(-1)?.seq === last);
  const unread = () => entry(bob, "Archive").getByText("unread").count();
  await until("it is read", unread, (count) => count === 0);

  // Back, page by page: nothing is missing, and the visible messages stay in place.
  const height = () => timeline(bob).evaluate((list) => list.scrollHeight);
  for (let page = 0; page < 12; page += 1) {
    await timeline(bob).evaluate((list) => list.scrollBy(0, -1_500));
    // The list must be still, or its position is not reproducible.
    const standing = await still(bob);
    const seqs = standing.map(({ seq }) => seq);
    expect(seqs).toEqual(Array.from(seqs, (_, index) => seqs[0]! + index));
    expect(await drawn(bob)).toBeLessThan(MOST_DRAWN);
  }
  const before = await still(bob);
  expect(before[0]!.seq).toBeLessThan(last - 300);
  const tall = await height();
  await timeline(bob).evaluate((list) => list.scrollTo(0, 900));
  const place = await seen(bob);
  await until("more is loaded above", height, (now) => now > tall);
  const after = await still(bob);
  const kept = place[3]!;
  expect(Math.abs(after.find(({ seq }) => seq === kept.seq)!.y - kept.y)).toBeLessThan(3);

  // Away, and back to the same position.
  const here = (await still(bob))[1]!.seq;
  await open(bob, "alice");
  await open(bob, "Archive");
  await until("it is where it was", () => seen(bob), (rows) => rows.slice(0, 4).some(({ seq }) => Math.abs(seq - here) <= 1));

  // Messages received meanwhile do not move it, and are one click away.
  await alice.send({ roomId, text: "meanwhile" });
  await bob.getByRole("button", { name: "1 new" }).click();
  await message(bob, "meanwhile").waitFor();
  await until("it is read", unread, (count) => count === 0);

  // To the beginning of the room through a reply, and forward again without a hole.
  await alice.send({ roomId, text: "do you remember?", replyToSeq: first + 2 });
  await message(bob, "do you remember?").getByRole("button", { name: "Replying to" }).click();
  await until("the beginning is shown", () => seen(bob), (rows) => rows.some(({ seq }) => seq === first + 2));
  expect(await drawn(bob)).toBeLessThan(MOST_DRAWN);
  await until(
    "a hundred further on",
    async () => {
      await timeline(bob).evaluate((list) => list.scrollBy(0, 900));
      return seen(bob);
    },
    (rows) => (rows[0]?.seq ?? 0) > first + 150,
  );
  await say(bob, "I do");
  await message(bob, "I do").waitFor();
  expect((await still(bob)).at(-1)!.seq).toBe(last + 3);
});

let weeklies = 0;
test("one begins at what is new, however long one was away", async () => {
  // Another one where the test is tried again.
  const title = `Weekly ${(weeklies += 1)}`;
  const carol = await client("carol");
  const { room } = await alice.call("createRoom", { kind: v1.RoomKind.GROUP, settings: { title }, memberIds: ["carol"] });
  const weekly = room!.roomId;
  const send = async (count: number) => {
    for (let number = 0; number < count; number += 1) await alice.send({ roomId: weekly, text: `week ${number}` });
  };
  await send(10);
  await until("they have come", () => carol.room(weekly)?.headSeq, (head) => (head ?? 0) >= Number(room!.headSeq) + 10);
  await carol.room(weekly)!.markRead();
  const read = carol.room(weekly)!.readSeq;
  carol.close();
  await send(20);
  let page = await people.named(server.url, "Carol");
  await open(page, title);
  await page.getByTestId("unread-line").waitFor();
  await until("the first new one is in sight", () => seen(page), (rows) => rows.some(({ seq }) => seq === read + 1));
  const readByCarol = async () => {
    const { receipts } = await alice.call("listReceipts", { roomId: weekly });
    return Number(receipts.find(({ userId }) => userId === "carol")?.readSeq ?? 0);
  };
  // The page says so before the server knows.
  await until("what is in sight is read", readByCarol, (seq) => seq >= read + 20);
  await page.context().close();

  // Also longer than a page; and messages that were not seen are not marked as read.
  await send(300);
  page = await people.named(server.url, "Carol");
  await until("it says how many", () => page.title(), (title) => /^\(3\d\d\) /.test(title));
  await open(page, title);
  await page.getByTestId("unread-line").waitFor();
  await until("it begins where she was", () => seen(page), (rows) => rows.some(({ seq }) => seq === read + 21));
  expect(await page.title()).toMatch(/^\((2|3)\d\d\) /);
  await page.getByRole("button", { name: /^\d+ new$/ }).click();
  await until("the end is shown", () => seen(page), (rows) => rows.at(-1)?.seq === read + 320);
  await until("it is read", () => page.title(), (title) => title === "Parlance");
});

/** The visible messages, once they have stopped moving. */
async function still(page: Page) {
  let before = "";
  let same = 0;
  return until("the list stands still", () => seen(page), (rows) => {
    const now = JSON.stringify(rows.map(({ seq, y }) => [seq, Math.round(y)]));
    same = now === before ? same + 1 : 0;
    before = now;
    return rows.length > 0 && same >= 5;
  });
}
