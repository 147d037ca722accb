import { beforeAll, expect, test } from "vitest";

import { faults, LOOKS } from "./axe.js";
import { composer, entry, message, open, say, until } from "./browser.js";
import { people, server } from "./stage.js";

beforeAll(async () => {
  const zoe = await people.named(server.url, "Zoe");
  await composer(zoe).waitFor();
  await say(zoe, "hello @ann-of-light, have a look at https://example.org");
  await say(zoe, "🎉");
  await message(zoe, "🎉").locator("[data-state=sent]").waitFor();
});

test.each(LOOKS)("axe finds nothing in %s", async (look, options) => {
  const context = await people.context({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const check = async (what: string) => expect(await faults(page), what).toEqual([]);
  await page.goto(server.url);
  await page.getByLabel("Your name").waitFor();
  await check("sign in");
  await page.getByRole("button", { name: "Sign in with a token" }).click();
  await page.getByLabel("Token").fill("no token");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").getByText("That is not a token").waitFor();
  await check("a refused token");
  await page.getByRole("button", { name: "Sign in with a name" }).click();
  await page.getByLabel("Your name").fill(`Ann of ${look}`);
  await page.getByRole("button", { name: "Start chatting" }).click();
  await composer(page).waitFor();
  await message(page, "hello").waitFor();
  await composer(page).fill("x".repeat(20_000));
  await page.locator("#composer-limit").waitFor();
  await check("a text that is too long");
  // Blank for the server, but not for the page.
  await say(page, "\u0085");
  const refused = page.locator("article").filter({ hasText: "Not sent:" });
  await refused.waitFor();
  await check("a refused message");
  await refused.getByRole("button", { name: "Discard" }).click();
  await say(page, `this is ${look}`);
  await message(page, `this is ${look}`).locator("span[data-state]").waitFor();
  await check("a conversation");
  await message(page, "hello").focus();
  await message(page, "hello").getByRole("toolbar").waitFor();
  await check("a message that is pointed at");
  await message(page, "hello").getByRole("button", { name: "React" }).click();
  await page.getByRole("button", { name: "thumbs up", exact: true }).first().click();
  await message(page, "hello").getByRole("button", { name: /^👍/ }).waitFor();
  await composer(page).pressSequentially("@zo");
  await page.getByRole("option", { name: "Zoe" }).waitFor();
  await check("a completion");
  await composer(page).fill("");
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("complementary").getByText("Owner").waitFor();
  await check("details");
  await page.getByRole("button", { name: "Close details" }).click();
  const back = page.getByRole("link", { name: "Back to conversations" });
  if (await back.isVisible()) await back.click();
  await entry(page, "Zoe").waitFor();
  await check("the list");
  await page.getByRole("button", { name: "Account and settings" }).click();
  await page.getByRole("menu").waitFor();
  await check("a menu");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("dialog").getByText("Zoe", { exact: true }).waitFor();
  await check("a dialog");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").getByText("Zoe", { exact: true }).waitFor();
  await check("the switcher");
});

test("with the reader's own colours what is chosen has an edge, and so have menus and dialogs", async () => {
  const context = await people.context({ forcedColors: "active" });
  const page = await people.named(server.url, "Quin", context);
  const edges = (selector: string) =>
    page.locator(selector).evaluateAll((all) => all.map((one) => {
      const { outlineStyle, outlineWidth, borderTopStyle, borderTopWidth } = getComputedStyle(one);
      return (outlineStyle !== "none" && outlineWidth !== "0px") || (borderTopStyle !== "none" && borderTopWidth !== "0px");
    }));
  await page.keyboard.press("Control+k");
  await page.getByRole("option").nth(1).waitFor();
  expect(await edges("[role=option][aria-selected=true]")).toEqual([true]);
  expect(new Set(await edges("[role=option]:not([aria-selected=true])"))).toEqual(new Set([false]));
  expect(await edges(".modal")).toEqual([true]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Account and settings" }).click();
  await page.getByRole("menu").waitFor();
  expect(await edges(".menu")).toEqual([true]);
});

test("who closes the details is where they were opened", async () => {
  const page = await people.named(server.url, "Rae");
  await open(page, "Lobby");
  const details = page.getByRole("button", { name: "Details", exact: true });
  await details.click();
  await page.getByRole("button", { name: "Close details" }).click();
  await until("the focus is back", () => details.evaluate((button) => button === document.activeElement), (is) => is);
});

test("on a phone no field is so small that Safari zooms the page", async () => {
  const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
  const page = await people.named(server.url, "Sam", phone);
  const sizes = () => page.locator(".field").evaluateAll((fields) => fields.map((field) => parseFloat(getComputedStyle(field).fontSize)));
  await composer(page).waitFor();
  for (const size of await sizes()) expect(size).toBeGreaterThanOrEqual(16);
  await page.getByRole("link", { name: "Back to conversations" }).click();
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("radio", { name: "Group" }).check();
  for (const size of await sizes()) expect(size).toBeGreaterThanOrEqual(16);
});

test("everything is done with the keyboard alone", async () => {
  const [ann, zoe] = await Promise.all([people.named(server.url, "Ann"), people.named(server.url, "Zoe")]);
  await open(zoe, "Lobby");
  const keys = ann.keyboard;
  const focused = () => ann.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  const press = async (...all: string[]) => {
    for (const key of all) await keys.press(key);
  };
  // The composer has the focus initially.
  await until("the composer has the focus", focused, (label) => label.startsWith("Message "));
  await keys.type("by keys");
  await press("Enter");
  await message(zoe, "by keys").waitFor();

  // Edits the user's own last message.
  await until("it is sent", () => message(ann, "by keys").locator("[data-state=sent], [data-state=delivered], [data-state=read]").count(), (count) => count === 1);
  await press("ArrowUp");
  await until("it is being changed", () => composer(ann).inputValue(), (text) => text === "by keys");
  await keys.type(" only");
  await press("Enter");
  await message(zoe, "by keys only").getByText("(edited)").waitFor();

  // To the messages, and their actions.
  await say(zoe, "a question");
  await message(ann, "a question").waitFor();
  await press("Shift+ArrowUp");
  await until("the last one has the focus", focused, (label) => label.startsWith("Zoe, "));
  await press("r");
  await until("back to writing", focused, (label) => label.startsWith("Message "));
  await keys.type("an answer, @zo");
  await ann.getByRole("option", { name: "Zoe" }).waitFor();
  await press("Tab");
  expect(await composer(ann).inputValue()).toBe("an answer, @zoe ");
  await press("Enter");
  await message(zoe, "an answer").getByRole("button", { name: "Replying to" }).waitFor();
  await press("Shift+ArrowUp");
  await press("ArrowUp");
  await until("the one above", focused, (label) => label.startsWith("Zoe, "));
  await press("+");
  await ann.getByPlaceholder("Search emoji").waitFor();
  await until("the search has the focus", focused, (label) => label === "Search emoji");
  await keys.type("party popper");
  await ann.getByRole("button", { name: "party popper", exact: true }).waitFor();
  await press("Enter");
  await message(zoe, "a question").getByRole("button", { name: /^🎉 1/ }).waitFor();

  // The menu of a message, which is deleted by it.
  await ann.locator("article[tabindex='0']").focus();
  await press("End");
  await until("one's own answer", focused, (label) => label.startsWith("Ann, "));
  await press("Enter");
  await ann.getByRole("menuitem", { name: "Delete" }).waitFor();
  await until("the menu has the focus", () => ann.evaluate(() => document.activeElement?.getAttribute("role") ?? ""), (role) => role === "menuitem" || role === "menu");
  await press("End", "Enter");
  await ann.getByRole("alertdialog").waitFor();
  await until("the question has the focus", () => ann.evaluate(() => document.activeElement?.textContent ?? ""), (text) => text === "Cancel");
  await press("Tab", "Enter");
  await zoe.getByText("an answer").first().waitFor({ state: "detached" });

  // To another user by name, and back.
  await press("Control+k");
  await until("the search has the focus", () => ann.evaluate(() => document.activeElement?.tagName), (tag) => tag === "INPUT");
  await keys.type("zo");
  await ann.getByRole("dialog").getByText("Zoe", { exact: true }).waitFor();
  await press("Enter");
  await ann.getByRole("heading", { level: 2, name: "Zoe" }).waitFor();
  await until("the composer has the focus", focused, (label) => label.startsWith("Message Zoe"));
  await keys.type("just us");
  await press("Enter");
  // Sending it creates the room.
  await message(ann, "just us").locator("span[data-state]").waitFor();
  await entry(zoe, "Ann").waitFor();
  await press("Alt+ArrowDown");
  await ann.getByRole("heading", { level: 2, name: "Lobby" }).waitFor();
  await press("Alt+ArrowUp");
  await ann.getByRole("heading", { level: 2, name: "Zoe" }).waitFor();

  // From the top of the page with the Tab key.
  await ann.evaluate(() => (document.activeElement as HTMLElement).blur());
  await press("?");
  await ann.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await press("Escape");
  const reached = new Set<string>();
  for (let step = 0; step < 20; step += 1) {
    await press("Tab");
    reached.add(await focused());
  }
  for (const control of ["Account and settings", "New conversation", "Details", "Emoji"]) expect(reached).toContain(control);
});
