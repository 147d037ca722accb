// Gzipped sizes of what a page loads when it uses WebSockets. The budget covers the code of the SDK: the protobuf runtime
// and the contract, which every client needs, are counted separately.
import { relative } from "node:path";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const BUDGET = 30 * 1000;
const RUNTIME = ["@bufbuild/*"];
const CONTRACT = ["*/chat_pb.js"];

async function bundle(entry, external) {
  const options = { entryPoints: [entry], bundle: true, minify: true, format: "esm", target: "es2022", write: false, metafile: true };
  const { outputFiles, metafile } = await build({ ...options, external, splitting: true, outdir: "out" });
  const { outputs } = metafile;
  const bytesOf = new Map(outputFiles.map(({ path, contents }) => [relative(".", path), gzipSync(contents, { level: 9 }).length]));
  const sum = (names) => [...names].reduce((bytes, name) => bytes + bytesOf.get(name), 0);
  // Imports of the entry are loaded with it; the rest on demand.
  const first = new Set(Object.keys(outputs).filter((name) => outputs[name].entryPoint === entry));
  for (const name of first) for (const { path, kind } of outputs[name].imports) if (kind === "import-statement" && outputs[path]) first.add(path);
  return { bytes: sum(first), later: sum([...bytesOf.keys()].filter((name) => !first.has(name))), inputs: Object.keys(metafile.inputs) };
}

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const own = await bundle("src/index.ts", [...RUNTIME, ...CONTRACT]);
const withContract = await bundle("src/index.ts", RUNTIME);
const all = await bundle("src/index.ts", []);
const grpcWeb = await bundle("src/transport/grpc-web.ts", []);
console.log(`@parlance/client: ${kilobytes(own.bytes)} gzipped, budget ${kilobytes(BUDGET)}`);
console.log(`  with the contract ${kilobytes(withContract.bytes)}, with the runtime of protobuf too ${kilobytes(all.bytes)}`);
console.log(`  loaded on demand: ${kilobytes(own.later)} more, to show messages, for the last state and IndexedDB, and for bots`);
console.log(`@parlance/client/grpc-web: ${kilobytes(grpcWeb.bytes)} with contract, protobuf and Connect`);
const connect = all.inputs.filter((input) => input.includes("@connectrpc"));
if (connect.length > 0) console.error(`Connect came along: ${connect[0]}`);
if (own.bytes > BUDGET || connect.length > 0) process.exit(1);
