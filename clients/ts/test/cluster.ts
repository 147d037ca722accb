import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";

import { BINARY } from "./server.js";

const START_DEADLINE_MS = 60_000;
const TOKEN_SECONDS = 3_600;

interface Node {
  url: string;
  pid: number;
}

/** A server that has DynamoDB and Redis, and `parlance-bench` beside it. */
const CLUSTER_BINARY = process.env["PARLANCE_CLUSTER_BIN"] ?? BINARY;

/** Nodes that share DynamoDB and Redis, with nginx in front of them: `parlance-bench cluster`. */
export class Cluster {
  readonly #child: ChildProcess;
  readonly #secret: string;
  /** Each node at its own address. */
  readonly nodes: readonly Node[];
  /** The node selected by nginx. */
  readonly url: string;
  readonly #back = new Map<number, (pid: number) => void>();

  private constructor(child: ChildProcess, url: string, nodes: readonly Node[], secret: string) {
    [this.#child, this.url, this.nodes, this.#secret] = [child, url, nodes, secret];
  }

  static async start(count: number): Promise<Cluster> {
    const program = path.join(path.dirname(CLUSTER_BINARY), "parlance-bench");
    const child = spawn(program, ["cluster", "--nodes", `${count}`, "--any-ports", "--server-bin", CLUSTER_BINARY], { stdio: ["ignore", "pipe", "inherit"] });
    const nodes: Node[] = [];
    let [url, folder] = ["", ""];
    let restarted = (_node: number, _pid: number) => {};
    const lines = createInterface(child.stdout!);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("the cluster does not start")), START_DEADLINE_MS);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the cluster ended with ${code}`)));
      lines.on("line", (line) => {
        url ||= /open +(http:\/\/[^/]+)/.exec(line)?.[1] ?? "";
        folder ||= /^ *logs +(\S+)/.exec(line)?.[1] ?? "";
        const node = /node \d+ +([\d.:]+), .* pid (\d+)/.exec(line);
        if (node) nodes.push({ url: `http://${node[1]}`, pid: Number(node[2]) });
        const back = /node (\d+) is back, pid (\d+)/.exec(line);
        if (back) restarted(Number(back[1]) - 1, Number(back[2]));
        // The last line of its greeting.
        if (/kill -9/.test(line)) resolve(clearTimeout(late));
      });
    });
    const cluster = new Cluster(child, url, nodes, (await readFile(path.join(folder, "key"), "utf8")).trim());
    restarted = (node, pid) => cluster.#back.get(node)?.(pid);
    return cluster;
  }

  /** A token for a user, signed like an application's own backend does. */
  token(userId: string): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { sub: userId, exp: Math.floor(Date.now() / 1000) + TOKEN_SECONDS };
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${signed}.${createHmac("sha256", this.#secret).update(signed).digest("base64url")}`;
  }

  /** Ends a node, and waits until it has restarted. */
  async restart(number: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const node = this.nodes[number]!;
    const back = new Promise<number>((resolve) => this.#back.set(number, resolve));
    process.kill(node.pid, signal);
    node.pid = await back;
  }

  async stop(): Promise<void> {
    this.#child.removeAllListeners("exit");
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGINT");
    await gone;
  }
}
