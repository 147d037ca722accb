import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { Server } from "../../ts/test/server.js";
import { texts } from "../src/lib/texts";
import { composer, message, open, say, until } from "./browser.js";
import { people, server } from "./stage.js";

let signed: Server;
let folder: string;
const secret = randomBytes(32).toString("hex");

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "parlance-web-"));
  await writeFile(path.join(folder, "secret"), secret);
  signed = await Server.start("--jwt-secret-file", path.join(folder, "secret"), "--jwt-audience", "chat");
});
afterAll(async () => {
  await signed?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A token signed by another program, with this lifetime. */
function token(sub: string, seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, aud: "chat", iat: now, exp: now + seconds })}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

test("a server that verifies tokens asks for one, and for no name", async () => {
  const page = await (await people.context()).newPage();
  await page.goto(signed.url);
  await page.getByLabel("Token").waitFor();
  await page.getByText("This server requires a token").waitFor();
  expect(await page.getByLabel("Your name").count()).toBe(0);
  expect(await page.getByRole("button", { name: "Sign in with a name" }).count()).toBe(0);
  await page.getByLabel("Token").fill(token("alice", 600));
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByTestId("connection").getByText("Online").waitFor();
});

test("a link whose token has expired ends at the field for a token, and says why", async () => {
  const page = await (await people.context()).newPage();
  await page.goto(`${signed.url}/#token=${token("alice", -600)}`);
  await page.getByText("You were signed out: the token is no longer valid.").waitFor();
  await page.getByLabel("Token").waitFor();
  expect(await page.getByLabel("Your name").count()).toBe(0);
});

test("a link with a token that is followed in an open tab signs in, and leaves no token in the address", async () => {
  const page = await (await people.context()).newPage();
  await page.goto(`${signed.url}/#token=${token("alice", 600)}`);
  const name = page.locator("nav header strong");
  await until("alice is there", () => name.textContent(), (text) => text === "alice");
  await page.evaluate((other) => void (location.hash = `token=${other}`), token("bob", 600));
  await until("bob is there", () => name.textContent(), (text) => text === "bob");
  expect(page.url()).not.toContain("token");
});

test("who opens a link, and comes back from a sign-in page with a token, is where the link leads", async () => {
  const page = await (await people.context()).newPage();
  await page.goto(`${signed.url}/#/join/nowhere/${"0".repeat(32)}`);
  await page.getByLabel("Token").waitFor();
  await page.goto("about:blank");
  await page.goto(`${signed.url}/#token=${token("carol", 600)}`);
  await page.getByRole("alert").getByText("This link is no longer valid").waitFor();
  expect(page.url()).toContain("#/join/nowhere/");
  expect(page.url()).not.toContain("token");
});

/** Signs in manually, for all tabs of the browser. */
async function signInForBrowser(context: BrowserContext, sub: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(signed.url);
  await page.getByLabel("Token").fill(token(sub, 600));
  await page.getByLabel(texts.signIn.keep).check();
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByTestId("connection").getByText("Online").waitFor();
  return page;
}

test("a tab whose token has expired goes on with the one that another tab has signed in with", async () => {
  const context = await people.context();
  await signInForBrowser(context, "alice");
  const page = await context.newPage();
  await page.goto(`${signed.url}/#token=${token("alice", -600)}`);
  await page.getByTestId("connection").getByText("Online").waitFor();
});

test("a tab whose token has expired signs out nobody else", async () => {
  const context = await people.context();
  const alice = await signInForBrowser(context, "alice");
  const bob = await context.newPage();
  await bob.goto(`${signed.url}/#token=${token("bob", -600)}`);
  await bob.getByText("You were signed out: the token is no longer valid.").waitFor();
  await alice.reload();
  await alice.getByTestId("connection").getByText("Online").waitFor();
});

test("asking how to sign in creates nobody", async () => {
  const before = await known();
  const page = await (await people.context()).newPage();
  await page.goto(server.url);
  await page.getByLabel("Your name").waitFor();
  await page.getByRole("button", { name: "Sign in with a token" }).waitFor();
  expect(await known()).toEqual(before);
});

async function known(): Promise<string[]> {
  const authorization = `Bearer ${await server.token("counter")}`;
  const response = await fetch(`${server.url}/v1/users?pageSize=200`, { headers: { authorization } });
  return ((await response.json()) as { users: { userId: string }[] }).users.map(({ userId }) => userId);
}

/** The behaviour of browsers with blocked site data or a broken profile. */
const BROKEN: Record<string, () => void> = {
  "storage that throws": () =>
    Object.defineProperties(window, {
      localStorage: { get: () => { throw new DOMException("denied", "SecurityError"); } },
      sessionStorage: { get: () => { throw new DOMException("denied", "SecurityError"); } },
    }),
  "storage that is null": () => Object.defineProperties(window, { localStorage: { value: null }, sessionStorage: { value: null } }),
  "storage that is full": () => {
    Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
  },
  "a database that is refused": () => {
    IDBFactory.prototype.open = () => { throw new DOMException("denied", "SecurityError"); };
  },
  "no database": () => Object.defineProperty(window, "indexedDB", { value: undefined }),
  "an identity that is none": () => {
    // Not on the blank page before.
    if (location.protocol === "about:") return;
    localStorage.setItem("parlance:identity", "{broken");
    sessionStorage.setItem("parlance:identity", '{"userId":5}');
    localStorage.setItem("parlance:theme", "pink");
  },
};

test.each(Object.keys(BROKEN))("with %s one signs in and talks", async (what) => {
  const context = await people.context();
  await context.addInitScript(BROKEN[what]!);
  const page = await people.named(server.url, "Robin", context);
  await open(page, "Lobby");
  await say(page, `with ${what}`);
  await message(page, `with ${what}`).locator("[data-state=sent], [data-state=delivered], [data-state=read]").waitFor();
  await composer(page).fill("a draft");
  await page.getByRole("button", { name: "Account and settings" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("Your name").waitFor();
});
