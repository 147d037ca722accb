import { mkdir } from "node:fs/promises";
import path from "node:path";

import { Client, WebSocketTransport } from "@parlance/client";
import type { BrowserContextOptions, Locator, Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { WebSocket } from "ws";

import { faults } from "./axe.js";
import { until } from "./browser.js";
import { people, server } from "./stage.js";

/** Where to put pictures of all screens that are checked, if they are wanted. */
const FOLDER = process.env["PICTURES"];

let count = 0;
export const unique = (name: string) => `${name}-${++count}-${Math.random().toString(36).slice(2, 6)}`;

/** Somebody who uses the SDK. */
export async function client(userId: string, at = server): Promise<Client> {
  const client = new Client({ url: at.url, token: await at.token(userId), transport: new WebSocketTransport(at.url, WebSocket as never) });
  onTestFinished(() => client.close());
  await client.start();
  return client;
}

/** The page of a user. */
export async function page(userId: string, options: BrowserContextOptions = {}, at = server): Promise<Page> {
  const context = await people.context({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  await page.goto(`${at.url}/#token=${await at.token(userId)}`);
  await page.getByTestId("connection").getByText("Online").waitFor({ state: "attached" });
  return page;
}

/** Axe finds nothing on the page in any of its colours, and nothing is too wide for it. */
export async function check(page: Page, look: string, what: string): Promise<void> {
  const picture = async (colours: string) => {
    if (!FOLDER) return;
    await mkdir(FOLDER, { recursive: true });
    await page.screenshot({ path: path.join(FOLDER, `${what} ${look} ${colours}.png`.replaceAll(" ", "-")) });
  };
  expect(await faults(page, picture), what).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), what).toBe(0);
}

export const button = (page: Page, name: string): Locator => page.getByRole("button", { name, exact: true });
export const dialog = (page: Page): Locator => page.getByRole("dialog");
const notes = (page: Page) => page.getByTestId("notes").locator("li").allTextContents();
/** Waits for a row about what happened in the room. */
export const noted = (page: Page, text: string) => until(`it says ${text}`, () => notes(page), (lines) => lines.includes(text));
