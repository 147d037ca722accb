import type { BrowserContextOptions, Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";

import { composer, entry, message, open, reveal, say, until } from "./browser.js";
import { people, server } from "./stage.js";

let group = 0;
beforeEach(() => void (group += 1));

/** Someone in the lobby. */
async function inLobby(name: string, options?: BrowserContextOptions): Promise<Page> {
  const page = await people.named(server.url, `${name} ${group}`, options);
  await open(page, "Lobby");
  return page;
}

const sent = (page: Page, text: string) =>
  message(page, text).locator("[data-state=sent], [data-state=delivered], [data-state=read]").waitFor();

/** What a screen reader was given to say, from now on. */
async function listen(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const said: string[] = [];
    Object.assign(globalThis, { said });
    new MutationObserver((changes) => {
      for (const { target, addedNodes } of changes) {
        if (!(target as Element).closest?.("[aria-live]") && !target.parentElement?.closest("[aria-live]")) continue;
        for (const node of addedNodes) if (node.textContent?.trim()) said.push(node.textContent.trim());
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  return () => page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
}

describe("time", () => {
  test.each(["en-US", "de-DE"])("rows of one line are as tall in %s as anywhere", async (locale) => {
    const page = await inLobby("Ann", { locale });
    for (const text of ["one", "two", "three"]) await say(page, `${text} ${group}`);
    await sent(page, `three ${group}`);
    const row = await message(page, `two ${group}`).evaluate((article) => ({
      height: article.getBoundingClientRect().height,
      line: parseFloat(getComputedStyle(article).lineHeight),
    }));
    expect(row.height).toBeLessThan(row.line * 1.5);
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    expect(await page.locator(".day").last().textContent()).toBe("Today");
  });

  test("a day ends on a page that stays open", async () => {
    const context = await people.context();
    const page = await context.newPage();
    await page.clock.install({ time: new Date() });
    await page.goto(server.url);
    await page.getByLabel("Your name").fill(`Ann ${group}`);
    await page.getByRole("button", { name: "Start chatting" }).click();
    await open(page, "Lobby");
    await say(page, `late ${group}`);
    await sent(page, `late ${group}`);
    expect(await page.locator(".day").last().textContent()).toBe("Today");
    await page.clock.fastForward("24:00:00");
    await until("it is yesterday's", () => page.locator(".day").last().textContent(), (text) => text === "Yesterday");
    expect(await entry(page, "Lobby").locator("time").textContent()).not.toContain(":");
  });
});

describe("the composer", () => {
  test("Enter of an input method sends nothing, in the order of any browser", async () => {
    const page = await inLobby("Ann");
    await composer(page).fill("にほん");
    const press = (isComposing: boolean) =>
      composer(page).evaluate((area, composing) => {
        if (!composing) area.dispatchEvent(new CompositionEvent("compositionend", { data: "日本", bubbles: true }));
        const key = { key: "Enter", keyCode: 229, isComposing: composing, bubbles: true, cancelable: true };
        return area.dispatchEvent(new KeyboardEvent("keydown", key));
      }, isComposing);
    expect(await press(true)).toBe(true);
    expect(await press(false)).toBe(true);
    expect(await composer(page).inputValue()).toBe("にほん");
    await composer(page).press("Enter");
    await message(page, "にほん").waitFor();

    await page.keyboard.press("Control+k");
    const search = page.getByRole("dialog").getByRole("combobox");
    await search.fill("lob");
    await page.getByRole("option", { name: "Lobby" }).waitFor();
    await search.evaluate((input) => {
      input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }));
    });
    expect(await page.getByRole("dialog").count()).toBe(1);
  });

  test("a text that is too long is not sent, and says by how much", async () => {
    const page = await inLobby("Ann");
    const said = await listen(page);
    await composer(page).fill("x".repeat(15_000));
    expect(await page.locator("#composer-limit").count()).toBe(0);
    await composer(page).fill("x".repeat(16_000));
    await page.getByText("384 bytes left").waitFor();
    await composer(page).fill("ü".repeat(8_300));
    await page.getByText("Too long by 216 bytes").first().waitFor();
    expect(await page.getByRole("button", { name: "Send" }).isDisabled()).toBe(true);
    await composer(page).press("Enter");
    expect(await composer(page).inputValue()).toHaveLength(8_300);
    expect(await composer(page).getAttribute("aria-invalid")).toBe("true");
    await until("it is said", said, (all) => all.includes("Too long by 216 bytes"));
    await composer(page).fill("x".repeat(16_384));
    await composer(page).press("Enter");
    await sent(page, "xxx");
  });
});

describe("the emoji picker", () => {
  const picker = (page: Page) => page.getByRole("dialog", { name: "Emoji" });
  const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");

  test("is one stop of the tabulator, with arrows inside", async () => {
    const page = await inLobby("Ann");
    await page.getByRole("button", { name: "Emoji" }).click();
    await picker(page).getByRole("button", { name: "grinning face", exact: true }).waitFor();
    expect(await picker(page).locator("button[tabindex='0']").count()).toBe(1);
    await page.getByPlaceholder("Search emoji").press("ArrowDown");
    expect(await focused(page)).toBe("thumbs up");
    await page.keyboard.press("ArrowRight");
    expect(await focused(page)).toBe("red heart");
    await page.keyboard.press("ArrowLeft");
    // The group below begins under it.
    await page.keyboard.press("ArrowDown");
    expect(await focused(page)).toBe("grinning face");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    expect(await focused(page)).toBe("grinning face");
    await page.keyboard.press("Enter");
    await until("it is in the text", () => composer(page).inputValue(), (text) => text === "😀");
  });

  test("loads when it can after it could not", async () => {
    const page = await inLobby("Ann");
    const files = /\/assets\/.*emoji.*/;
    await page.route(files, (route) => route.abort());
    await page.getByRole("button", { name: "Emoji" }).click();
    await page.getByText("The emoji could not be loaded.").waitFor();
    await page.unroute(files);
    await picker(page).getByRole("button", { name: "Try again" }).click();
    await picker(page).getByRole("button", { name: "grinning face", exact: true }).waitFor();
    await page.getByPlaceholder("Search emoji").fill("heart");
    await page.getByPlaceholder("Search emoji").press("Enter");
    await until("a heart is a heart", () => composer(page).inputValue(), (text) => text.includes("❤"));
  });
});

describe("messages", () => {
  test("equal messages and refused ones are read out", async () => {
    const [ann, bob] = await Promise.all([inLobby("Ann"), inLobby("Bob")]);
    const said = await listen(bob);
    for (let time = 0; time < 3; time += 1) {
      await say(ann, `ping ${group}`);
      await until("it has come", () => bob.locator("article .text").getByText(`ping ${group}`).count(), (count) => count === time + 1);
    }
    await until("each is said", said, (all) => all.filter((text) => text === `Ann ${group}: ping ${group}`).length === 3);
    // Blank for the server, which the page does not know.
    await say(bob, "\u0085");
    await bob.getByText("Not sent:").first().waitFor();
    await until("the refusal is said", said, (all) => all.some((text) => text.startsWith("Not sent: ")));
  });

  test("the field is as tall as what is edited in it, and no taller afterwards", async () => {
    const page = await inLobby("Ann");
    const height = () => composer(page).evaluate((area) => [area.clientHeight, area.scrollHeight] as const);
    const [low] = await height();
    await composer(page).fill(`lines ${group}\nand\nmore`);
    await composer(page).press("Enter");
    await sent(page, `lines ${group}`);
    await composer(page).press("ArrowUp");
    await until("all of it can be seen", height, ([shown, whole]) => shown >= whole && shown > low);
    await composer(page).press("Escape");
    await until("it is low again", height, ([shown]) => shown === low);
  });

  test("a very tall message is folded, and unfolded", async () => {
    const page = await inLobby("Ann");
    await composer(page).fill(`tall ${group}${"\n".repeat(1_000)}end`);
    await composer(page).press("Enter");
    const row = message(page, `tall ${group}`);
    await sent(page, `tall ${group}`);
    const height = () => row.evaluate((article) => article.getBoundingClientRect().height);
    expect(await height()).toBeLessThan(700);
    await row.getByRole("button", { name: "Show more" }).click();
    await until("all of it is shown", height, (pixels) => pixels > 10_000);
    await row.getByRole("button", { name: "Show less" }).click();
    await until("it is folded", height, (pixels) => pixels < 700);
  });

  test("a reaction that is toggled twice at once is taken back", async () => {
    const page = await inLobby("Ann");
    await say(page, `react ${group}`);
    await sent(page, `react ${group}`);
    await message(page, `react ${group}`).hover();
    await message(page, `react ${group}`).getByRole("button", { name: "React" }).click();
    await page.getByRole("button", { name: "thumbs up", exact: true }).first().click();
    const reaction = message(page, `react ${group}`).getByRole("button", { name: /^👍/ });
    await reaction.evaluate((button: HTMLElement) => {
      for (let time = 0; time < 3; time += 1) button.click();
    });
    await reaction.waitFor({ state: "detached" });
  });

  test("a mention shows the name of a member who is not known yet, in the text and in the quote of it", async () => {
    const [ann, bob] = await Promise.all([inLobby("Ann"), inLobby("Bob")]);
    const text = `ask @bob-${group}`;
    await say(ann, text);
    await message(bob, `ask @Bob ${group}`).hover();
    await message(bob, `ask @Bob ${group}`).getByRole("button", { name: "Reply" }).click();
    await bob.getByText(`Replying to Ann ${group}: ask @Bob ${group}`).waitFor();
    await say(bob, `yes ${group}`);
    await message(ann, `yes ${group}`).getByRole("button", { name: "Replying to" }).getByText(`ask @Bob ${group}`).waitFor();
  });
});

test("who comes and goes, and what is changed, stands between the messages", async () => {
  const [ann, bob, carol] = await Promise.all([inLobby("Ann"), inLobby("Bob"), inLobby("Carol")]);
  const title = `Garden ${group}`;
  await ann.getByRole("button", { name: "New conversation" }).click();
  await ann.getByRole("radio", { name: "Group" }).check();
  await ann.getByRole("textbox", { name: "Title" }).fill(title);
  await ann.getByRole("dialog").getByLabel(`Bob ${group}`).check();
  await ann.getByRole("button", { name: "Create" }).click();
  await ann.getByRole("heading", { level: 2, name: title }).waitFor();
  const notes = (page: Page) => page.getByTestId("notes").locator("li").allTextContents();
  const beginning = [`Ann ${group} created the conversation`, `Ann ${group} added Bob ${group}`];
  await until("an empty room says how it began", () => notes(ann), (lines) => String(lines) === String(beginning));
  expect(await ann.getByText("No messages yet.").count()).toBe(0);
  await say(ann, `welcome ${group}`);
  await open(bob, title);
  await message(bob, `welcome ${group}`).waitFor();

  await (await reveal(ann, `Carol ${group}`)).scrollIntoViewIfNeeded();
  await entry(ann, `Carol ${group}`).dragTo(ann.getByRole("region", { name: title }));
  await open(carol, title);
  await say(carol, `thanks ${group}`);
  await carol.getByRole("button", { name: "Details", exact: true }).click();
  await carol.getByRole("button", { name: "Leave" }).click();
  await carol.getByRole("alertdialog").getByRole("button", { name: "Leave" }).click();
  const all = [...beginning, `Ann ${group} added Carol ${group}`, `Carol ${group} left`];
  for (const page of [ann, bob]) await until("all of it is noted", () => notes(page), (lines) => String(lines) === String(all));
  // The last one is in sight, and read again it is the same.
  const list = bob.getByTestId("timeline");
  await until("the end is in sight", () => list.evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop), (px) => px < 2);
  await bob.reload();
  await open(bob, title);
  await until("it is there after a reload", () => notes(bob), (lines) => String(lines) === String(all));
});

test("how far a message has come stands behind its last word, however long the line is", async () => {
  const maya = await people.named(server.url, "Tick Watcher");
  await open(maya, "Lobby");
  await maya.setViewportSize({ width: 360, height: 740 });
  const texts = Array.from({ length: 16 }, (_, length) => `a line of ${"i".repeat(length)} about this very length`);
  for (const text of texts) await say(maya, text);
  await message(maya, texts.at(-1)!).locator("[data-state]").waitFor();
  const alone = await maya.locator("article").evaluateAll((rows) =>
    rows.flatMap((row) => {
      const [text, state] = [row.querySelector(".text"), row.querySelector("[data-state]")];
      const last = [...(text?.getClientRects() ?? [])].at(-1);
      return state && last && state.getBoundingClientRect().top >= last.bottom ? [text!.textContent] : [];
    }),
  );
  expect(alone).toEqual([]);
});
