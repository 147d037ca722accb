import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { writeWorker } from "../vite/worker";
import { People, until } from "./browser.js";
import { people as others, server } from "./stage.js";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

let people: People;
beforeAll(async () => void (people = await People.start()));
afterAll(async () => {
  await people?.stop();
  expect(people.complaints).toEqual([]);
});

/** A server of static files whose build can be replaced: pages display their build. */
class Files {
  readonly asked: string[] = [];
  /** Status of an answer in place of the page, as from a proxy with an unavailable server. */
  status = 200;
  readonly #folder: string;
  readonly #http = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://x");
    this.asked.push(pathname);
    if (this.status !== 200) return void response.writeHead(this.status).end("somebody else");
    readFile(path.join(this.#folder, pathname === "/" ? "index.html" : pathname)).then(
      (body) => {
        const type = TYPES[path.extname(pathname) || ".html"] ?? "application/octet-stream";
        const cache = pathname.startsWith("/assets/") ? "max-age=31536000, immutable" : "no-cache";
        response.writeHead(200, { "content-type": type, "cache-control": cache }).end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  #port = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<Files> {
    const files = new Files(await mkdtemp(path.join(tmpdir(), "parlance-files-")));
    await cp("dist", files.#folder, { recursive: true });
    await files.build("first");
    await files.launch();
    onTestFinished(async () => {
      await files.end();
      await rm(files.#folder, { recursive: true, force: true });
    });
    return files;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async launch(): Promise<void> {
    await new Promise<void>((resolve) => this.#http.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#http.address() as AddressInfo).port;
  }

  async end(): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  /** Replaces the build: the previous one's scripts are gone. */
  async build(name: string): Promise<void> {
    const assets = path.join(this.#folder, "assets");
    const script = (await readdir(assets)).find((file) => /^index-.*\.js$/.test(file))!;
    const next = `index-${name}.js`;
    const source = (await readFile(path.join(assets, script), "utf8")).replace(/^document\.documentElement\.dataset\.build=.*?;\n/, "");
    await writeFile(path.join(assets, script), `document.documentElement.dataset.build="${name}";\n${source}`);
    await rename(path.join(assets, script), path.join(assets, next));
    const page = path.join(this.#folder, "index.html");
    await writeFile(page, (await readFile(page, "utf8")).replace(/assets\/index-[^"]*\.js/, `assets/${next}`));
    await writeWorker(this.#folder);
  }

  /** Replaces only the page, as on a node with another build than the one that served the service
   * worker. */
  async buildWithoutWorker(name: string): Promise<void> {
    const worker = await readFile(path.join(this.#folder, "sw.js"));
    await this.build(name);
    await writeFile(path.join(this.#folder, "sw.js"), worker);
  }
}

const buildOf = (page: Page) => page.evaluate(() => document.documentElement.dataset["build"]);

async function opened(files: Files): Promise<Page> {
  const page = await (await people.context({ serviceWorkers: "allow" })).newPage();
  await page.goto(files.url);
  await until("the app is kept", () => page.evaluate(() => navigator.serviceWorker.controller?.state), (state) => state === "activated");
  return page;
}

test("a new build is there with the next load, and without its server from then on", async () => {
  const files = await Files.start();
  const page = await opened(files);
  expect(await buildOf(page)).toBe("first");
  await files.build("second");
  await page.reload();
  expect(await buildOf(page)).toBe("second");
  const isKept = (name: string) => page.evaluate(async (name) => (await caches.match(`assets/index-${name}.js`)) !== undefined, name);
  // Files that a page of the first build may still load are cached.
  await until("both builds are kept", async () => [await isKept("first"), await isKept("second")], (are) => String(are) === "true,true");
  await files.build("third");
  await page.reload();
  await until("the last two are kept", async () => [await isKept("first"), await isKept("second"), await isKept("third")], (are) => String(are) === "false,true,true");
  await files.end();
  await page.reload();
  expect(await buildOf(page)).toBe("third");
  await files.launch();
});

test("a proxy that answers for a server that is away does not keep the app from opening, and answers of others are not kept", async () => {
  const files = await Files.start();
  const page = await opened(files);
  for (const status of [502, 503, 404]) {
    files.status = status;
    await page.reload();
    expect(await buildOf(page)).toBe("first");
  }
  // A proxy's sign-in page is shown.
  files.status = 401;
  await page.reload();
  await page.getByText("somebody else").waitFor();
  files.status = 200;
  await page.goto(files.url);
  files.asked.length = 0;
  const ask = () => page.evaluate(async () => (await fetch("v1/server")).status);
  expect([await ask(), await ask()]).toEqual([404, 404]);
  expect(files.asked.filter((path) => path === "/v1/server")).toHaveLength(2);
  const kept = await page.evaluate(async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    return (await Promise.all(caches_.map((cache) => cache.keys()))).flat().map(({ url }) => new URL(url).pathname);
  });
  expect(kept.filter((path) => !/^\/(|icon[^/]*|manifest\.webmanifest|assets\/[^/]+)$/.test(path))).toEqual([]);
});

test("of two nodes with different builds no mixture is kept", async () => {
  const files = await Files.start();
  const page = await opened(files);
  await files.buildWithoutWorker("second");
  // The first build's service worker would keep the second build's page.
  await page.evaluate(async () => {
    const registration = (await navigator.serviceWorker.getRegistration())!;
    await registration.unregister();
    for (const name of await caches.keys()) await caches.delete(name);
  });
  await page.reload();
  expect(await buildOf(page)).toBe("second");
  await until("it was not installed", () => page.evaluate(async () => (await navigator.serviceWorker.getRegistration()) === undefined), (is) => is);
  expect(await page.evaluate(async () => (await caches.match(location.href)) === undefined)).toBe(true);
});

test("under the server's own policy the app is kept, and can be installed", async () => {
  const page = await (await others.context({ serviceWorkers: "allow" })).newPage();
  await page.goto(server.url);
  await until("the app is kept", () => page.evaluate(() => navigator.serviceWorker.controller?.state), (state) => state === "activated");
  const devtools = await page.context().newCDPSession(page);
  const { errors, url } = await devtools.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  expect(url).toBe(`${server.url}/manifest.webmanifest`);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  // Windows of tests are private ones.
  expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== "in-incognito")).toEqual([]);
});
