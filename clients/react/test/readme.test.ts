import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";
import { expect, test } from "vitest";

import { problemsOf, STRICT } from "../../ts/test/snippets.js";

test("the snippets of the documentation compile under strict TypeScript", () => {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const snippets = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```tsx\n(.*?)```/gs)].map(([, code = ""]) => code);
  expect(snippets).toHaveLength(1);
  const files = new Map(snippets.map((code, at) => [join(root, `snippet-${at}.tsx`), code] as const));
  const problems = problemsOf(files, {
    ...STRICT,
    jsx: ts.JsxEmit.ReactJSX,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    skipLibCheck: true,
    paths: { "@parlance/client": [join(root, "../ts/dist/index.d.ts")], "@parlance/client/*": [join(root, "../ts/dist/*.d.ts")], "@parlance/react": [join(root, "src/index.ts")] },
  });
  expect(problems).toEqual([]);
}, 60_000);
