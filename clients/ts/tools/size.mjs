// What the SDK adds to a page, gzipped, beside the runtimes of protobuf and Connect.
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const BUDGET = 20 * 1024;

async function gzipped(external) {
  const options = { entryPoints: ["src/index.ts"], bundle: true, minify: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ ...options, external });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const kilobytes = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
const own = await gzipped(["@bufbuild/*", "@connectrpc/*"]);
const all = await gzipped([]);
console.log(`@parlance/client: ${kilobytes(own)} gzipped, with protobuf and Connect ${kilobytes(all)}; budget ${kilobytes(BUDGET)}`);
if (own > BUDGET) process.exit(1);
