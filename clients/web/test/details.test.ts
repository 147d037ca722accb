import { v1 } from "@parlance/client";
import type { Locator } from "playwright-core";
import { expect, test } from "vitest";

import { LOOKS } from "./axe.js";
import { composer, confirm, open, say, until } from "./browser.js";
import { button, check, client, page, unique } from "./persons.js";

const LONG = "On holiday until Monday, and then in the office of the harbour, where the connection is slow. ".repeat(6).trim();
const height = (one: Locator) => one.evaluate((element) => element.clientHeight / parseFloat(getComputedStyle(element).lineHeight));
const isCut = (one: Locator) => one.evaluate((element) => element.scrollWidth > element.clientWidth);
const colour = (one: Locator, property: string) => one.evaluate((element, property) => getComputedStyle(element).getPropertyValue(property), property);

test.each(LOOKS)("a long status takes one line among the members, and is whole in the details of a direct room, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const [first, second] = await Promise.all([client(ann), client(bob)]);
  await second.call("updateUser", { userId: "me", data: { status: LONG } });
  const room = await first.createRoom({ kind: "group", title: unique("Plans"), memberIds: [bob] });
  const ofAnn = await page(ann, options);
  await open(ofAnn, room.title);
  await button(ofAnn, "Details").click();
  const status = ofAnn.getByRole("list", { name: "Members" }).getByText("On holiday");
  await status.waitFor();
  expect(await height(status)).toBeLessThan(1.5);
  expect(await isCut(status)).toBe(true);
  expect(await status.getAttribute("title")).toBe(LONG);
  expect(await isCut(ofAnn.getByRole("list", { name: "Members" }).getByRole("link", { name: bob }))).toBe(false);
  await check(ofAnn, look, "members with a long status");

  await ofAnn.getByRole("list", { name: "Members" }).getByRole("link", { name: bob }).click();
  await composer(ofAnn).waitFor();
  await say(ofAnn, "hello");
  await button(ofAnn, "Details").click();
  const whole = ofAnn.getByTestId("whole-status");
  await whole.waitFor();
  expect(await whole.textContent()).toBe(LONG);
  expect(await isCut(whole)).toBe(false);
  await check(ofAnn, look, "details of somebody with a long status");
});

test.each(LOOKS)("the members are one key away in the details, and deleting looks like what it is, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const [owner] = await Promise.all([client(ann), client(bob)]);
  const ofAnn = await page(ann, options);
  const room = await owner.createRoom({ kind: "group", title: unique("Plans"), memberIds: [bob] });
  await open(ofAnn, room.title);
  await button(ofAnn, "Details").click();
  const members = ofAnn.getByRole("list", { name: "Members" });
  await members.getByRole("link", { name: bob }).waitFor({ state: "attached" });
  await button(ofAnn, "Members").press("Enter");
  const isVisible = () =>
    members.getByRole("link", { name: bob }).evaluate((one) => {
      const { top, bottom } = one.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
  await until("a member is visible", isVisible, Boolean);
  await ofAnn.keyboard.press("Tab");
  expect(await members.evaluate((list) => list.contains(document.activeElement))).toBe(true);

  const bad = await colour(button(ofAnn, "Delete conversation"), "color");
  expect(bad).not.toBe(await colour(button(ofAnn, "Leave"), "color"));
  await button(ofAnn, "Delete conversation").click();
  const action = ofAnn.getByRole("alertdialog").getByRole("button", { name: "Delete" });
  expect(await colour(action, "background-color")).toBe(bad);
  await check(ofAnn, look, "a destructive question");
  await confirm(ofAnn, "Cancel");
  await button(ofAnn, "Archive").click();
  expect(await colour(ofAnn.getByRole("alertdialog").getByRole("button", { name: "Archive" }), "background-color")).not.toBe(bad);
  await confirm(ofAnn, "Cancel");
});

test.each(LOOKS)("whose @all mentions nobody reads so before sending it, in %s", async (look, options) => {
  const [ann, bob] = [unique("ann"), unique("bob")];
  const owner = await client(ann);
  const [ofAnn, ofBob] = await Promise.all([page(ann, options), page(bob, options)]);
  const room = await owner.createRoom({ kind: "group", title: unique("Plans"), memberIds: [bob] });
  for (const one of [ofAnn, ofBob]) await open(one, room.title);
  await composer(ofAnn).fill("Lunch, @all?");
  const hint = ofBob.getByTestId("mention-hint");
  await composer(ofBob).fill("Lunch, @allan?");
  expect(await hint.count()).toBe(0);
  await composer(ofBob).fill("Lunch, @all?");
  await hint.getByText("Only the owner and admins can mention everyone here").waitFor();
  expect(await composer(ofBob).getAttribute("aria-describedby")).toBe(await hint.getAttribute("id"));
  await check(ofBob, look, "a hint about mentioning everyone");
  expect(await ofAnn.getByTestId("mention-hint").count()).toBe(0);
  await room.update({ permissions: { mentionAll: v1.Role.OWNER } });
  await hint.getByText("Only the owner can mention").waitFor();
  await button(ofBob, "Send").click();
  await until("it is sent as text", () => owner.room(room.id)!.lastMessage, (last) => last?.text === "Lunch, @all?" && !last.mentionsAll);
  await hint.waitFor({ state: "detached" });
  // Once all may mention everyone, there is nothing to say.
  await composer(ofBob).fill("@all");
  await hint.waitFor();
  await room.update({ permissions: { mentionAll: v1.Role.MEMBER } });
  await hint.waitFor({ state: "detached" });
});
