import { createServer, type IncomingMessage, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";

import type { Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { Server } from "../../ts/test/server.js";
import { entry, message, open, People, say, until } from "./browser.js";

const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

/** A site with pictures. */
class Site {
  readonly requests: IncomingMessage[] = [];
  readonly #http: HttpServer;

  constructor() {
    this.#http = createServer((request, response) => {
      this.requests.push(request);
      if (request.url!.endsWith(".png")) response.writeHead(200, { "content-type": "image/png" }).end(PNG);
      else response.writeHead(404).end();
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  asked(url: string): IncomingMessage[] {
    return this.requests.filter((request) => request.url === url);
  }

  stop(): void {
    this.#http.closeAllConnections();
    this.#http.close();
  }
}

let [allowed, other]: [Site, Site] = [new Site(), new Site()];
let server: Server;
let people: People;

beforeAll(async () => {
  await Promise.all([allowed.start(), other.start()]);
  [server, people] = await Promise.all([Server.start("--image-origin", allowed.origin), People.start()]);
});
afterAll(async () => {
  await Promise.all([server?.stop(), people?.stop()]);
  for (const site of [allowed, other]) site.stop();
  // The policy never had to intervene.
  expect(people.complaints).toEqual([]);
});

/** Whether a picture is shown instead of letters. */
const shows = (what: string, place: Locator, isShown: boolean) =>
  until(
    `${what} ${isShown ? "is" : "is not"} shown`,
    () => place.locator(".avatar").first().evaluate((avatar) => avatar.classList.contains("shown") && avatar.querySelector("img")!.naturalWidth > 0),
    (is) => is === isShown,
  );

async function profile(page: Page, picture: string): Promise<void> {
  await page.getByRole("button", { name: "Account and settings" }).click();
  await page.getByRole("menuitem", { name: "Profile" }).click();
  await page.getByLabel("Picture").fill(picture);
}

const save = (page: Page) => page.getByRole("dialog").getByRole("button", { name: "Save" }).click();

test("pictures are shown from the origins that the operator allows, and initials elsewhere", async () => {
  const [alice, bob] = await Promise.all([people.named(server.url, "Alice"), people.named(server.url, "Bob")]);
  await open(bob, "Lobby");
  await say(alice, "hello");
  await message(bob, "hello").waitFor();
  await shows("no picture", message(bob, "hello"), false);

  await profile(alice, `${allowed.origin}/alice.png`);
  await shows("what it will look like", alice.getByRole("dialog"), true);
  await save(alice);
  await shows("the new picture", message(bob, "hello"), true);
  await shows("one's own", alice.getByRole("navigation").locator("header"), true);
  const [asked] = allowed.asked("/alice.png");
  expect(asked!.headers).not.toHaveProperty("referer");

  // Names and pictures are there before the server has sent them.
  await bob.reload();
  await shows("it after a reload", message(bob, "hello"), true);

  await profile(alice, `${other.origin}/alice.png`);
  await alice.getByText("This server shows no pictures of that site").waitFor();
  await save(alice);
  await shows("a picture of another site", message(bob, "hello"), false);
  await profile(alice, `${allowed.origin}/nothing`);
  await save(alice);
  await until("it was tried", () => allowed.asked("/nothing").length, (count) => count > 0);
  await shows("a picture that is not there", message(bob, "hello"), false);
  await until("its letters are there", () => message(bob, "hello").locator(".avatar").innerText(), (text) => text.trim() === "AL");

  // Not an address of the web: the form says so, and stays open.
  await profile(alice, "data:image/png;base64,AAAA");
  await save(alice);
  expect(await alice.getByLabel("Picture").evaluate((input) => (input as HTMLInputElement).validity.valid)).toBe(false);
  await alice.getByLabel("Picture").fill("");
  await save(alice);
  await alice.getByRole("dialog").waitFor({ state: "detached" });
  expect(other.requests).toEqual([]);
});

test("a room has a picture, in its list and its heading", async () => {
  const maya = await people.named(server.url, "Maya");
  await maya.getByRole("button", { name: "New conversation" }).click();
  await maya.getByRole("radio", { name: "Group" }).check();
  await maya.getByRole("textbox", { name: "Title" }).fill("Harbour");
  await maya.getByRole("button", { name: "Create" }).click();
  await maya.getByRole("heading", { level: 2, name: "Harbour" }).waitFor();
  await maya.getByRole("button", { name: "Details", exact: true }).click();
  await maya.getByRole("button", { name: "Title, topic and picture" }).click();
  await maya.getByRole("textbox", { name: "Picture" }).fill(`${allowed.origin}/harbour.png`);
  await save(maya);
  await shows("it in the list", entry(maya, "Harbour"), true);
  await shows("it in the heading", maya.getByRole("region", { name: "Harbour" }).locator("header"), true);
  await maya.getByText("Maya changed the settings of “Harbour”").waitFor();
});

test("the page's policy names the origins, and by default none", async () => {
  const policy = async (of: Server) => (await fetch(of.url)).headers.get("content-security-policy")!;
  expect(await policy(server)).toContain(`img-src 'self' ${allowed.origin}`);
  const { imageOrigins } = (await (await fetch(`${server.url}/v1/server`)).json()) as { imageOrigins: string[] };
  expect(imageOrigins).toEqual([allowed.origin]);
  const plain = await Server.start();
  expect(await policy(plain)).toMatch(/img-src 'self'$/);
  await plain.stop();
});
