import { expect, test } from "vitest";

import { until } from "./browser.js";
import { crowd, MOST_ELEMENTS, signedIn } from "./crowd-stage.js";

test("of 1,500 archived rooms, what is seen is drawn, and the arrows go from row to row", async () => {
  const many = await crowd({ rooms: 1_600, people: 10 });
  for (const room of many.rooms.slice(0, 1_500)) room.settings = { archived: true };
  const page = await signedIn(many);
  await page.getByRole("button", { name: "Archived (1,500)" }).press("Enter");
  const dialog = page.getByRole("dialog");
  const rows = dialog.getByRole("list", { name: "Archived" }).getByRole("listitem");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-key"));
  await rows.getByText("Room 1499", { exact: true }).waitFor();
  expect(await page.locator("*").count()).toBeLessThan(MOST_ELEMENTS);
  // Who does not see how long it is, is told.
  expect(await rows.first().getAttribute("aria-setsize")).toBe("1500");

  await until("the first row has the focus", focused, (key) => key === "room-1499");
  await page.keyboard.press("ArrowDown");
  await until("the next one has it", focused, (key) => key === "room-1498");
  await page.keyboard.press("End");
  await until("the last one has it", focused, (key) => key === "room-0");
  await rows.getByText("Room 0", { exact: true }).waitFor();
  expect(await page.locator("*").count()).toBeLessThan(MOST_ELEMENTS);
  // The list is one stop of the tabulator, however it is scrolled.
  await rows.first().evaluate((row) => row.closest(".rows")!.scrollTo(0, 0));
  await rows.getByText("Room 1499", { exact: true }).waitFor();
  expect(await focused()).toBe("room-0");
  await page.keyboard.press("Tab");
  await until("its button has the focus", () => page.evaluate(() => document.activeElement?.getAttribute("aria-label")), (label) => label === "Close");
  await page.keyboard.press("Shift+Tab");
  await until("the same row has it again", focused, (key) => key === "room-0");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("heading", { level: 2, name: "Room 0", exact: true }).waitFor();

  // Opened again, it begins with the first one.
  await page.getByRole("button", { name: "Archived (1,500)" }).click();
  await until("the first row has the focus again", focused, (key) => key === "room-1499");
});
