// Builds the CommonJS version, dist/cjs, from the ESM build by tsc: `node tools/commonjs.mjs [dist]`.
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
  // Modules loaded on demand become `require` calls: an import() would not see the named exports of a CommonJS module.
  supported: { "dynamic-import": false },
  sourcemap: true,
});
for (const file of files.filter((file) => file.endsWith(".d.ts"))) await cp(join(dist, file), join(cjs, file));
await writeFile(join(cjs, "package.json"), '{ "type": "commonjs" }\n');
