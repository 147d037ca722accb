import { mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import type { BrowserContextOptions, Page } from "playwright-core";
import { expect, test } from "vitest";

import { Server } from "../../ts/test/server.js";
import { composer, entry, message, open, People, say, until } from "./browser.js";

const FOLDER = fileURLToPath(new URL("../../../docs/images", import.meta.url));

/** The screenshots in the README: `npm run screenshots` creates them. */
test("a team at work", async () => {
  const [server, people] = await Promise.all([Server.start(), People.start()]);
  try {
    await mkdir(FOLDER, { recursive: true });
    const [maya, jonas, priya] = await Promise.all(["Maya Lindqvist", "Jonas Weber", "Priya Raman"].map((name) => people.named(server.url, name))) as [Page, Page, Page];
    await say(jonas, "Good morning, everyone");
    await message(maya, "Good morning").waitFor();

    await maya.getByRole("button", { name: "New conversation" }).click();
    await maya.getByRole("radio", { name: "Group" }).check();
    await maya.getByRole("textbox", { name: "Title" }).fill("Harbour launch");
    for (const name of ["Jonas Weber", "Priya Raman"]) await maya.getByRole("dialog").getByLabel(name).check();
    await maya.getByRole("button", { name: "Create" }).click();
    await maya.getByRole("heading", { level: 2, name: "Harbour launch" }).waitFor();
    await maya.getByRole("button", { name: "Details", exact: true }).click();
    await maya.getByRole("button", { name: "Title, topic and picture" }).click();
    await maya.getByRole("textbox", { name: "Topic" }).fill("Doors open on Friday at nine");
    await maya.getByRole("button", { name: "Save" }).click();
    await maya.getByRole("button", { name: "Close details" }).click();
    for (const page of [jonas, priya]) await open(page, "Harbour launch");

    /** Sends a message, and waits until it has arrived. */
    const line = async (page: Page, text: string) => {
      await say(page, text);
      await message(maya, text.split("@")[0]!).waitFor();
    };
    await line(maya, "The new timetable is live on the test system. Could you both have a look before lunch?");
    await line(jonas, "On it. The ferry at 17:40 still shows the winter stop, everything else looks right to me.");
    await line(priya, "That one comes from the old feed: https://example.org/feeds/harbour?season=winter");
    await line(priya, "I can switch it over now, it takes five minutes");
    await line(maya, "Yes please! @jonas-weber can you check the printed version against it afterwards?");
    await message(jonas, "it takes five minutes").hover();
    await message(jonas, "it takes five minutes").getByRole("button", { name: "React" }).click();
    await jonas.getByPlaceholder("Search emoji").fill("rocket");
    await jonas.getByRole("button", { name: "rocket", exact: true }).click();
    await message(maya, "it takes five minutes").getByRole("button", { name: /🚀 1/ }).click();
    await message(jonas, "printed version").hover();
    await message(jonas, "printed version").getByRole("button", { name: "Reply" }).click();
    await line(jonas, "Sure. I have the proofs on my desk");
    await line(priya, "Done, and the 17:40 is where it belongs");
    await line(maya, "🎉");

    // Another user writes meanwhile.
    await open(priya, "Maya Lindqvist");
    await say(priya, "One more thing: shall we invite the port office on Thursday?");
    await message(priya, "One more thing").waitFor();
    await say(priya, "They asked again this morning");
    await entry(maya, "Priya Raman").getByText("unread").waitFor();
    await message(maya, "🎉").locator("span[data-state=read]").waitFor();

    const shoot = async (name: string, page: Page) => {
      const typing = page.getByRole("region", { name: "Harbour launch" }).getByText("Jonas Weber is typing");
      const type = () => composer(jonas).pressSequentially("f").then(() => typing.count());
      await until("he types", type, (count) => count === 1);
      await page.mouse.move(700, 30);
      await page.screenshot({ path: path.join(FOLDER, `${name}.png`) });
    };
    await shoot("web-light", maya);
    await maya.emulateMedia({ colorScheme: "dark" });
    await maya.getByRole("button", { name: "Details", exact: true }).click();
    await maya.getByRole("complementary").getByText("Priya Raman").waitFor();
    await shoot("web-dark", maya);

    const phone: BrowserContextOptions = { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
    const small = await people.named(server.url, "Maya Lindqvist", phone);
    await entry(small, "Harbour launch").waitFor();
    await entry(small, "Priya Raman").getByText("unread").waitFor();
    await small.screenshot({ path: path.join(FOLDER, "web-phone-list.png") });
    await open(small, "Harbour launch");
    await message(small, "🎉").waitFor();
    await small.mouse.move(200, 20);
    await small.screenshot({ path: path.join(FOLDER, "web-phone.png") });
    expect(people.complaints).toEqual([]);
  } finally {
    await Promise.all([server.stop(), people.stop()]);
  }
});
