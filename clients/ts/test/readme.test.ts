import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";
import { expect, test } from "vitest";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What a snippet may use without saying where it comes from, because one before it does. */
const AROUND = {
  client: 'declare const client: import("@parlance/client").Client;',
  room: 'declare const room: import("@parlance/client").Room;',
};
/** React is not installed here: its hook, as its types have it. */
const REACT = "export declare function useSyncExternalStore<T>(subscribe: (changed: () => void) => () => void, snapshot: () => T): T;";

test("the snippets of the documentation compile under strict TypeScript", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const snippets = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code = ""]) => code);
  expect(snippets.length).toBeGreaterThan(3);
  const files = new Map([[join(root, "react.ts"), REACT]]);
  for (const [at, code] of snippets.entries()) {
    const around = Object.entries(AROUND).filter(([name]) => !code.includes(`const ${name} =`)).map(([, declaration]) => declaration);
    files.set(join(root, `snippet-${at}.ts`), `${code}\n${around.join("\n")}\nexport {};\n`);
  }
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true,
    types: ["node"],
    paths: {
      "@parlance/client": [join(root, "src/index.ts")],
      "@parlance/client/grpc-web": [join(root, "src/transport/grpc-web.ts")],
      react: [join(root, "react.ts")],
    },
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (name, version) => {
    const code = files.get(name);
    return code === undefined ? getSourceFile.call(host, name, version) : ts.createSourceFile(name, code, version);
  };
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name);
  const program = ts.createProgram([...files.keys()], options, host);
  const problems = [...files.keys()].flatMap((name) => {
    const file = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  });
  const messages = problems.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  expect(messages).toEqual([]);
}, 60_000);
