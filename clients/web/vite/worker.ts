import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { type Plugin, transformWithEsbuild } from "vite";

export function worker(): Plugin {
  return { name: "worker", apply: "build", closeBundle: { sequential: true, handler: () => writeWorker("dist") } };
}

/** Generates `sw.js` from `worker.js`, for exactly the files in a folder. */
export async function writeWorker(folder: string): Promise<void> {
  const [template, page, files] = await Promise.all([readFile("worker.js", "utf8"), readFile(path.join(folder, "index.html")), filesOf(folder)]);
  const others = files.filter((name) => name !== "index.html" && name !== "sw.js" && !name.endsWith(".gz")).sort();
  // The content of files without a hash in their name is part of the build's
  // identity.
  const contents = await Promise.all(others.map((name) => (name.startsWith("assets/") ? name : readFile(path.join(folder, name)))));
  const build = contents.reduce((hash, content) => hash.update(content), createHash("sha256").update(page).update(template));
  const source = template
    .replace('"__BUILD__"', JSON.stringify(build.digest("hex").slice(0, 16)))
    .replace('"__PAGE_DIGEST__"', JSON.stringify(createHash("sha256").update(page).digest("hex")))
    .replace('"__FILES__"', JSON.stringify(others));
  const { code } = await transformWithEsbuild(source, "sw.js", { minify: true, target: "es2022", sourcemap: false });
  await writeFile(path.join(folder, "sw.js"), code);
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}
