import { readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { worker } from "./vite/worker";

/** Beside each file that this makes smaller, the same compressed: the server hands it out as it is. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle: {
      // After the service worker was written.
      order: "post",
      sequential: true,
      async handler() {
        for (const file of await readdir("dist", { recursive: true, withFileTypes: true })) {
          if (!file.isFile()) continue;
          const name = path.join(file.parentPath, file.name);
          const plain = await readFile(name);
          const gzip = gzipSync(plain, { level: 9 });
          if (gzip.length < plain.length * 0.9) await writeFile(`${name}.gz`, gzip);
        }
      },
    },
  };
}

/**
 * The names and search words of the emoji, and nothing else of a data set five times as large. A file
 * that is fetched and no module: an import that failed once may fail as long as the page lives.
 */
function emoji(): Plugin {
  const id = "virtual:emoji";
  const address = "/@emoji.json";
  let isBuild = false;
  return {
    name: "emoji",
    configResolved: ({ command }) => void (isBuild = command === "build"),
    resolveId: (source) => (source === id ? `\0${id}` : undefined),
    load(source) {
      if (source !== `\0${id}`) return undefined;
      if (!isBuild) return `export default ${JSON.stringify(address)}`;
      const file = this.emitFile({ type: "asset", name: "emoji.json", source: emojiFile() });
      return `export default import.meta.ROLLUP_FILE_URL_${file}`;
    },
    configureServer({ middlewares }) {
      middlewares.use(address, (_request, response) => response.setHeader("content-type", "application/json").end(emojiFile()));
    },
  };
}

/** The emoji by group: each as itself, its label, its short codes, and other words that it is found by. */
export function emojiFile(): string {
  const read = (file: string) => JSON.parse(readFileSync(path.join("node_modules/emojibase-data/en", file), "utf8"));
  const groups: { key: string; message: string; order: number }[] = read("messages.json").groups;
  const shortcodes: Record<string, string | string[]> = read("shortcodes/github.json");
  const all: { hexcode: string; unicode: string; label: string; tags?: string[]; group?: number; order?: number }[] =
    read("compact.json");
  const shown = groups
    .filter(({ key }) => key !== "component")
    .map(({ message, order }) => ({
      name: message,
      emoji: all
        .filter(({ group }) => group === order)
        .sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
        // Where it is an emoji without being told so, no selector says so again: others send it without.
        .map((emoji) => ({ ...emoji, unicode: emoji.unicode.replace(/^(\p{Emoji_Presentation})\ufe0f$/u, "$1") }))
        .map(({ unicode, label, tags = [], hexcode }) => [unicode, label, [shortcodes[hexcode] ?? []].flat(), tags]),
    }));
  return JSON.stringify(shown);
}

/** The modules of the SDK that are apart from it. */
const PARTS = ["directory", "invitations", "join-requests", "links", "permissions", "reports"];

/** What is drawn, measured or tried when it is asked for, and not at each run of the tests. */
const asked = ["screenshots", "screens", "scale", "firefox"].filter((name) => process.env[name.toUpperCase()]).map((name) => `test/${name}.ts`)[0];

const server = process.env["PARLANCE_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // A proxy may have the app below a path.
  base: "./",
  plugins: [svelte({ configFile: false }), emoji(), worker(), compressed()],
  resolve: {
    // From its sources, so that there is one build less between a change and the page.
    alias: {
      ...Object.fromEntries(PARTS.map((part) => [`@parlance/client/${part}`, fileURLToPath(new URL(`../ts/src/${part}.ts`, import.meta.url))])),
      "@parlance/client": fileURLToPath(new URL("../ts/src/index.ts", import.meta.url)),
      "@parlance/svelte": fileURLToPath(new URL("../svelte/src/index.ts", import.meta.url)),
    },
    // The binding has none of its own.
    dedupe: ["svelte"],
  },
  build: {
    target: "es2022",
    // A data: address is no file of this server's, and its policy lets in nothing else.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev`, with the server of `make run` behind it.
  server: { proxy: { "/v1": server, "/ws": { target: server, ws: true } } },
  // One waits while the other works.
  test: { retry: Number(process.env["TEST_RETRIES"] ?? 0), testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 2, include: [asked ?? "test/**/*.test.ts"] },
});
