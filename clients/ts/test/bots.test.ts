import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { Client, PermissionDeniedError, v1, WebSocketTransport } from "../src/index.js";
import { eventually } from "./eventually.js";
import { Server } from "./server.js";
import { root } from "./snippets.js";

let server: Server;
let folder: string;

/** The bots in a folder with the installed package, like in an application. */
beforeAll(async () => {
  [server, folder] = [await Server.start(), await mkdtemp(path.join(tmpdir(), "parlance-bots-"))];
  await cp(path.join(root, "examples/bots"), folder, { recursive: true });
  await mkdir(path.join(folder, "node_modules/@parlance"), { recursive: true });
  await symlink(root, path.join(folder, "node_modules/@parlance/client"));
  await symlink(path.join(root, "node_modules/ws"), path.join(folder, "node_modules/ws"));
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

let names = 0;
const fresh = (name: string) => `${name}-${process.pid}-${names++}`;

async function person(userId: string): Promise<Client> {
  const client = new Client({ url: server.url, token: await server.token(userId), transport: new WebSocketTransport(server.url, WebSocket as never) });
  onTestFinished(() => client.close());
  await client.start();
  return client;
}

/** Starts a bot; it ends with the test, or when it is killed before. */
async function run(name: string, userId: string, env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [`${name}.mjs`], {
    cwd: folder,
    env: { ...process.env, PARLANCE_SERVER: server.url, PARLANCE_TOKEN: await server.token(userId), PARLANCE_CURSORS: `${userId}.json`, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

test("the echo bot answers what was said while it was away, each once", async () => {
  const [bot, alice] = [fresh("echo"), await person(fresh("alice"))];
  const first = await run("echo", bot);
  const { roomId } = await alice.send({ toUser: bot, text: "one" });
  const room = await eventually("the room is there", () => alice.room(roomId));
  await room.loadLatest();
  const answers = () => room.messages.filter(({ senderId }) => senderId === bot).map(({ text }) => text);
  await eventually("it answers", () => answers().length === 1);
  await kill(first);
  await room.send("two");
  await run("echo", bot);
  await room.send("three");
  await eventually("it answers all", () => answers().length === 3);
  expect(answers()).toEqual(["one", "two", "three"]);
});

test("the moderation bot deletes, warns, and bans", async () => {
  const [bot, mallory, alice] = [fresh("moderator"), await person(fresh("mallory")), await person(fresh("alice"))];
  await server.token(bot);
  const room = await alice.createRoom({ kind: "group", title: "Plans", memberIds: [bot, mallory.userId] });
  await room.setRole(bot, v1.Role.ADMIN);
  await room.loadLatest();
  await run("moderation", bot, { PARLANCE_WORDS: "spam,scam" });
  const his = await eventually("he sees the room", () => mallory.room(room.id));
  await his.send("spamalot is a musical");
  await his.send("buy SPAM, now");
  const edited = await his.send("hello");
  await his.edit(edited, "a scam, too");
  await eventually("he is warned twice", () => room.messages.filter(({ senderId }) => senderId === bot).length === 2);
  const last = await his.send("spam");
  await eventually("it is deleted", () => room.message(last)?.deleted);
  await eventually("he is banned", () => room.messages.at(-1)?.text === `${mallory.userId} was banned` && !his.isMember);
  const left = room.messages.filter(({ senderId, deleted }) => senderId === mallory.userId && !deleted);
  expect(left.map(({ text }) => text)).toEqual(["spamalot is a musical"]);
  await expect(mallory.joinRoom(room.id)).rejects.toBeInstanceOf(PermissionDeniedError);
});

test("the moderation bot goes on after an owner whom it may not ban, and in a room where it may not delete", async () => {
  const [bot, alice, bob, mallory] = [fresh("moderator"), await person(fresh("alice")), await person(fresh("bob")), await person(fresh("mallory"))];
  await server.token(bot);
  const child = await run("moderation", bot, { PARLANCE_WORDS: "spam" });
  // Of bob's room it is no admin.
  const [room, other] = await Promise.all([alice, bob].map((owner) => owner.createRoom({ kind: "group", title: "Plans", memberIds: [bot, mallory.userId] })));
  await room!.setRole(bot, v1.Role.ADMIN);
  await room!.loadLatest();
  await other!.loadLatest();
  await other!.send("spam");
  await eventually("it warns", () => other!.messages.some(({ text }) => text === `${bob.userId}: not here, please (1 of 3)`));
  for (let strike = 0; strike < 3; strike++) await room!.send("spam");
  await eventually("it says what came of it", () => room!.messages.at(-1)?.text === `${alice.userId} cannot be banned by this bot`);
  const his = await eventually("he sees the room", () => mallory.room(room!.id));
  for (let strike = 0; strike < 3; strike++) await his.send("spam");
  await eventually("he is banned", () => room!.messages.at(-1)?.text === `${mallory.userId} was banned` && !his.isMember);
  expect(room!.messages.some(({ text }) => text === `${alice.userId} was banned`)).toBe(false);
  expect(child.exitCode).toBe(null);
});

test("the echo bot goes on after a room in which it may not write", async () => {
  const [bot, alice] = [fresh("echo"), await person(fresh("alice"))];
  await server.token(bot);
  const announcements = await alice.createRoom({ kind: "group", title: "News", memberIds: [bot] });
  await announcements.update({ permissions: { post: v1.Role.ADMIN } });
  await announcements.send("closed tomorrow");
  const child = await run("echo", bot);
  const { roomId } = await alice.send({ toUser: bot, text: "one" });
  const room = await eventually("the room is there", () => alice.room(roomId));
  await room.loadLatest();
  await eventually("it answers", () => room.messages.some(({ senderId, text }) => senderId === bot && text === "one"));
  await announcements.send("open again");
  await room.send("two");
  await eventually("it answers", () => room.messages.some(({ senderId, text }) => senderId === bot && text === "two"));
  expect(child.exitCode).toBe(null);
});

test("the webhook posts what is allowed, once for each key", async () => {
  const [bot, alice] = [fresh("builds"), await person(fresh("alice"))];
  await server.token(bot);
  const room = await alice.createRoom({ kind: "group", title: "Builds", memberIds: [bot] });
  await room.loadLatest();
  const child = await run("webhook", bot, { PARLANCE_ROOM: room.id, PARLANCE_SECRET: "s3cret", PORT: "0" });
  const [url] = (await once(createInterface(child.stdout!), "line")) as [string];
  const post = async (body: string, headers: Record<string, string>) => (await fetch(url, { method: "POST", body, headers })).status;
  const authorization = "Bearer s3cret";
  expect(await post('{"text":"no"}', {})).toBe(401);
  expect(await post('{"text":"no"}', { authorization: "Bearer other" })).toBe(401);
  expect(await post("no json", { authorization })).toBe(400);
  expect(await post(JSON.stringify({ text: "x".repeat(20_000) }), { authorization })).toBe(400);
  for (let again = 0; again < 2; again++) expect(await post('{"text":"build 17 failed"}', { authorization, "idempotency-key": "build-17" })).toBe(200);
  expect(await post('{"text":"build 18 passed"}', { authorization })).toBe(200);
  await eventually("both are there", () => room.messages.length === 2);
  expect(room.messages.map(({ text }) => text)).toEqual(["build 17 failed", "build 18 passed"]);
});

test("the order bot keeps a room for each order, and says each status once", async () => {
  const [ann, ben, cat] = [await person(fresh("ann")), await person(fresh("ben")), await person(fresh("cat"))];
  const child = await run("orders", fresh("shop"), { PARLANCE_TOKEN: await server.backendToken("shop"), PARLANCE_SECRET: "s3cret", PORT: "0" });
  const [url] = (await once(createInterface(child.stdout!), "line")) as [string];
  const number = String(process.pid);
  const put = async (courier: string, status: string, secret = "s3cret") => {
    const body = JSON.stringify({ customer: ann.userId, courier, status });
    return (await fetch(`${url}/orders/${number}`, { method: "PUT", body, headers: { authorization: `Bearer ${secret}` } })).status;
  };
  expect(await put(ben.userId, "packed", "other")).toBe(401);
  expect(await put("", "packed")).toBe(400);
  expect(await put(ben.userId, "packed")).toBe(200);
  for (let again = 0; again < 2; again++) expect(await put(ben.userId, "on its way")).toBe(200);
  // A status that comes back is said again.
  expect(await put(ben.userId, "delayed")).toBe(200);
  for (let again = 0; again < 2; again++) expect(await put(ben.userId, "on its way")).toBe(200);
  // Another courier takes over.
  expect(await put(cat.userId, "delivered")).toBe(200);
  for (const client of [ann, ben, cat]) {
    const room = await eventually("the room is there", () => client.room(`order-${number}`));
    await room.loadLatest();
    await eventually("all is said", () => room.messages.at(-1)?.text === "Your order is delivered.");
    const statuses = ["packed", "on its way", "delayed", "on its way", "delivered"];
    expect(room.messages.map(({ text }) => text)).toEqual(statuses.map((status) => `Your order is ${status}.`));
  }
  const stored = await ann.call("getRoom", { roomId: `order-${number}` });
  expect(stored.room?.settings).toMatchObject({ title: `Order ${number}`, data: { order: number, status: "delivered" } });
  // An order that a customer makes is none.
  await expect(ann.call("createRoom", { kind: v1.RoomKind.GROUP, roomId: "order-1" })).rejects.toBeInstanceOf(PermissionDeniedError);
});

test("a bot is less than 60 lines", async () => {
  const files = await readdir(path.join(root, "examples/bots"));
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) expect((await readFile(path.join(root, "examples/bots", file), "utf8")).split("\n").length, file).toBeLessThan(60);
});
