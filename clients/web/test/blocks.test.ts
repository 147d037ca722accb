import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { confirm, entry, message, open, until } from "./browser.js";
import { crowd, signedIn } from "./crowd-stage.js";

const details = (page: Page) => page.getByRole("button", { name: "Details", exact: true }).click();
const ofBlocked = (page: Page) => page.getByTestId("of-blocked");

test("what someone writes who is blocked is hidden in shared rooms, and shown on request or once that is lifted", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  const room = few.rooms[0]!;
  await open(page, "Room 0");
  few.say(room, "a nuisance", "person-1");
  few.say(room, "a pleasure", "person-0");
  await message(page, "a nuisance").waitFor();
  await details(page);
  await page.getByRole("button", { name: "Manage Bela 1" }).click();
  // One who may not manage the room finds nothing else there.
  expect(await page.getByRole("menuitem").allTextContents()).toEqual(["Block", "Report"]);
  await page.getByRole("menuitem", { name: "Block", exact: true }).click();
  await confirm(page, "Block");
  await message(page, "a nuisance").waitFor({ state: "detached" });
  await message(page, "a pleasure").waitFor();
  few.say(room, "another nuisance", "person-1");
  await entry(page, "Room 0").getByText("Message from someone you blocked").waitFor();
  expect(await message(page, "another nuisance").count()).toBe(0);
  await ofBlocked(page).last().getByRole("button", { name: "Show" }).click();
  await message(page, "another nuisance").waitFor();

  // Before anything was read from the server, too.
  few.held.add("listBlocked");
  await page.reload();
  await message(page, "a pleasure").waitFor();
  expect(await message(page, "a nuisance").count()).toBe(0);
  few.release("listBlocked");

  await details(page);
  await page.getByRole("button", { name: "Manage Bela 1" }).click();
  await page.getByRole("menuitem", { name: "Unblock" }).click();
  await message(page, "a nuisance").waitFor();
  expect(await ofBlocked(page).count()).toBe(0);
});

test("someone is blocked in their direct room, and on another device it is known", async () => {
  const few = await crowd({ rooms: 1, direct: 1, people: 2 });
  const page = await signedIn(few);
  const other = await signedIn(few);
  for (const one of [page, other]) {
    await open(one, "Ada 0");
    await details(one);
  }
  await page.getByRole("button", { name: "Block Ada 0", exact: true }).click();
  await confirm(page, "Block");
  await other.getByRole("button", { name: "Unblock Ada 0" }).click();
  await page.getByRole("button", { name: "Block Ada 0", exact: true }).waitFor();
  await until("it is lifted", () => few.blocked.size, (size) => size === 0);
});

test("who is banned is listed for an admin, who lifts it", async () => {
  const few = await crowd({ rooms: 1, people: 2, role: "ROLE_ADMIN" });
  const page = await signedIn(few);
  await open(page, "Room 0");
  await details(page);
  await page.getByRole("button", { name: "Manage Bela 1" }).click();
  await page.getByRole("menuitem", { name: "Ban" }).click();
  await confirm(page, "Ban");
  const bans = page.getByRole("list", { name: "Banned" });
  await bans.getByText("Bela 1").waitFor();
  await bans.getByRole("button", { name: "Lift the ban of Bela 1" }).click();
  await bans.waitFor({ state: "detached" });
  expect(few.banned.size).toBe(0);
});
