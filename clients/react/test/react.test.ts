import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { Client, WebSocketTransport } from "@parlance/client";
import { invitationsOf } from "@parlance/client/invitations";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { renderToString } from "react-dom/server";
import { createElement } from "react";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { CHROMIUM } from "../../ts/test/chromium.js";
import { Server } from "../../ts/test/server.js";
import { ParlanceProvider, useClient, useRooms } from "../src/index.js";

let server: Server;
let browser: Browser;
let site: HttpServer;
const complaints: string[] = [];

beforeAll(async () => {
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [path("app.tsx")],
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
    alias: { "@parlance/client": path("../../ts/dist/index.js"), "@parlance/client/invitations": path("../../ts/dist/invitations.js"), "@parlance/react": path("../src/index.ts") },
  });
  const html = '<!doctype html><title>react</title><link rel="icon" href="data:,"><div id="app"></div><script type="module" src="/app.js"></script>';
  site = createServer(({ url }, response) => {
    const isScript = url === "/app.js";
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" }).end(isScript ? outputFiles[0]!.contents : html);
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  [server, browser] = await Promise.all([
    Server.start(),
    chromium.launch(CHROMIUM),
  ]);
});
afterAll(async () => {
  await Promise.all([server?.stop(), browser?.close()]);
  site?.closeAllConnections();
  site?.close();
  expect(complaints).toEqual([]);
});

const address = () => `http://127.0.0.1:${(site.address() as AddressInfo).port}`;

/** Another user, in Node. */
async function person(userId: string): Promise<Client> {
  const client = new Client({ url: server.url, token: await server.token(userId), transport: new WebSocketTransport(server.url, WebSocket) });
  onTestFinished(() => client.close());
  await client.start();
  return client;
}

/** A page with the app, signed in as a user. */
async function open(token: string, isOwn = false): Promise<Page> {
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => void (["error", "warning"].includes(message.type()) && complaints.push(message.text())));
  await page.goto(address());
  await page.evaluate(([url, token, isOwn]) => window.page.mount({ url, token }, isOwn), [server.url, token, isOwn] as const);
  await shows(page, "status", "online");
  return page;
}

const shows = (page: Page, id: string, text: string) => expect.poll(() => page.locator(`#${id}`).textContent(), { timeout: 20_000 }).toBe(text);
const said = (page: Page) => page.locator("li").allTextContents();
const unique = (name: string) => `${name}-${Math.random().toString(36).slice(2)}`;

test("a page in strict mode shows rooms and messages, sends, and follows what others do", async () => {
  const [alice, bob] = [unique("alice"), unique("bob")];
  const token = await server.token(alice);
  const other = await person(bob);
  const room = await other.createRoom({ kind: "group", title: "Plans", memberIds: [alice] });
  await room.send("hello");
  const page = await open(token);
  await shows(page, "unread", "1");
  await page.getByRole("button", { name: "Plans (1)" }).click();
  await expect.poll(() => said(page)).toEqual([`${bob}: hello sent`]);
  await shows(page, "members", [alice, bob].join(","));
  await shows(page, "online", bob);

  await page.locator("#send").click();
  await expect.poll(async () => (await said(page)).at(-1)).toMatch(new RegExp(`^${alice}: from the page (sent|delivered)$`));
  await expect.poll(() => room.lastMessage?.text).toBe("from the page");
  await room.loadLatest();
  await room.markRead();
  await expect.poll(async () => (await said(page)).at(-1)).toBe(`${alice}: from the page read`);
  await expect.poll(() => page.locator("#receipts").textContent()).toContain(`${bob} ${room.headSeq}`);

  room.startTyping();
  await shows(page, "typing", bob);
  await room.send("and?");
  await expect.poll(async () => (await said(page)).at(-1)).toBe(`${bob}: and? sent`);
  await shows(page, "heard", "from the page,and?");
  await page.locator("#read").click();
  await shows(page, "unread", "0");

  other.close();
  await shows(page, "online", "");
});

test("what one component does not show does not render it", async () => {
  const [alice, bob] = [unique("alice"), unique("bob")];
  const token = await server.token(alice);
  const other = await person(bob);
  const [shown, hidden] = [await other.createRoom({ kind: "group", title: "Shown", memberIds: [alice] }), await other.createRoom({ kind: "group", title: "Other", memberIds: [alice] })];
  await shown.send("hello");
  const page = await open(token);
  await page.getByRole("button", { name: "Shown (1)" }).click();
  await expect.poll(() => said(page)).toHaveLength(1);
  await shows(page, "online", bob);
  const before = await page.evaluate(() => ({ ...window.page.renders }));
  await hidden.send("elsewhere");
  await page.getByRole("button", { name: "Other (1)" }).waitFor();
  const after = await page.evaluate(() => window.page.renders);
  expect(after["Rooms"]).toBeGreaterThan(before["Rooms"]!);
  expect(after["Conversation"]).toBe(before["Conversation"]);
});

test("older messages are loaded on request", async () => {
  const [alice, bob] = [unique("alice"), unique("bob")];
  const token = await server.token(alice);
  const other = await person(bob);
  const room = await other.createRoom({ kind: "group", title: "Long", memberIds: [alice], history: "all" });
  await Promise.all(Array.from({ length: 120 }, (_, number) => room.send(`${number}`)));
  const page = await open(token);
  await page.getByRole("button", { name: /^Long/ }).click();
  for (const shown of [100, 120]) {
    await page.locator("#older").click();
    await expect.poll(async () => (await said(page)).length).toBe(shown);
  }
  await expect.poll(() => page.locator("#older").count()).toBe(0);
});

test("invitations are shown as they come, and answered", async () => {
  const [alice, bob] = [unique("alice"), unique("bob")];
  const token = await server.token(alice);
  const other = await person(bob);
  const [plans, party] = [await other.createRoom({ kind: "group", title: "Plans" }), await other.createRoom({ kind: "group", title: "Party" })];
  await invitationsOf(other).invite(plans.id, alice);
  const page = await open(token);
  await shows(page, "invitations", `Plans of ${bob}`);
  await invitationsOf(other).invite(party.id, alice);
  await shows(page, "invitations", `Party of ${bob},Plans of ${bob}`);
  await page.locator("#decline").click();
  await shows(page, "invitations", `Plans of ${bob}`);
  await page.locator("#accept").click();
  await shows(page, "invitations", "");
  await page.getByRole("button", { name: "Plans (0)" }).waitFor();
  expect(await invitationsOf(other).toRoom(party.id)).toEqual([]);
});

test("an archived room is in a list of its own until that is taken back", async () => {
  const [alice, bob] = [unique("alice"), unique("bob")];
  const token = await server.token(alice);
  const other = await person(bob);
  const room = await other.createRoom({ kind: "group", title: "Plans", memberIds: [alice] });
  const page = await open(token);
  await page.getByRole("button", { name: "Plans (0)" }).waitFor();
  await room.update({ archived: true });
  await shows(page, "archived", "Plans");
  expect(await page.getByRole("button", { name: /Plans/ }).count()).toBe(0);
  await room.update({ archived: false });
  await shows(page, "archived", "");
  await page.getByRole("button", { name: "Plans (0)" }).waitFor();
});

test("a provider closes its own client when it is unmounted, and leaves the application's alone", async () => {
  const other = await person(unique("bob"));
  for (const isOwn of [false, true]) {
    const alice = unique("alice");
    const page = await open(await server.token(alice), isOwn);
    // Presence is signalled to users who share a room.
    await other.openDirectRoom(alice);
    await other.watchPresence([alice]);
    await expect.poll(() => other.isOnline(alice)).toBe(true);
    await page.evaluate(() => window.page.unmount());
    if (isOwn) expect(await page.evaluate(() => window.page.status())).toBe("online");
    else await expect.poll(() => other.isOnline(alice), { timeout: 20_000 }).toBe(false);
  }
});

test("on a server a page is rendered as it is without a connection, and hooks need a provider", () => {
  const Rooms = () => createElement("p", null, useRooms().length, useClient().state.status);
  const client = new Client({ url: "http://127.0.0.1:1", token: "t" });
  onTestFinished(() => client.close());
  expect(renderToString(createElement(ParlanceProvider, { client }, createElement(Rooms)))).toBe("<p>0<!-- -->idle</p>");
  expect(() => renderToString(createElement(Rooms))).toThrow("there is no <ParlanceProvider> above");
});
