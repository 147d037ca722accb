import { expect, test } from "vitest";

import type { Block, Inline } from "../src/lib/blocks";
import { parsed } from "../src/lib/markdown";

const isPerson = (userId: string) => userId === "bob";

function inline(one: Inline): string {
  if (one.kind === "text") return one.pieces.map((piece) => ("href" in piece ? `<${piece.text}>` : "mention" in piece ? `{${piece.text}}` : piece.text)).join("");
  if (one.kind === "code") return `[code ${one.text}]`;
  const inner = one.inlines.map(inline).join("");
  return one.kind === "link" ? `[${inner} -> ${one.href}]` : `[${one.kind} ${inner}]`;
}

function block(one: Block): string {
  if (one.kind === "paragraph") return one.inlines.map(inline).join("");
  if (one.kind === "code") return `(code ${one.text})`;
  if (one.kind === "quote") return `(quote ${one.blocks.map(block).join("|")})`;
  return `(list ${one.start ?? "-"} ${one.items.map((item) => item.map(block).join("|")).join(", ")})`;
}

const shown = (text: string) => parsed(text, isPerson)?.map(block).join("|");

test.for([
  ["**bold** and *italic*, _too_", "[strong bold] and [emphasis italic], [emphasis too]"],
  ["a `code *span*`", "a [code code *span*]"],
  ["```js\nlet a = 1;\n\n  b();\n```", "(code let a = 1;\n\n  b();)"],
  ["```\nnever closed", "(code never closed)"],
  ["> quoted\n> twice\n\nanswered", "(quote quoted\ntwice)|answered"],
  ["- one\n- **two**\n  - three", "(list - one, [strong two]|(list - three))"],
  ["3. three\n4. four", "(list 3 three, four)"],
  ["[the docs](https://example.org/a?b=c&d)", "[the docs -> https://example.org/a?b=c&d]"],
  ["**@bob** at https://example.org/x_y_z", "[strong {@bob}] at <https://example.org/x_y_z>"],
  ["two lines\n  **indented**", "two lines\n  [strong indented]"],
  ["\\*no\\* *yes*", "*no* [emphasis yes]"],
  // A label that is an address does not hide another one.
  ["[https://bank.example](https://evil.example)", "<https://bank.example> (<https://evil.example>)"],
  ["[`bank.com`](https://evil.example)", "[code bank.com] (<https://evil.example>)"],
])("%j is shown as %j", ([text, expected]) => expect(shown(text!)).toBe(expected));

test.for([
  "2 * 3 * 4 = 24",
  "snake_case_name and 5 * 3",
  "# no heading\n\n---\n\n| no | table |",
  "<b onclick=alert(1)>no</b> &lt; &amp;",
  "![no image](https://example.org/x.png)".slice(1, 3),
  "C:\\Users\\bob",
  "    four spaces",
  "[javascript](javascript:alert(1)) and [data](data:text/html,x)",
])("%j stays as it was written", (text) => expect(shown(text)).toBeUndefined());

test("no link leads anywhere but to the web or a mailbox", () => {
  for (const scheme of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "//evil.example", "/v1/rooms", "blob:x"]) {
    for (const text of [`[x](${scheme})`, `[x](<${scheme}>)`, `**[x](${scheme})**`]) expect(shown(text) ?? text, text).not.toContain("->");
  }
});

test("what is nested deeply, or never closed, is parsed all the same", () => {
  for (const hostile of ["*a _", "> ", "- ", "[", "`", "**", "[a](", "\\", "1. ", "```\n", "*_"]) {
    expect(() => shown(`${hostile.repeat(16_384 / hostile.length)} **end**`), hostile).not.toThrow();
  }
});
