import { join } from "node:path";

import ts from "typescript";
import { expect, test } from "vitest";

import { problemsOf, REACT, root, snippets, STRICT } from "./snippets.js";

test("the snippets of the documentation compile under strict TypeScript", () => {
  const all = snippets();
  expect(all.length).toBeGreaterThan(3);
  const files = new Map([[join(root, "react.ts"), REACT], ...all.map((code, at) => [join(root, `snippet-${at}.ts`), code] as const)]);
  const problems = problemsOf(files, {
    ...STRICT,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    skipLibCheck: true,
    paths: {
      "@parlance/client": [join(root, "src/index.ts")],
      "@parlance/client/grpc-web": [join(root, "src/transport/grpc-web.ts")],
      "@parlance/client/*": [join(root, "src/*.ts")],
      react: [join(root, "react.ts")],
    },
  });
  expect(problems).toEqual([]);
}, 60_000);
