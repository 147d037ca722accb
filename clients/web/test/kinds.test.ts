import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { entry, message, open, until } from "./browser.js";
import { crowd, signedIn } from "./crowd-stage.js";

test("what the app says is a row of its own, and a kind that is not known is shown as its text, with a hint", async () => {
  const few = await crowd({ rooms: 2, people: 2 });
  const page = await signedIn(few);
  const room = few.rooms[0]!;
  await open(page, "Room 0");
  few.say(room, "just a message", "person-1");
  few.happens(room, { message: { text: "Your order is on its way", kind: "system" } }, "shop");
  const notice = page.getByRole("article", { name: /^Notice, / });
  await notice.getByText("Your order is on its way").waitFor();
  expect(await notice.locator(".avatar, .head").count()).toBe(0);
  await entry(page, "Room 0").getByText("Your order is on its way", { exact: true }).waitFor();

  few.happens(room, { message: { text: "Order 17", kind: "custom:order", data: { id: 17 } } }, "person-1");
  await message(page, "Order 17").getByText("Message of the kind “order”").waitFor();
  await entry(page, "Room 0").getByText("Bela 1: Order 17").waitFor();
  few.happens(room, { message: { text: "", kind: "custom:wave" } }, "person-1");
  const wave = page.getByRole("article").filter({ hasText: "Message of the kind “wave”" });
  await wave.waitFor();
  await entry(page, "Room 0").getByText("Bela 1: Message of the kind “wave”").waitFor();
  // Its own reactions and replies are those of any other message.
  await notice.hover();
  await notice.getByRole("button", { name: "Reply" }).click();
  await page.getByText("Your order is on its way").nth(1).waitFor();
});

const picker = (page: Page) => page.getByRole("dialog").getByRole("group", { name: "People" });

test("people whom the page does not know are found by the beginning of their name, where the server offers that", async () => {
  const few = await crowd({ rooms: 1, people: 300 });
  few.searches = true;
  const page = await signedIn(few);
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("radio", { name: "Group" }).check();
  await page.getByRole("textbox", { name: "Title" }).fill("Plans");
  await page.getByPlaceholder("Name or id").fill("fatima 25");
  await picker(page).getByLabel("Fatima 255").check();
  expect(few.requests.get("searchUsers")).toMatchObject({ namePrefix: "fatima 25" });
  await page.getByRole("dialog").getByText("Fatima 255", { exact: true }).first().waitFor();
  // The results of an earlier query are not shown.
  await page.getByPlaceholder("Name or id").fill("goran 296");
  await picker(page).getByLabel("Goran 296").check();
  expect(await picker(page).getByLabel("Fatima").count()).toBe(0);
  await page.getByRole("button", { name: "Create" }).click();
  await until("they are in it", () => few.requests.get("createRoom"), (request) => request !== undefined);
  expect(few.requests.get("createRoom")).toMatchObject({ memberIds: ["person-255", "person-296"] });
});

test("where the server does not offer a search it is asked for once, and ids are found as before", async () => {
  const few = await crowd({ rooms: 1, people: 300 });
  const page = await signedIn(few);
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByPlaceholder("Name or id").fill("fatima");
  await until("it is asked", () => few.calls.get("searchUsers") ?? 0, (count) => count === 1);
  await page.getByPlaceholder("Name or id").fill("person-255");
  await page.getByRole("button", { name: "Write to person-255 by id" }).click();
  await page.getByRole("heading", { level: 2, name: "Fatima 255" }).waitFor();
  expect(few.calls.get("searchUsers")).toBe(1);
});
