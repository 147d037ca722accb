import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { type AST, parse } from "svelte/compiler";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));
const FILES = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => !name.startsWith(`lib${path.sep}texts${path.sep}`));

/** Attributes that are displayed or read out. */
const SHOWN = new Set(["aria-label", "aria-description", "aria-roledescription", "aria-valuetext", "alt", "label", "placeholder", "title"]);
const LETTER = /\p{L}/u;
/** In code, user-visible text has several words, starts like a sentence, or ends with an ellipsis. */
const FOR_PEOPLE = /\p{L}{2,},? \p{L}|^\p{Lu}\p{Ll}+$|\p{L}…/u;
/** Errors that are caught, and texts sent to the browser or the server. */
const NOT_SHOWN = new Set(["this server asks for a token", "unexpected status "]);

/** User-visible literals in a template. */
function inTemplate(source: string): string[] {
  const found: string[] = [];
  const texts = (value: AST.Attribute["value"]) => (value === true ? [] : [value].flat());
  const literals = (expression: unknown): void => {
    if (typeof expression !== "object" || expression === null) return;
    const node = expression as { type?: string; value?: unknown; test?: unknown };
    if (node.type === "Literal" && typeof node.value === "string" && LETTER.test(node.value)) found.push(node.value);
    if (node.type === "TemplateElement" && LETTER.test((node.value as { raw: string }).raw)) found.push((node.value as { raw: string }).raw);
    // Operands of comparisons and arguments of calls are not displayed.
    if (node.type === "BinaryExpression" || node.type === "CallExpression") return;
    for (const [key, child] of Object.entries(expression)) if (key !== "test" && key !== "loc") [child].flat().forEach(literals);
  };
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const { type } = node as { type?: string };
    if (type === "Text") {
      const { data } = node as AST.Text;
      if (LETTER.test(data.replace(/&\w+;/g, ""))) found.push(data.trim());
    } else if (type === "ExpressionTag") literals((node as AST.ExpressionTag).expression);
    else if (type === "Attribute") {
      const { name, value } = node as AST.Attribute;
      if (SHOWN.has(name)) texts(value).forEach(visit);
    } else if (type !== "Comment" && type !== "StyleDirective") {
      for (const [key, child] of Object.entries(node)) if (key !== "expression" && key !== "loc") [child].flat().forEach(visit);
    }
  };
  visit(parse(source, { modern: true }).fragment);
  return found;
}

/** Literals in code that look like user-visible text. */
function inCode(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    // Selectors and names of keys.
    const isOfPage = ts.isCallExpression(node) && /querySelector|matchMedia|matches|closest|MediaQuery/.test(node.expression.getText());
    if (isOfPage) return;
    if (ts.isBinaryExpression(node) && /^([!=]==|in)$/.test(node.operatorToken.getText())) return;
    if ((ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) && FOR_PEOPLE.test(node.text)) {
      if (!NOT_SHOWN.has(node.text)) found.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("code.ts", source, ts.ScriptTarget.Latest, true));
  return found;
}

const scriptsOf = (source: string) => [...source.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map(([, code]) => code!).join("\n");

test.each(FILES.filter((name) => name.endsWith(".svelte")))("all that %s says is in the texts", (name) => {
  const source = readFileSync(path.join(SRC, name), "utf8");
  expect([...inTemplate(source), ...inCode(scriptsOf(source))]).toEqual([]);
});

test.each(FILES.filter((name) => name.endsWith(".ts")))("all that %s says is in the texts", (name) => {
  expect(inCode(readFileSync(path.join(SRC, name), "utf8"))).toEqual([]);
});

describe("a literal is found", () => {
  test.each([
    ["<p>Hello</p>", ["Hello"]],
    ["<p>{isMac ? '⌘K' : 'Ctrl K'}</p>", ["⌘K", "Ctrl K"]],
    ["<p>{`${name} is here`}</p>", [" is here"]],
    ["<button title='Close' class='icon'>{x === 'open' ? 1 : 2}</button>", ["Close"]],
    ["{#if x}<b aria-label=\"{name} online\"></b>{/if}", ["online"]],
    ["<p>{texts.hello} · 3 &nbsp;</p>", []],
  ])("in the template %s", (source, expected) => expect(inTemplate(source).map((text) => text.trim())).toEqual(expected.map((text) => text.trim())));

  test.each([
    ['const a = "Untitled";', ["Untitled"]],
    ["const b = `Draft: ${text}`;", []],
    ['throw new Error("the browser does not allow it");', ["the browser does not allow it"]],
    ['if (event.key === "Enter") go("room");', []],
    ['const typing = "typing…";', ["typing…"]],
  ])("in the code %s", (source, expected) => expect(inCode(source)).toEqual(expected));
});
