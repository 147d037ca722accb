import type { Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";

import { composer, confirm, entry, message, open, say, until } from "./browser.js";
import { people, server } from "./stage.js";

let group = 0;
let alice: Page;
let bob: Page;
beforeEach(async () => {
  group += 1;
  [alice, bob] = await Promise.all([people.named(server.url, `Alice ${group}`), people.named(server.url, `Bob ${group}`)]);
});

/** A direct conversation of the two. */
async function direct(): Promise<void> {
  await open(alice, `Bob ${group}`);
  await say(alice, "hello");
  await open(bob, `Alice ${group}`);
  await message(bob, "hello").waitFor();
  await entry(bob, `Alice ${group}`).getByText("unread").waitFor({ state: "detached" });
}

describe("a conversation", () => {
  test("a second tab is a second person, and both meet in the lobby", async () => {
    const tab = await people.named(server.url, `Carol ${group}`, alice.context());
    await say(tab, "two of us in one browser");
    await message(alice, "two of us in one browser").waitFor();
    await message(bob, "two of us in one browser").waitFor();
    await tab.reload();
    await message(tab, "two of us in one browser").waitFor();
    expect(await tab.locator("nav header strong").textContent()).toBe(`Carol ${group}`);
  });

  test("one sees who types, and how far a message has come", async () => {
    await direct();
    await composer(bob).pressSequentially("hel");
    await alice.getByText(`Bob ${group} is typing…`).waitFor();
    await composer(bob).fill("");
    await open(bob, "Lobby");
    await say(alice, "are you there?");
    await message(alice, "are you there?").locator("[data-state=delivered]").waitFor();
    const badge = entry(bob, `Alice ${group}`).getByText("unread");
    await badge.waitFor();
    expect(await bob.title()).toMatch(/^\(1\) /);
    await open(bob, `Alice ${group}`);
    await bob.getByTestId("unread-line").waitFor();
    await message(alice, "are you there?").locator("[data-state=read]").waitFor();
    await badge.waitFor({ state: "detached" });
    expect(await bob.title()).toBe("Parlance");
    // Also on a page that was not open when it was read.
    await alice.reload();
    await message(alice, "are you there?").locator("[data-state=read]").waitFor();
  });

  test("a hidden conversation is back with its next message", async () => {
    await direct();
    await alice.getByRole("button", { name: "Details" }).click();
    await alice.getByRole("button", { name: "Hide from the list" }).click();
    await entry(alice, `Bob ${group}`).waitFor({ state: "detached" });
    await alice.reload();
    await entry(alice, "Lobby").waitFor();
    // The browser's stored state may be a second older.
    await until("it is hidden there too", () => entry(alice, `Bob ${group}`).count(), (count) => count === 0);
    await say(bob, "still there?");
    await entry(alice, `Bob ${group}`).waitFor();
    await open(alice, `Bob ${group}`);
    await message(alice, "hello").waitFor();
  });

  test("a new name is on open pages at once", async () => {
    await direct();
    // As another program of the same user.
    const call = async (method: string, path: string, token?: string, body?: object) => {
      const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
      const response = await fetch(server.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
      expect(response.status).toBe(200);
      return response.json();
    };
    const someone = await call("POST", "/v1/users", undefined, { name: "Somebody" });
    const { users } = await call("GET", "/v1/users?pageSize=200", someone.token);
    const { userId } = users.find(({ name }: { name: string }) => name === `Bob ${group}`);
    const { token } = await call("POST", "/v1/users", undefined, { userId });
    await call("PATCH", "/v1/users/me", token, { name: `Robert ${group}` });
    await entry(alice, `Robert ${group}`).waitFor();
    await bob.locator("nav header strong", { hasText: `Robert ${group}` }).waitFor();
  });

  test("one changes one's name, and says what one is up to, and the others see it", async () => {
    await direct();
    await bob.getByRole("button", { name: "Account and settings" }).click();
    await bob.getByRole("menuitem", { name: "Profile" }).click();
    const dialog = bob.getByRole("dialog", { name: "Profile" });
    const name = dialog.getByRole("textbox", { name: "Name" });
    await until("the present name is there", () => name.inputValue(), (value) => value === `Bob ${group}`);
    // What is refused can be corrected.
    await name.fill("\u202ebob");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByRole("alert").getByText("Could not change it").waitFor();
    await name.fill(`Rob ${group}`);
    await dialog.getByLabel("Status").fill(" On a boat ⛵ until Monday ");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    const heading = alice.getByRole("region", { name: `Rob ${group}` }).locator("header");
    await heading.getByText("online · On a boat ⛵ until Monday", { exact: true }).waitFor();
    await alice.reload();
    await heading.getByText("On a boat ⛵ until Monday").waitFor();
    await bob.getByRole("button", { name: "Account and settings" }).click();
    await bob.getByRole("menuitem", { name: "Profile" }).click();
    expect(await dialog.getByLabel("Status").inputValue()).toBe("On a boat ⛵ until Monday");
    await dialog.getByLabel("Status").fill("");
    await dialog.getByRole("button", { name: "Save" }).click();
    await heading.getByText("online", { exact: true }).waitFor();
    await entry(alice, `Rob ${group}`).waitFor();
    await bob.locator("nav header strong", { hasText: `Rob ${group}` }).waitFor();
  });

  test("messages are changed, answered, reacted to and deleted", async () => {
    await direct();
    await say(alice, "see you at noon");
    await message(bob, "see you at noon").hover();
    await bob.getByRole("button", { name: "React" }).click();
    await bob.getByPlaceholder("Search emoji").fill("thumbs up");
    await bob.getByRole("button", { name: "thumbs up", exact: true }).click();
    await message(alice, "see you at noon").getByRole("button", { name: /^👍 1/ }).click();
    await message(bob, "see you at noon").getByRole("button", { name: /^👍 2/ }).waitFor();
    await message(alice, "see you at noon").getByRole("button", { name: /^👍 2/ }).click();
    await message(bob, "see you at noon").getByRole("button", { name: /^👍 1/ }).waitFor();

    await message(alice, "see you at noon").hover();
    await alice.getByRole("button", { name: "More" }).click();
    await alice.getByRole("menuitem", { name: "Edit" }).click();
    await until("the text is there to be changed", () => composer(alice).inputValue(), (text) => text === "see you at noon");
    await say(alice, "see you at one");
    await message(bob, "see you at one").getByText("(edited)").waitFor();

    await message(bob, "see you at one").hover();
    await bob.getByRole("button", { name: "Reply" }).click();
    await say(bob, "good");
    await message(alice, "good").getByRole("button", { name: "Replying to" }).waitFor();

    await message(alice, "see you at one").hover();
    await alice.getByRole("button", { name: "More" }).click();
    await alice.getByRole("menuitem", { name: "Delete" }).click();
    await confirm(alice, "Delete");
    await bob.locator("article").getByText("message deleted", { exact: true }).last().waitFor();
    await bob.getByText("see you at one").first().waitFor({ state: "detached" });
    // Messages of others cannot be edited.
    await message(alice, "good").hover();
    await alice.getByRole("button", { name: "More" }).click();
    await alice.getByRole("menuitem", { name: "Copy text" }).waitFor();
    expect(await alice.getByRole("menuitem", { name: "Edit" }).count()).toBe(0);
  });

  test("names and emoji are completed while one writes", async () => {
    await composer(alice).pressSequentially("ask @bob-");
    await alice.getByRole("option", { name: `Bob ${group}` }).click();
    await composer(alice).pressSequentially("and :tada");
    await alice.getByRole("option", { name: "party popper" }).waitFor();
    await composer(alice).press("Enter");
    expect(await composer(alice).inputValue()).toBe(`ask @bob-${group} and 🎉 `);
    await composer(alice).press("Enter");
    const named = bob.locator("article.names-me");
    expect(await named.locator(".mention").textContent()).toBe(`@Bob ${group}`);
  });

  test("what is not sent stays, in each conversation and over a reload", async () => {
    await composer(alice).fill("half a thought");
    await open(alice, `Bob ${group}`);
    expect(await composer(alice).inputValue()).toBe("");
    await composer(alice).fill("another\nwith two lines");
    await alice.reload();
    await until("the draft is back", () => composer(alice).inputValue(), (text) => text === "another\nwith two lines");
    await entry(alice, "Lobby").getByText("Draft: half a thought").waitFor();
    await open(alice, "Lobby");
    expect(await composer(alice).inputValue()).toBe("half a thought");
    await composer(alice).press("Enter");
    await message(bob, "half a thought").waitFor();
    expect(await composer(alice).inputValue()).toBe("");
  });

  test("who searches for the text of a message is told that only names are searched", async () => {
    await direct();
    await say(alice, "a phrase that stands on the screen");
    await alice.keyboard.press("Control+k");
    await alice.getByRole("combobox").fill("a phrase that stands");
    const dialog = alice.getByRole("dialog");
    await dialog.getByText("Messages are not searched.").waitFor();
    expect(await dialog.getByRole("option").count()).toBe(0);
    await alice.getByRole("combobox").fill(`Bob ${group}`);
    await dialog.getByRole("option", { name: `Bob ${group}` }).waitFor();
    await alice.keyboard.press("Escape");
  });

  test("what is half written goes along when a conversation begins", async () => {
    await open(alice, `Bob ${group}`);
    await composer(alice).fill("half a thought");
    await open(bob, `Alice ${group}`);
    await say(bob, "I was faster");
    await message(alice, "I was faster").waitFor();
    await until("it is still there", () => composer(alice).inputValue(), (text) => text === "half a thought");
    await composer(alice).press("Enter");
    await message(bob, "half a thought").waitFor();
  });

  test("what one sends is in sight, however long it is", async () => {
    await direct();
    const lines = Array.from({ length: 30 }, (_, line) => `line ${line}`).join("\n");
    await composer(alice).fill(lines);
    await composer(alice).press("Enter");
    for (const page of [alice, bob]) {
      const list = page.getByTestId("timeline");
      const below = () => list.evaluate((viewport) => viewport.scrollHeight - viewport.clientHeight - viewport.scrollTop);
      await message(page, "line 29").waitFor();
      await until("the end is in sight", below, (pixels) => pixels < 2);
    }
    await message(alice, "line 29").locator("[data-state=read]").waitFor();
  });

  test("with consent, one is told of what comes while one looks elsewhere", async () => {
    await direct();
    await bob.context().grantPermissions(["notifications"]);
    await bob.evaluate(() => {
      const shown: string[] = [];
      class Recorded {
        static permission = "default";
        static async requestPermission() {
          return (Recorded.permission = "granted");
        }
        constructor(title: string, { body }: NotificationOptions) {
          shown.push(`${title}: ${body}`);
        }
      }
      Object.assign(globalThis, { Notification: Recorded, shown });
      document.hasFocus = () => false;
      dispatchEvent(new Event("blur"));
    });
    const shown = () => bob.evaluate(() => (globalThis as unknown as { shown: string[] }).shown);
    await say(alice, "before you agreed");
    await message(bob, "before you agreed").waitFor();
    expect(await shown()).toEqual([]);
    expect(await bob.title()).toBe("(1) Parlance");
    await bob.getByRole("button", { name: "Account and settings" }).click();
    await bob.getByRole("menuitemcheckbox", { name: "Notifications" }).click();
    await say(alice, "and after");
    await open(alice, "Lobby");
    await say(alice, "channels are quiet");
    await say(alice, `@bob-${group}: but not for you`);
    await until("two are shown", shown, (all) => all.length === 2);
    expect(await shown()).toEqual([`Alice ${group}: and after`, `Alice ${group} in Lobby: @bob-${group}: but not for you`]);
  });
});

test("who signs out leaves nothing behind", async () => {
  await composer(alice).fill("half a thought");
  await alice.getByRole("button", { name: "Account and settings" }).click();
  await alice.getByRole("menuitem", { name: "Sign out" }).click();
  await alice.getByLabel("Your name").waitFor();
  expect(new URL(alice.url()).hash).toBe("#/");
  expect(await alice.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain("half a thought");
  await alice.getByLabel("Your name").fill("Jörg Müller");
  await alice.getByRole("button", { name: "Start chatting" }).click();
  await composer(alice).waitFor();
  expect(await composer(alice).inputValue()).toBe("");
  await say(alice, "@jorg-muller is who I am");
  await message(bob, "@Jörg Müller is who I am").waitFor();
});

describe("rooms", () => {
  /** Creates a group or channel with this title. */
  async function create(page: Page, kind: string, title: string, members: string[] = []): Promise<void> {
    await page.getByRole("button", { name: "New conversation" }).click();
    await page.getByRole("radio", { name: kind }).check();
    await page.getByRole("textbox", { name: "Title" }).fill(title);
    for (const name of members) await page.getByRole("dialog").getByLabel(name).check();
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("heading", { level: 2, name: title }).waitFor();
  }

  const details = (page: Page) => page.getByRole("complementary", { name: "Details" });
  const member = (page: Page, name: string) => details(page).getByRole("listitem").filter({ hasText: name });

  test("a group is made, led, and left", async () => {
    const title = `Garden ${group}`;
    await create(alice, "Group", title, [`Bob ${group}`]);
    await say(alice, "welcome");
    await open(bob, title);
    await message(bob, "welcome").waitFor();

    await alice.getByRole("button", { name: "Details", exact: true }).click();
    await bob.getByRole("button", { name: "Details", exact: true }).click();
    expect(await details(bob).getByRole("button", { name: "Add people" }).count()).toBe(0);
    await member(alice, `Bob ${group}`).getByRole("button").click();
    await alice.getByRole("menuitem", { name: "Make admin" }).click();
    await member(bob, `Bob ${group}`).getByText("Admin").waitFor();

    await details(bob).getByRole("button", { name: "Title, topic and picture" }).click();
    await bob.getByRole("textbox", { name: "Title" }).fill(`Orchard ${group}`);
    await bob.getByRole("textbox", { name: "Topic" }).fill("apples");
    await bob.getByRole("button", { name: "Save" }).click();
    await alice.getByRole("heading", { level: 2, name: `Orchard ${group}` }).waitFor();
    await alice.locator("header").getByText("2 members · apples").waitFor();

    // The owner selects a successor before leaving.
    await member(alice, `Bob ${group}`).getByRole("button").click();
    await alice.getByRole("menuitem", { name: "Make owner" }).click();
    await confirm(alice, "Make owner");
    await member(alice, `Bob ${group}`).getByText("Owner").waitFor();
    await details(alice).getByRole("button", { name: "Leave" }).click();
    await confirm(alice, "Leave");
    await alice.getByText("Choose a conversation").waitFor();
    await bob.locator("header").getByText("1 member · apples").waitFor();
    expect(await entry(alice, `Orchard ${group}`).count()).toBe(0);
  });

  test("whoever is dragged onto a room is in it, and can be removed", async () => {
    // Visible, among the latest.
    await direct();
    const title = `Kitchen ${group}`;
    await create(alice, "Group", title);
    // A new room is at the top, although it has no messages.
    expect(await alice.getByRole("list", { name: "Rooms" }).getByRole("listitem").first().textContent()).toContain(title);
    await entry(alice, `Bob ${group}`).dragTo(alice.getByRole("region", { name: title }));
    await entry(bob, title).waitFor();
    await open(bob, title);
    await alice.getByRole("button", { name: "Details", exact: true }).click();
    await member(alice, `Bob ${group}`).getByRole("button").click();
    await alice.getByRole("menuitem", { name: "Remove" }).click();
    await confirm(alice, "Remove");
    await bob.getByText("You are not in this conversation.").waitFor();
  });

  test("a channel is joined by its link", async () => {
    const title = `News ${group}`;
    await create(alice, "Channel", title);
    await say(alice, "the first");
    await bob.goto(`${server.url}/${new URL(alice.url()).hash}`);
    await bob.getByRole("heading", { name: title }).waitFor();
    await bob.getByRole("link", { name: "To your conversations" }).waitFor();
    await bob.getByRole("button", { name: "Join" }).click();
    await message(bob, "the first").waitFor();
    await alice.locator("header").getByText("2 members").waitFor();
  });

  test("what the server refuses is told", async () => {
    // Blank for the server, but not for the page.
    await say(alice, "\u0085");
    const refused = alice.locator("article").filter({ hasText: "Not sent:" });
    await refused.getByRole("button", { name: "Discard" }).click();
    await refused.waitFor({ state: "detached" });
  });
});
