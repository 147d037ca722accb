import { expect, test } from "vitest";

import { composer, message, open, until } from "./browser.js";
import { crowd, signedIn } from "./crowd-stage.js";

test("a conversation is printed with all that is loaded of it, and nothing else", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  const page = await signedIn(few);
  await open(page, "Room 0");
  await message(page, "message 9").waitFor();
  for (let line = 0; line < 150; line++) few.say(few.rooms[0]!, `line ${line}`, "person-1");
  few.say(few.rooms[0]!, "tall\n".repeat(60), "person-1");
  await page.getByRole("button", { name: "Show more" }).waitFor();
  const shown = await page.getByRole("article").count();
  expect(shown).toBeLessThan(100);

  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  const printed = page.locator(".printed .said");
  expect(await printed.count()).toBe(161);
  expect(await printed.filter({ visible: true }).count()).toBe(161);
  expect(await printed.last().getByRole("button").count()).toBe(0);
  for (const hidden of [composer(page), page.getByRole("navigation"), page.getByRole("article").first()]) expect(await hidden.isVisible()).toBe(false);
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  await page.emulateMedia({ media: null });
  await until("it is gone", () => printed.count(), (count) => count === 0);

  // The browser itself says when it prints.
  const pdf = (await page.pdf()).toString("latin1");
  expect(pdf.match(/\/Type \/Page\b/g)!.length).toBeGreaterThan(2);
  await composer(page).waitFor();
});

test("a page without a conversation is printed as it is", async () => {
  const few = await crowd({ rooms: 1, people: 2 });
  const page = await signedIn(few);
  await page.emulateMedia({ media: "print" });
  await page.getByText("Choose a conversation").waitFor();
});
