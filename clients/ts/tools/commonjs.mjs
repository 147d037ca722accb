// Makes the CommonJS build, dist/cjs, of the ESM build that tsc has made: `node tools/commonjs.mjs [dist]`.
import { cp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { build } from "esbuild";

const dist = process.argv[2] ?? "dist";
const cjs = join(dist, "cjs");
const files = (await readdir(dist, { recursive: true })).filter((file) => !file.startsWith("cjs"));
await build({
  entryPoints: files.filter((file) => file.endsWith(".js")).map((file) => join(dist, file)),
  outdir: cjs,
  outbase: dist,
  format: "cjs",
  platform: "neutral",
  target: "es2022",
  // What is loaded where it is used is required then: an import() would not see the names that a CommonJS module exports.
  supported: { "dynamic-import": false },
  sourcemap: true,
});
for (const file of files.filter((file) => file.endsWith(".d.ts"))) await cp(join(dist, file), join(cjs, file));
await writeFile(join(cjs, "package.json"), '{ "type": "commonjs" }\n');
