import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { WebSocket } from "ws";

const PLACES = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
const FIREFOX = process.env["FIREFOX_BIN"] ?? PLACES.find(existsSync) ?? "firefox";
/** The WebDriver code of the return key. */
const ENTER = "\uE006";
const START_MS = 60_000;
const STOP_MS = 10_000;

type Json = Record<string, unknown>;

/** The installed Firefox, driven by WebDriver BiDi: playwright-core only drives a build of its own. */
export class Firefox {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve: (result: Json) => void; reject: (error: Error) => void }>();
  #next = 0;

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    [this.#child, this.#profile, this.#socket] = [child, profile, socket];
    socket.on("message", (data) => {
      const { id, type, result, error, message } = JSON.parse(String(data)) as Json;
      const waiting = this.#waiting.get(id as number);
      this.#waiting.delete(id as number);
      if (type === "success") waiting?.resolve(result as Json);
      else waiting?.reject(new Error(`${String(error)}: ${String(message)}`));
    });
  }

  static async start(): Promise<Firefox> {
    const profile = await mkdtemp(path.join(tmpdir(), "parlance-firefox-"));
    const options = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"];
    const child = spawn(FIREFOX, options, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: profile } });
    const url = await new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("Firefox does not start")), START_MS);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`Firefox ended with ${code}`)));
      createInterface(child.stderr!).on("line", (line) => {
        const found = /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1];
        if (!found) return;
        clearTimeout(late);
        resolve(found);
      });
    });
    const socket = new WebSocket(`${url}/session`);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const firefox = new Firefox(child, profile, socket);
    await firefox.send("session.new", { capabilities: {} });
    return firefox;
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    // It ends its own processes; otherwise they are killed.
    void this.send("browser.close", {}).catch(() => {});
    const late = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await gone;
    clearTimeout(late);
    this.#socket.terminate();
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A window that shares nothing with others. */
  async open(url: string): Promise<FirefoxPage> {
    const { userContext } = await this.send("browser.createUserContext", {});
    const { context } = await this.send("browsingContext.create", { type: "window", userContext });
    const page = new FirefoxPage(this, context as string);
    await page.goto(url);
    return page;
  }

  send(method: string, params: Json): Promise<Json> {
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

export class FirefoxPage {
  readonly #firefox: Firefox;
  readonly #context: string;

  constructor(firefox: Firefox, context: string) {
    [this.#firefox, this.#context] = [firefox, context];
  }

  async goto(url: string): Promise<void> {
    await this.#firefox.send("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  async reload(): Promise<void> {
    await this.#firefox.send("browsingContext.reload", { context: this.#context, wait: "complete" });
  }

  /** The value of an expression, which must be JSON-serialisable. */
  async value<T>(expression: string): Promise<T> {
    const { type, result, exceptionDetails } = await this.#firefox.send("script.evaluate", {
      expression: `(async () => JSON.stringify(await (${expression})) ?? "null")()`,
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (type !== "success") throw new Error(String((exceptionDetails as Json)["text"]));
    return JSON.parse((result as { value: string }).value) as T;
  }

  /** Types a text into the focused element, key by key, followed by the return key. */
  async type(text: string): Promise<void> {
    await this.#firefox.send("browsingContext.activate", { context: this.#context });
    const actions = [...text, ENTER].flatMap((value) => [{ type: "keyDown", value }, { type: "keyUp", value }]);
    await this.#firefox.send("input.performActions", { context: this.#context, actions: [{ type: "key", id: "keyboard", actions }] });
  }
}
