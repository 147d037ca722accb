import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { entry, message, say, until } from "./browser.js";
import { crowd, MOST_ELEMENTS, signedIn } from "./crowd-stage.js";

test("messages that are refused are not told to be none, and can be asked for again", async () => {
  const few = await crowd({ rooms: 3, people: 3 });
  few.refused.add("listMessages");
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  await page.getByRole("alert").getByText("The messages could not be loaded.").waitFor();
  expect(await page.getByText("No messages yet").count()).toBe(0);
  few.refused.delete("listMessages");
  await page.getByRole("alert").getByRole("button", { name: "Try again" }).click();
  await message(page, "message 9").waitFor();
});

test("where the rooms are refused at first, they are there later, and so are the people", async () => {
  const few = await crowd({ rooms: 3, people: 3, directory: true });
  few.refused.add("listInbox");
  const page = await signedIn(few);
  await until("it was refused", () => few.calls.get("listInbox") ?? 0, (count) => count > 0);
  few.refused.delete("listInbox");
  await entry(page, "Room 1").waitFor();
  await page.getByRole("list", { name: "People" }).getByText("Chidi 2").waitFor();
});

test("a room that is opened while a message is on its way is loaded, though that is gone before it is looked at", async () => {
  const few = await crowd({ rooms: 80, people: 2 });
  const page = await signedIn(few);
  await page.clock.install();
  const goTo = async (room: number) => {
    await page.evaluate((room) => (location.hash = `#/room/room-${room}`), room);
    await page.getByRole("heading", { level: 2, name: `Room ${room}`, exact: true }).waitFor();
  };
  await goTo(0);
  await message(page, "message 9").waitFor();
  few.held.add("sendMessage");
  few.keepsOwn = false;
  await say(page, "on its way");
  await message(page, "on its way").locator("[data-state=sending]").waitFor();
  // Messages of earlier viewed rooms are dropped.
  for (let room = 79; room > 60; room -= 1) {
    await goTo(room);
    await message(page, "message 9").waitFor();
  }
  await page.clock.pauseAt(Date.now() + 3_600_000);
  await goTo(0);
  few.release("sendMessage");
  const shown = async () => {
    await page.clock.runFor(1);
    return page.locator("article", { hasText: "on its way" }).count();
  };
  await until("it is gone", shown, (count) => count === 0);
  await page.clock.resume();
  await message(page, "message 9").waitFor();
});

/** Seqs of the messages in the document, from the top. */
const seqs = (page: Page) =>
  page.locator("article").evaluateAll((rows) =>
    rows
      .map((row) => ({ top: row.getBoundingClientRect().top, seq: Number((row as HTMLElement).dataset["seq"]) }))
      .sort((a, b) => a.top - b.top)
      .map(({ seq }) => seq),
  );

test("a room of 50,000 messages is scrolled back and forth without holes, and what is far away is let go", async () => {
  const many = await crowd({ rooms: 300, direct: 100, people: 1_000, unread: 50, long: 50_000, directory: true });
  const page = await signedIn(many);
  await entry(page, "Room 299").click();
  await message(page, "50000: some words").waitFor();
  const timeline = page.getByTestId("timeline");
  const inOrder = (all: number[]) => all.every((seq, index) => index === 0 || seq === all[index - 1]! + 1);
  const scroll = async (by: number, reached: (first: number, last: number) => boolean) => {
    const look = async () => {
      await timeline.evaluate((element, by) => element.scrollBy(0, by), by);
      // New rows are positioned once they are measured.
      const all = await until("no message is missing", () => seqs(page), inOrder);
      return [all[0] ?? 0, all.at(-1) ?? 0];
    };
    await until("it is there", look, ([first, last]) => reached(first!, last!));
  };
  await scroll(-3_000, (first) => first < 49_000);
  expect(await page.locator("*").count()).toBeLessThan(2 * MOST_ELEMENTS);
  await scroll(6_000, (_, last) => last === 50_000);
  await message(page, "50000: some words").waitFor();
  expect(many.calls.get("listMessages")!).toBeGreaterThan(10);
});
