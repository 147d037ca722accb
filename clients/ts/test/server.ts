import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const BINARY = process.env["PARLANCE_BIN"] ?? fileURLToPath(new URL("../../../target/debug/parlance", import.meta.url));

/** Each worker has ports of its own. */
const EACH = 250;
const FIRST = 18_000 + (Number(process.env["VITEST_POOL_ID"] ?? process.pid) % 8) * EACH;
let next = Math.floor(Math.random() * EACH);

/** A port below the ephemeral ones: of a server that is restarted it must not become that of an outgoing connection. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + (next++ % EACH);
    const probe = net.createServer();
    const isFree = await new Promise<boolean>((resolve) => probe.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
    if (!isFree) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

/** A real server for one test, behind a proxy that can be cut. */
export class Server {
  readonly #folder: string;
  readonly #options: readonly string[];
  #child: ChildProcess | undefined;
  #address: string;
  readonly #sockets = new Set<net.Socket>();
  readonly #proxy: net.Server;
  /** Whether new connections are refused. */
  cut = false;

  private constructor(folder: string, address: string, options: readonly string[]) {
    [this.#folder, this.#address] = [folder, address];
    this.#options = options;
    this.#proxy = net.createServer((client) => {
      if (this.cut) return void client.destroy();
      const [host, port] = this.#address.split(":");
      const server = net.connect(Number(port), host);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.setNoDelay(true);
        from.on("error", () => to.destroy());
        from.on("close", () => (to.destroy(), this.#sockets.delete(from)));
        from.pipe(to);
      }
    });
  }

  /** Starts a server with additional options of `parlance serve`. */
  static async start(...options: string[]): Promise<Server> {
    const server = new Server(await mkdtemp(path.join(tmpdir(), "parlance-ts-")), `127.0.0.1:${await freePort()}`, options);
    await server.launch();
    await new Promise<void>((resolve) => server.#proxy.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** The clients' URL: through the proxy. */
  get url(): string {
    return `http://127.0.0.1:${(this.#proxy.address() as net.AddressInfo).port}`;
  }

  /** Starts the process, on the same port as before. */
  async launch(): Promise<void> {
    const arguments_ = ["serve", "--listen", this.#address, "--admin-listen", "127.0.0.1:0", "--user-rate", "0"];
    const child = spawn(BINARY, [...arguments_, "--data-dir", path.join(this.#folder, "data"), "--drain-seconds", "2", ...this.#options], {
      stdio: ["ignore", "pipe", "inherit"],
      // The server would warn of a variable that it does not know.
      env: { ...process.env, PARLANCE_CLUSTER_BIN: undefined, PARLANCE_LOG: "error" },
    });
    this.#child = child;
    const lines = createInterface(child.stdout!);
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
      lines.on("line", (line) => {
        const address = /open +http:\/\/([^/]+)/.exec(line)?.[1];
        if (address) resolve(void (this.#address = address));
      });
    });
  }

  /** Closes every connection. */
  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends the process: by SIGKILL, or gracefully. */
  async end(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child!;
    // This exit is not a failure to start.
    child.removeAllListeners("exit");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  async stop(): Promise<void> {
    await this.end();
    this.breakAll();
    await new Promise((resolve) => this.#proxy.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A token of the app's backend. */
  async backendToken(name: string): Promise<string> {
    const options = ["--scope", "service", "--data-dir", path.join(this.#folder, "data")];
    return (await promisify(execFile)(BINARY, ["token", name, ...options])).stdout.trim();
  }

  /** A token for a new user. */
  async token(userId: string): Promise<string> {
    const response = await fetch(`http://${this.#address}/v1/users`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ userId, name: userId }),
    });
    return ((await response.json()) as { token: string }).token;
  }
}
