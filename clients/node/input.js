/** The lines of standard input. Not those of readline, which also splits at other
 * characters. */
export async function* inputLines() {
  process.stdin.setEncoding("utf8");
  let rest = "";
  for await (const chunk of process.stdin) {
    const complete = (rest + chunk).split("\n");
    rest = complete.pop() ?? "";
    yield* complete;
  }
  if (rest) yield rest;
}
