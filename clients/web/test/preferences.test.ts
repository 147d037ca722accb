import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";

import { composer, entry, message, open, until } from "./browser.js";
import { Crowd } from "./crowd.js";
import { crowd, people, signedIn } from "./crowd-stage.js";

const details = (page: Page) => page.getByRole("button", { name: "Details", exact: true }).click();
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
/** Titles of the listed rooms, in their order. */
const listed = (page: Page) => page.getByRole("navigation").locator("a[href*='room-'] .title").allTextContents();

describe("what one sets for a room", () => {
  test("a room is pinned to the top, and is again where it was", async () => {
    const few = await crowd({ rooms: 3, people: 2 });
    const page = await signedIn(few);
    await open(page, "Room 0");
    await details(page);
    await button(page, "Pin to the top").click();
    await until("it is first", () => listed(page), ([first]) => first?.includes("Room 0") ?? false);
    await entry(page, "Room 0").getByText("pinned", { exact: true }).waitFor({ state: "attached" });
    await until("it is asked for", () => few.calls.get("setRoomPreferences") ?? 0, (count) => count > 0);
    expect(few.requests.get("setRoomPreferences")).toMatchObject({ roomId: "room-0", pinned: true });
    await button(page, "Unpin").click();
    await until("it is not first", () => listed(page), ([first]) => !first?.includes("Room 0"));
  });

  test("notifications of a room are muted for a time, and come again", async () => {
    const few = await crowd({ rooms: 2, people: 2 });
    const context = await people.context({ permissions: ["notifications"] });
    const page = await context.newPage();
    await page.addInitScript(() => {
      const shown: string[] = [];
      class Notification {
        static permission = "granted";
        static requestPermission = async () => "granted";
        constructor(_title: string, { body }: { body: string }) {
          shown.push(body);
        }
        close() {}
      }
      Object.assign(globalThis, { Notification, shown });
      // In another window.
      document.hasFocus = () => false;
    });
    const shown = () => page.evaluate(() => (globalThis as unknown as { shown: string[] }).shown);
    await page.goto(few.signIn);
    await page.getByTestId("connection").getByText("Online").waitFor();
    await page.getByRole("button", { name: "Account and settings" }).click();
    await page.getByRole("menuitemcheckbox", { name: "Notifications" }).click();
    await page.keyboard.press("Escape");
    await open(page, "Room 0");
    await details(page);
    await button(page, "Mute notifications").click();
    await page.getByRole("menuitem", { name: "For an hour" }).click();
    await button(page, "Unmute notifications").waitFor();
    // Shown before it is sent.
    await until("it is asked for", () => few.calls.get("setRoomPreferences") ?? 0, (count) => count > 0);
    expect(few.requests.get("setRoomPreferences")).toMatchObject({ roomId: "room-0", muted: true, mutedUntil: expect.any(String) });
    await entry(page, "Room 0").getByText("notifications muted", { exact: true }).waitFor({ state: "attached" });
    few.say(few.rooms[0]!, "unheard");
    few.say(few.rooms[1]!, "heard");
    await until("the other room's is shown", shown, (all) => all.includes("heard"));
    expect(await shown()).toEqual(["heard"]);
    await button(page, "Unmute notifications").click();
    await button(page, "Mute notifications").waitFor();
    few.say(few.rooms[0]!, "heard again");
    await until("it is shown", shown, (all) => all.includes("heard again"));
    await context.close();
  });

  test("a room that is marked as unread stays so until it is opened again", async () => {
    const few = await crowd({ rooms: 2, people: 2 });
    const page = await signedIn(few);
    await open(page, "Room 0");
    await message(page, "message 9").waitFor();
    await details(page);
    await button(page, "Mark as unread").click();
    const mark = entry(page, "Room 0").getByTestId("unread-mark");
    await mark.waitFor();
    expect(few.rooms[0]!.preferences).toMatchObject({ markedUnread: true });
    expect(await composer(page).count()).toBe(0);
    await page.reload();
    await mark.waitFor();
    await open(page, "Room 0");
    await mark.waitFor({ state: "detached" });
    await until("the mark is taken back", () => few.rooms[0]!.preferences, ({ markedUnread }) => markedUnread === false);
  });
});

describe("why nothing can be sent", () => {
  const closed = (page: Page) => page.getByTestId("closed");
  const send = (page: Page) => button(page, "Send");

  test("someone who was muted is told until when, and writes again once that is lifted", async () => {
    const few = await crowd({ rooms: 1, people: 2 });
    const page = await signedIn(few);
    await open(page, "Room 0");
    await composer(page).fill("not yet");
    const end = new Date(Date.now() + 7_200_000).toISOString();
    few.happens(few.rooms[0]!, { memberMuted: { userId: Crowd.USER, until: end, reason: "noise" } });
    await closed(page).getByText("A moderator has muted you here until").waitFor();
    expect(await send(page).isDisabled()).toBe(true);
    await composer(page).press("Enter");
    expect(few.calls.get("sendMessage")).toBeUndefined();
    expect(await composer(page).inputValue()).toBe("not yet");
    few.happens(few.rooms[0]!, { memberMuted: { userId: Crowd.USER } });
    await closed(page).getByText("A moderator has muted you here: you can read, but not write.").waitFor();
    few.happens(few.rooms[0]!, { memberUnmuted: { userId: Crowd.USER } });
    await closed(page).waitFor({ state: "detached" });
    await composer(page).press("Enter");
    await message(page, "not yet").waitFor();
  });

  test("in slow mode the time until the next message is counted down", async () => {
    const few = await crowd({ rooms: 1, people: 2 });
    few.rooms[0]!.settings = { slowModeSeconds: 600 };
    const context = await people.context();
    const page = await context.newPage();
    await page.clock.install({ time: new Date() });
    await page.goto(few.signIn);
    await page.getByTestId("connection").getByText("Online").waitFor();
    await open(page, "Room 0");
    await message(page, "message 9").waitFor();
    await composer(page).fill("first");
    await composer(page).press("Enter");
    await closed(page).getByText("you can send again in 10 minutes").waitFor();
    await composer(page).fill("second");
    expect(await send(page).isDisabled()).toBe(true);
    await page.clock.fastForward(540_000);
    await closed(page).getByText(/you can send again in \d+ seconds?/).waitFor();
    await page.clock.fastForward(60_000);
    await closed(page).waitFor({ state: "detached" });
    expect(await composer(page).inputValue()).toBe("second");
    expect(await send(page).isDisabled()).toBe(false);
    await context.close();
  });

  test("an admin does not wait in slow mode", async () => {
    const few = await crowd({ rooms: 1, people: 2, role: "ROLE_ADMIN" });
    few.rooms[0]!.settings = { slowModeSeconds: 600 };
    const page = await signedIn(few);
    await open(page, "Room 0");
    await composer(page).fill("first");
    await composer(page).press("Enter");
    await message(page, "first").waitFor();
    await composer(page).fill("second");
    expect(await send(page).isDisabled()).toBe(false);
    expect(await closed(page).count()).toBe(0);
  });

  test("someone who is banned from a channel is told until when", async () => {
    const few = await crowd({ rooms: 1, people: 2 });
    const page = await signedIn(few);
    await page.goto(`${few.url}/#/room/room-77`);
    const end = new Date(Date.now() + 7_200_000).toISOString();
    few.errors.set("joinRoom", { code: 7, reason: "banned", message: "banned", metadata: { until: end } });
    await button(page, "Join").click();
    await page.getByText("You are banned from this channel until").waitFor();
    few.errors.set("joinRoom", { code: 7, reason: "banned", message: "banned" });
    await button(page, "Join").click();
    await page.getByText("You are banned from this channel.", { exact: true }).waitFor();
  });
});
