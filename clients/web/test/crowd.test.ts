import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";

import { composer, entry, message, until } from "./browser.js";
import { Crowd } from "./crowd.js";
import { crowd, MOST_ELEMENTS, people, signedIn } from "./crowd-stage.js";

/** Rooms and people that are drawn at once. */
const MOST_DRAWN = 60;

const lists = (page: Page) => page.getByTestId("lists");
const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute("data-key"));

/** Opens the search and types: a key that is pressed before its field has the focus goes elsewhere. */
async function find(page: Page, text: string): Promise<void> {
  await page.keyboard.press("Control+k");
  await page.locator("[role=combobox]:focus").waitFor();
  await page.keyboard.type(text);
}

test("of 2,000 rooms and 1,000 people, what is seen is drawn and asked for", async () => {
  const many = await crowd({ rooms: 2_000, direct: 500, people: 1_000, unread: 500, directory: true });
  const page = await signedIn(many);
  const latest = many.rooms.at(-1)!;
  await entry(page, latest.title).waitFor();
  expect(await page.title()).toBe("(500) Parlance");
  await entry(page, latest.title).click();
  await composer(page).waitFor();

  const elements = () => page.locator("*").count();
  const drawn = () => lists(page).getByRole("listitem").count();
  expect(await elements()).toBeLessThan(MOST_ELEMENTS);
  // Who does not see how long it is, is told.
  expect(await lists(page).getByRole("listitem").first().getAttribute("aria-setsize")).toBe("2000");

  // Whatever comes, only that is drawn anew.
  for (let count = 0; count < 300; count += 1) many.say(many.rooms[count * 5]!, `news ${count}`);
  many.say(latest, "the last one");
  await message(page, "the last one").waitFor();
  await until("the latest are above", () => lists(page).getByRole("listitem").nth(1).textContent(), (text) => /news 2\d\d/.test(text!));
  await until("all are counted", () => page.title(), (title) => title === "(799) Parlance");
  expect(await elements()).toBeLessThan(MOST_ELEMENTS);

  // To the end and back: nothing stays of what was drawn on the way.
  await lists(page).evaluate((list) => list.scrollTo(0, list.scrollHeight));
  await lists(page).getByRole("listitem").getByText(/ 999$/).first().waitFor({ state: "attached" });
  expect(await drawn()).toBeLessThan(MOST_DRAWN);
  await lists(page).evaluate((list) => list.scrollTo(0, 0));
  await entry(page, latest.title).waitFor();
  expect(await drawn()).toBeLessThan(MOST_DRAWN);

  // Everyone of them is found.
  await find(page, "Room 777");
  await page.getByRole("option", { name: "Room 777", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  expect(many.calls.get("listInbox")).toBe(10);
  expect(many.calls.get("getUser") ?? 0).toBeLessThan(MOST_DRAWN);
});

test("where there is no directory, names are asked for where they are shown", async () => {
  const many = await crowd({ rooms: 120, direct: 120, people: 120 });
  const page = await signedIn(many);
  await entry(page, "Jonas 119").waitFor();
  const asked = many.calls.get("getUser")!;
  expect(asked).toBeLessThan(MOST_DRAWN);
  // Forty who come into a room that is not open are nobody's business yet.
  for (let person = 1_000; person < 1_040; person += 1) many.add(many.rooms[0]!, `person-${person}`);
  await until("they are people to talk to", () => lists(page).getByRole("list", { name: "People" }).count(), (count) => count === 1);
  await find(page, "person-10");
  await until("they are found by their ids", () => page.getByRole("option").count(), (count) => count > 10);
  await page.keyboard.press("Escape");
  // Others may be found by their names before they were shown, after a while.
  await find(page, "Ada 0");
  await page.getByRole("option", { name: "Ada 0", exact: true }).waitFor();
});

test("signing in opens nothing, and reads nothing", async () => {
  const few = await crowd({ rooms: 5, people: 5, unread: 3 });
  const page = await signedIn(few);
  await entry(page, "Room 4").getByText("unread").waitFor();
  await page.getByText("Choose a conversation").waitFor();
  expect(await page.title()).toBe("(3) Parlance");
  expect(few.calls.has("markRead")).toBe(false);
  // What was read on another device, is read here.
  few.readElsewhere(few.rooms[4]!);
  await entry(page, "Room 4").getByText("unread").waitFor({ state: "detached" });
  await until("it is not counted", () => page.title(), (title) => title === "(2) Parlance");
  await entry(page, "Room 3").click();
  await until("what is opened is read", () => page.title(), (title) => title === "(1) Parlance");
});

test("the lists are one stop of the tabulator, and the arrows go from row to row", async () => {
  const many = await crowd({ rooms: 200, direct: 1, people: 100, directory: true });
  const page = await signedIn(many);
  await entry(page, "Room 199").waitFor();
  await until("the people are there", () => lists(page).getByRole("list", { name: "People" }).count(), (count) => count === 1);
  await page.getByRole("button", { name: "New conversation" }).focus();
  await page.keyboard.press("Tab");
  expect(await focused(page)).toBe("room-199");
  await page.keyboard.press("ArrowDown");
  expect(await focused(page)).toBe("room-198");
  // From the rooms to the people, and back.
  await page.keyboard.press("End");
  await until("the last person", () => focused(page), (key) => key === "@person-99");
  expect(await lists(page).evaluate((list) => list.scrollTop + list.clientHeight > list.scrollHeight - 80)).toBe(true);
  await page.keyboard.press("Home");
  await until("the first room", () => focused(page), (key) => key === "room-199");
  // Scrolled away by hand, it is still where the keyboard is.
  await lists(page).evaluate((list) => list.scrollTo(0, 6_000));
  await page.keyboard.press("ArrowDown");
  await until("the next one", () => focused(page), (key) => key === "room-198");
  await page.keyboard.press("Enter");
  await composer(page).waitFor();
  expect(await lists(page).locator("a[tabindex='0']").count()).toBe(1);
});

test("one is notified by the clock of the server, whatever that of the machine shows", async () => {
  for (const skewMs of [-600_000, 0, 600_000]) {
    const few = await crowd({ rooms: 2, direct: 1, people: 2, directory: true });
    few.skewMs = skewMs;
    const context = await people.context();
    onTestFinished(() => context.close());
    await context.addInitScript(() => {
      const shown: string[] = [];
      class Recorded {
        static permission = "granted";
        constructor(_title: string, { body }: NotificationOptions) {
          shown.push(body!);
        }
      }
      Object.assign(globalThis, { Notification: Recorded, shown });
      // The page before this one has none.
      if (location.protocol === "http:") localStorage.setItem("parlance:notifications", "on");
      document.hasFocus = () => false;
    });
    const page = await context.newPage();
    await page.goto(few.signIn);
    await entry(page, "Ada 0").waitFor();
    // What was said an hour ago is history, though it comes now.
    few.say(few.rooms[0]!, "old", undefined, 3_600_000);
    few.say(few.rooms[0]!, "new");
    const shown = () => page.evaluate(() => (globalThis as unknown as { shown: string[] }).shown);
    await until(`a notification with a clock off by ${skewMs} ms`, shown, (all) => all.length > 0);
    expect(await shown()).toEqual(["new"]);
  }
});

test("the app works below a path of a proxy", async () => {
  const few = await crowd({ rooms: 2, people: 2, prefix: "/chat" });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  await composer(page).waitFor();
  expect(new URL(page.url()).pathname).toBe("/chat/");
});

test("what went wrong in one place is not told in another, and covers nothing that is read or written", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  await composer(page).waitFor();
  few.refused.add("leaveRoom");
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Leave" }).click();
  const problem = page.getByRole("alert").getByText("Could not leave");
  await problem.waitFor();
  const { y, height } = (await problem.boundingBox())!;
  expect(y + height).toBeLessThan((await page.getByTestId("timeline").boundingBox())!.y);
  await entry(page, "Room 0").click();
  await problem.waitFor({ state: "detached" });
});

test("a person that was just scrolled to can be dragged at once", async () => {
  const many = await crowd({ rooms: 30, people: 300, directory: true, role: "ROLE_OWNER" });
  const page = await signedIn(many);
  await entry(page, "Room 29").click();
  await composer(page).waitFor();
  const { x, y, width, height } = (await lists(page).boundingBox())!;
  const middle = { x: x + width / 2, y: y + height / 2 };
  await page.mouse.move(middle.x, middle.y);
  await page.mouse.wheel(0, 6_000);
  const under = () =>
    page.evaluate((y) => {
      const rows = [...document.querySelectorAll<HTMLElement>("[data-key^='@person-']")];
      return rows.find((row) => row.getBoundingClientRect().top <= y && row.getBoundingClientRect().bottom >= y)?.dataset["key"];
    }, middle.y);
  const key = await until("somebody is there", under, (found) => found !== undefined);
  await page.mouse.down();
  const room = (await page.getByTestId("timeline").boundingBox())!;
  await page.mouse.move(room.x + room.width / 2, room.y + room.height / 2, { steps: 5 });
  await page.mouse.up();
  await until("they are added", () => many.calls.get("addMembers") ?? 0, (count) => count === 1);
  expect(many.requests.get("addMembers")).toMatchObject({ userIds: [key!.slice(1)] });
});

test("a message that was just scrolled to can be clicked at once", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  for (let said = 0; said < 40; said += 1) few.say(few.rooms[0]!, `number ${said}`);
  const page = await signedIn(few);
  await entry(page, "Room 0").click();
  await page.getByTestId("unread-line").waitFor();
  await page.getByTestId("timeline").hover();
  const offset = () => page.getByTestId("timeline").evaluate((box) => box.scrollTop);
  const before = await offset();
  // While it still goes to what is new, that goes before the wheel.
  const scroll = () => page.mouse.wheel(0, 100).then(offset);
  await until("it is scrolled", scroll, (now) => now > before);
  const under = await page.evaluate(() => {
    const { left, top, width, height } = document.querySelector("[data-testid=timeline]")!.getBoundingClientRect();
    return document.elementFromPoint(left + width / 2, top + height / 2)?.closest("[data-seq]")?.tagName;
  });
  expect(under).toBe("ARTICLE");
});

test("a change that is refused stays with its message, and says why", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  few.say(few.rooms[1]!, "my own", Crowd.USER);
  await message(page, "my own").waitFor();
  const failed = page.getByTestId("failed-change");
  const edit = async (text: string) => {
    await composer(page).press("ArrowUp");
    await until("the text is there to be changed", () => composer(page).inputValue(), (value) => value !== "");
    await composer(page).fill(text);
    await composer(page).press("Enter");
  };

  few.refused.add("editMessage");
  await edit("changed");
  await failed.getByText("Change not saved: not here").waitFor();
  await message(page, "my own").waitFor();
  // Its text is taken up again.
  await failed.getByRole("button", { name: "Edit" }).click();
  await until("the text is there again", () => composer(page).inputValue(), (value) => value === "changed");
  await failed.waitFor({ state: "detached" });
  await composer(page).press("Enter");
  await failed.getByRole("button", { name: "Try again" }).waitFor();
  few.refused.delete("editMessage");
  await failed.getByRole("button", { name: "Try again" }).click();
  await failed.waitFor({ state: "detached" });
  await message(page, "changed").waitFor();

  few.refused.add("deleteMessage");
  await message(page, "changed").hover();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await failed.getByText("Not deleted: not here").waitFor();
  await failed.getByRole("button", { name: "Discard" }).click();
  await failed.waitFor({ state: "detached" });
});

test("a refused edit of a message that was deleted meanwhile is shown, and its text can be sent", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  const targetSeq = few.say(few.rooms[1]!, "my own", Crowd.USER);
  await message(page, "my own").waitFor();
  few.refused.add("editMessage");
  few.held.add("editMessage");
  await composer(page).press("ArrowUp");
  await until("the text is there to be changed", () => composer(page).inputValue(), (value) => value === "my own");
  await composer(page).fill("a long careful edit");
  await composer(page).press("Enter");
  await until("the edit is under way", () => few.calls.get("editMessage"), (count) => count === 1);
  few.happens(few.rooms[1]!, { messageDeleted: { targetSeq } }, "admin");
  await page.locator("article").getByText("message deleted").waitFor();
  few.release("editMessage");
  const failed = page.getByTestId("failed-change");
  await failed.getByText("Change not saved: not here").waitFor();
  expect(await failed.getByRole("button", { name: "Try again" }).count()).toBe(0);
  await failed.getByRole("button", { name: "Edit" }).click();
  await until("the text is there again", () => composer(page).inputValue(), (value) => value === "a long careful edit");
});

test("the text of a message that was not sent is taken up again before what is written already", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 0").click();
  few.refused.add("sendMessage");
  await composer(page).fill("not sent");
  await composer(page).press("Enter");
  const failed = message(page, "not sent");
  await failed.getByRole("button", { name: "Edit" }).waitFor();
  await composer(page).fill("the next one");
  await failed.getByRole("button", { name: "Edit" }).click();
  await until("both are there", () => composer(page).inputValue(), (value) => value === "not sent\nthe next one");
  await page.reload();
  await until("both are a draft", () => composer(page).inputValue(), (value) => value === "not sent\nthe next one");
});

test("a reaction and its removal before the answer are carried out in order, or not at all", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 0").click();
  await message(page, "message 9").hover();
  await page.getByRole("button", { name: "React" }).click();
  await page.getByPlaceholder("Search emoji").fill("tada");
  few.held.add("addReaction");
  await page.getByPlaceholder("Search emoji").press("Enter");
  const mine = page.getByRole("button", { name: /^🎉 1/ });
  await mine.click();
  await mine.waitFor({ state: "detached" });
  expect(few.calls.get("removeReaction")).toBeUndefined();
  few.release("addReaction");
  await until("it is taken back", () => few.calls.get("removeReaction"), (count) => count === 1);
  expect(few.calls.get("addReaction")).toBe(1);
});

test("back closes what lies over the page, and nothing stays of it in the history", async () => {
  const few = await crowd({ rooms: 3, people: 3, directory: true });
  const page = await signedIn(few);
  for (const room of ["Room 1", "Room 2"]) {
    await entry(page, room).click();
    await page.getByRole("heading", { level: 2, name: room }).waitFor();
  }
  await composer(page).waitFor();
  const here = page.url();
  const dialog = page.getByRole("dialog");
  const isIn = (room: string) => page.getByRole("heading", { level: 2, name: room }).waitFor();

  // Closed by "back", one is where one was.
  await page.keyboard.press("Control+k");
  await dialog.waitFor();
  await page.goBack();
  await dialog.waitFor({ state: "detached" });
  expect(page.url()).toBe(here);
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("alertdialog").waitFor();
  await page.goBack();
  await page.getByRole("alertdialog").waitFor({ state: "detached" });
  expect(few.calls.has("leaveRoom")).toBe(false);
  expect(page.url()).toBe(here);

  // Closed by itself, twice, it is not gone back to.
  for (let time = 0; time < 2; time += 1) {
    await page.getByRole("button", { name: "New conversation" }).click();
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await until("its entry is left", () => page.evaluate(() => history.state), (state) => state === null);
  }
  await page.goBack();
  await isIn("Room 1");

  // From it to another place: that takes its place.
  await find(page, "Room 0");
  await page.keyboard.press("Enter");
  await isIn("Room 0");
  expect(await page.evaluate(() => history.state)).toBeNull();
  await page.goBack();
  await isIn("Room 1");
});

test("an owner hands a room over when leaving it", async () => {
  const few = await crowd({ rooms: 2, people: 2, directory: true, role: "ROLE_OWNER" });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("complementary").getByText("Ada 0").waitFor();
  const leave = async (choose: (dialog: ReturnType<Page["getByRole"]>) => Promise<unknown>) => {
    await page.getByRole("button", { name: "Leave" }).click();
    const dialog = page.getByRole("dialog", { name: /^Leave / });
    await dialog.getByText("You are the owner.").waitFor();
    await choose(dialog);
    await dialog.getByRole("button", { name: "Leave" }).click();
    await page.getByText("Choose a conversation").waitFor();
  };
  await leave((dialog) => dialog.getByLabel("New owner").selectOption({ label: "Ada 0" }));
  expect(few.requests.get("setRole")).toMatchObject({ roomId: "room-1", userId: "person-0", role: "ROLE_OWNER" });
  expect([...few.calls.keys()].indexOf("setRole")).toBeLessThan([...few.calls.keys()].indexOf("leaveRoom"));

  // Or the server chooses.
  await entry(page, "Room 0").click();
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("complementary").getByText("Ada 0").waitFor();
  await leave((dialog) => dialog.getByText("Longest-standing admin or member").waitFor({ state: "attached" }));
  expect(few.calls.get("setRole")).toBe(1);
  expect(few.calls.get("leaveRoom")).toBe(2);
});

test("a direct conversation is with the one who is picked", async () => {
  const few = await crowd({ rooms: 1, people: 20, directory: true });
  const page = await signedIn(few);
  await page.getByRole("button", { name: "New conversation" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Ada 10" }).waitFor();
  expect(await dialog.getByRole("checkbox").count()).toBe(0);
  await dialog.getByRole("button", { name: "Bela 11" }).click();
  await page.getByRole("heading", { level: 2, name: "Bela 11" }).waitFor();
  // By the first one of a search.
  await page.getByRole("button", { name: "New conversation" }).click();
  await dialog.getByLabel("People", { exact: true }).first().fill("chidi 1");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 2, name: "Chidi 12" }).waitFor();
});

test("an id that is typed before the answer about another one stays, and a room is created once", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  const page = await signedIn(few);
  await page.getByRole("button", { name: "New conversation" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("radio", { name: "Group" }).check();
  await dialog.getByRole("textbox", { name: "Title" }).fill("Crew");
  const typed = dialog.getByLabel("People", { exact: true }).and(page.getByRole("textbox"));
  few.held.add("getUser");
  await typed.fill("person-31");
  await dialog.getByRole("button", { name: "Add person-31 by id" }).click();
  await typed.fill("person-42");
  few.release("getUser");
  await dialog.getByRole("checkbox", { name: "Bela 31" }).or(dialog.getByText("Bela 31")).first().waitFor();
  expect(await typed.inputValue()).toBe("person-42");
  await dialog.getByRole("button", { name: "Add person-42 by id" }).click();
  await until("the field is empty again", () => typed.inputValue(), (text) => text === "");

  few.held.add("createRoom");
  await dialog.getByRole("button", { name: "Create" }).dblclick({ force: true });
  await until("it is asked for", () => few.calls.get("createRoom") ?? 0, (count) => count > 0);
  expect(await dialog.getByRole("button", { name: "Create" }).isDisabled()).toBe(true);
  few.release("createRoom");
  await dialog.waitFor({ state: "hidden" });
  expect(few.calls.get("createRoom")).toBe(1);
  expect(few.requests.get("createRoom")).toMatchObject({ memberIds: ["person-31", "person-42"] });
});

test("a message is formatted, never markup, and one line of it has no marks", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  await composer(page).waitFor();
  few.say(few.rooms[1]!, "plain <img src=x onerror=\"document.title='hacked'\">");
  few.say(few.rooms[1]!, "**bold** and `code <b>`\n\n```\nlet x = '<script>';\n```\n> quoted\n\n1. first\n2. [docs](https://example.org/) [bad](javascript:alert(1))");
  const formatted = message(page, "quoted").locator(".text");
  await formatted.locator("strong").getByText("bold").waitFor();
  expect(await formatted.locator("p code").textContent()).toBe("code <b>");
  expect(await formatted.locator("pre").textContent()).toBe("let x = '<script>';");
  expect(await formatted.locator("blockquote").textContent()).toBe("quoted");
  expect(await formatted.locator("ol li").count()).toBe(2);
  expect(await formatted.locator("a").evaluateAll((links) => links.map((link) => link.getAttribute("href")))).toEqual(["https://example.org/"]);
  expect(await page.locator("article img, article script").count()).toBe(0);
  expect(await page.title()).not.toBe("hacked");
  await entry(page, "Room 1").getByText(/bold and code <b> let x/).waitFor();
});

test("where one is named has a badge until it is read", async () => {
  const few = await crowd({ rooms: 3, people: 2 });
  const page = await signedIn(few);
  await entry(page, "Room 2").waitFor();
  const badge = (room: string) => entry(page, room).getByTestId("mention-badge");
  few.say(few.rooms[1]!, "ask @me, please");
  few.say(few.rooms[1]!, "or somebody else");
  few.say(few.rooms[0]!, "ask @met");
  await badge("Room 1").waitFor();
  await entry(page, "Room 0").getByText("ask @met").waitFor();
  expect(await badge("Room 0").count()).toBe(0);
  await entry(page, "Room 1").click();
  await badge("Room 1").waitFor({ state: "detached" });
});

test("a mention is completed from all members, however many pages they are", async () => {
  const many = await crowd({ rooms: 1, people: 650, members: 650, directory: true });
  const page = await signedIn(many);
  await entry(page, "Room 0").click();
  const options = page.getByRole("listbox").getByRole("option");
  await composer(page).pressSequentially("@person-64");
  await until("those of the last page are offered", () => options.allTextContents(), (all) => all.some((text) => text.includes("@person-640")));
  // By a part of the name as well.
  await composer(page).fill("");
  await composer(page).pressSequentially("@649");
  await until("one is found by name", () => options.allTextContents(), (all) => all.length === 1);
  await composer(page).press("Enter");
  expect(await composer(page).inputValue()).toBe("@person-649 ");
  expect(many.calls.get("listMembers")).toBe(4);
});

test("who leaves while the members are read is not completed, nor offered to be added while they are in", async () => {
  const few = await crowd({ rooms: 2, people: 4, directory: true, role: "ROLE_OWNER" });
  const page = await signedIn(few);
  await entry(page, "Room 1").click();
  few.held.add("listMembers");
  await composer(page).pressSequentially("@");
  await until("the members are asked for", () => few.calls.get("listMembers"), (count) => count === 1);
  few.leave(few.rooms[1]!, "person-0");
  await page.getByText("Ada 0 left").waitFor();
  // The answer is as old as its question.
  few.release("listMembers");
  const options = page.getByRole("listbox").getByRole("option");
  await until("one is left", () => options.allTextContents(), (all) => all.length === 1 && /Bela 1/.test(all[0]!));

  few.calls.clear();
  await page.getByRole("button", { name: "Details", exact: true }).click();
  for (let person = 10; person < 40; person += 1) few.add(few.rooms[1]!, `person-${person}`);
  await page.getByRole("button", { name: "Add people" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Dana 3").waitFor();
  expect(await dialog.getByLabel("Bela 1").count()).toBe(0);
  // Whatever many come and go, the list is not read for each.
  expect(few.calls.get("listMembers")).toBeLessThan(6);
});
