/** What the tests run against: a server, a proxy that breaks connections, and people. */

import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CHAT = fileURLToPath(new URL("../chat.js", import.meta.url));

/** Nothing here takes nearly as long, unless something is wrong. */
const DEADLINE_MS = 60_000;

/**
 * Waits for an event within the deadline.
 * @param {EventEmitter} emitter
 * @param {string} name
 */
const inTime = (emitter, name) => once(emitter, name, { signal: AbortSignal.timeout(DEADLINE_MS) });

/** A server of one's own, which can be killed and started again. */
export class Server {
  #program = process.env.PARLANCE_BIN;
  #dataDir;
  #addresses = { open: "127.0.0.1:0", admin: "127.0.0.1:0" };
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;

  /** @param {string} dataDir */
  constructor(dataDir) {
    if (!this.#program) throw new Error("PARLANCE_BIN is to name the server's program");
    this.#dataDir = dataDir;
  }

  get address() {
    return this.#addresses.open;
  }

  async start() {
    const options = ["--listen", this.#addresses.open, "--admin-listen", this.#addresses.admin];
    options.push("--data-dir", this.#dataDir, "--user-rate", "0", "--drain-seconds", "2", "--log", "warn");
    this.#process = spawn(this.#program, ["serve", ...options], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface(this.#process.stdout)) {
      const [, name, address] = /^\s+(open|admin)\s+http:\/\/([\d.:]+)\//.exec(line) ?? [];
      if (name) this.#addresses[name] = address;
      if (name === "admin") return;
    }
    throw new Error("the server did not start");
  }

  kill() {
    return this.#end("SIGKILL");
  }

  drain() {
    return this.#end("SIGTERM");
  }

  /** @param {NodeJS.Signals} signal */
  async #end(signal) {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode) return;
    const ended = inTime(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }
}

/** Stands before the server until it cuts all connections. */
export class Proxy {
  /** @type {Set<{client: import("node:net").Socket, server: import("node:net").Socket}>} */
  #pairs = new Set();
  #listener;

  /** @param {Server} server */
  constructor(server) {
    this.#listener = createServer((client) => {
      const [host, port] = server.address.split(":");
      const pair = { client, server: connect(Number(port), host) };
      this.#pairs.add(pair);
      const close = () => {
        this.#pairs.delete(pair);
        client.destroy();
        pair.server.destroy();
      };
      for (const socket of [client, pair.server]) socket.on("error", close).on("close", close);
      client.pipe(pair.server).pipe(client);
    });
  }

  async start() {
    this.#listener.listen(0, "127.0.0.1");
    await inTime(this.#listener, "listening");
    return `127.0.0.1:${this.#listener.address().port}`;
  }

  /** Nothing comes back from the server any more on the connections of now. */
  swallowAnswers() {
    for (const { client, server } of this.#pairs) server.unpipe(client).resume();
  }

  /** Cuts all connections; how many there were. */
  cut() {
    const count = this.#pairs.size;
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    return count;
  }

  close() {
    this.#listener.close();
    this.cut();
  }
}

/** The program with --lines, as a process of its own. */
export class Person {
  /** Their seq, user and text. @type {[number, string, string][]} */
  events = [];
  /** @type {Record<string, number>} */
  sent = {};
  /** @type {string[]} */
  other = [];
  #process;
  #lines = new EventEmitter();

  /**
   * @param {string} name
   * @param {{server: string, token: string, roomId: string}} place
   */
  constructor(name, { server, token, roomId }) {
    this.name = name;
    const env = { ...process.env, PARLANCE_SERVER: server, PARLANCE_TOKEN: token, PARLANCE_ROOM: roomId };
    this.#process = spawn(process.execPath, [CHAT, "--lines"], { env, stdio: ["pipe", "pipe", "inherit"] });
    createInterface(this.#process.stdout).on("line", (line) => this.#take(line));
  }

  /** @param {string} line */
  #take(line) {
    const [kind, first, second, ...text] = line.split(" ");
    if (kind === "event") this.events.push([Number(first), second, text.join(" ")]);
    else if (kind === "sent") this.sent[first] = Number(second);
    else this.other.push(line);
    this.#lines.emit("line");
  }

  /**
   * Sends texts that are their own ids.
   * @param {string[]} texts
   */
  say(texts) {
    this.#process.stdin.write(texts.map((text) => `send ${text} ${text}\n`).join(""));
  }

  /** @param {() => boolean} condition */
  async until(condition) {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    while (!condition()) await once(this.#lines, "line", { signal });
  }

  /** Ends the input, and waits for the program to end by itself: its exit code. */
  async finish() {
    const closed = inTime(this.#process, "close");
    this.#process.stdin.end();
    return (await closed)[0];
  }

  kill() {
    this.#process.kill("SIGKILL");
  }
}
