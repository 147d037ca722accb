import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";

/** The folder of the SDK. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Names that a snippet may use without an import, because an earlier one imports them. */
const AROUND = {
  client: 'declare const client: import("@parlance/client").Client;',
  room: 'declare const room: import("@parlance/client").Room;',
};
/** React is not installed here: its hook, as in its types. */
export const REACT = "export declare function useSyncExternalStore<T>(subscribe: (changed: () => void) => () => void, snapshot: () => T): T;";

/** The snippets of the documentation, each as a module. */
export function snippets(): string[] {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const all = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code = ""]) => code);
  return all.map((code) => {
    const around = Object.entries(AROUND).filter(([name]) => !code.includes(`const ${name} =`)).map(([, declaration]) => declaration);
    return `${code}\n${around.join("\n")}\nexport {};\n`;
  });
}

export const STRICT: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  types: ["node"],
};

/** Compiles files that need not exist on disk. Returns the errors. */
export function problemsOf(files: ReadonlyMap<string, string>, options: ts.CompilerOptions): string[] {
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (name, version) => {
    const code = files.get(name);
    return code === undefined ? getSourceFile.call(host, name, version) : ts.createSourceFile(name, code, version);
  };
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name);
  const program = ts.createProgram([...files.keys()], options, host);
  // The SDK's own sources are checked with its own options.
  const problems = ts.getPreEmitDiagnostics(program).filter(({ file }) => !file || file.isDeclarationFile || files.has(file.fileName));
  return problems.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
}
