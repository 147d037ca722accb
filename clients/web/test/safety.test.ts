import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";

import { composer, entry, open, People, say, until } from "./browser.js";
import { people, server } from "./stage.js";

/** Attempts at injection. Each would set `globalThis.hacked`, open a dialog, or leave an element
 * behind. */
const ATTEMPTS = [
  `<script>hacked = 1</script>`,
  `<img src=x onerror="hacked = 1">`,
  `<svg/onload=hacked=1>`,
  `"><svg onload=hacked=1>//`,
  `'-alert(1)-'`,
  `<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe>`,
  `<a href="javascript:hacked=1">click</a>`,
  `javascript:hacked=1`,
  `javascript://example.org/%0ahacked=1`,
  `https://example.org/"onmouseover="hacked=1`,
  `http://example.org/<script>hacked=1</script>`,
  `data:text/html;base64,PHNjcmlwdD5oYWNrZWQ9MTwvc2NyaXB0Pg==`,
  `{{constructor.constructor('hacked=1')()}}`,
  "${hacked=1}",
  `{@html "<img src=x onerror=hacked=1>"}`,
  `</textarea><script>hacked=1</script>`,
  `<style>*{display:none}</style>`,
  `<base href="https://evil.example/">`,
  `<form action="https://evil.example"><input name=x autofocus onfocus=hacked=1></form>`,
  `<math><mtext></form><form><mglyph><style></math><img src onerror=hacked=1>`,
  `\u202Bevil\u202C`,
  `@"><img src=x onerror=hacked=1>`,
  `[x](javascript:hacked=1)`,
  `&lt;script&gt;hacked=1&lt;/script&gt;`,
];

const isUnharmed = (page: Page) =>
  page.evaluate(() => ({
    hacked: "hacked" in globalThis,
    foreign: document.querySelectorAll("#app script, #app img[src=x], iframe, base, #app style, math, #app form[action]").length,
    links: [...document.links].filter(({ protocol }) => !["http:", "https:", "mailto:"].includes(protocol)).length,
  }));

test("whatever is written stays text, wherever it is shown", async () => {
  const [mallory, bob] = await Promise.all([people.named(server.url, "Mallory"), people.named(server.url, `<img src=x onerror="hacked = 1">`)]);
  for (const page of [mallory, bob]) page.on("dialog", () => void page.evaluate(() => Object.assign(globalThis, { hacked: 1 })));
  await open(mallory, "Lobby");
  for (const [index, attempt] of ATTEMPTS.entries()) {
    await composer(mallory).fill(`${index} ${attempt}`);
    await mallory.getByRole("button", { name: "Send" }).click();
  }
  for (const page of [mallory, bob]) {
    const last = page.locator("article").filter({ hasText: `${ATTEMPTS.length - 1} ${ATTEMPTS.at(-1)}` });
    await last.waitFor();
    for (const [index, attempt] of ATTEMPTS.entries()) {
      const found = await until(
        `attempt ${index} is shown as it was written`,
        async () => {
          // The list only renders nearby rows: scrolled through, from the bottom.
          await page.getByTestId("timeline").evaluate((list, share) => list.scrollTo(0, list.scrollHeight * share), index / ATTEMPTS.length);
          return page.locator("article .text").evaluateAll((all) => all.map((one) => one.textContent));
        },
        (all) => all.includes(`${index} ${attempt}`),
      );
      expect(found).toContain(`${index} ${attempt}`);
    }
    // Hovers over everything clickable.
    for (const link of await page.locator("article a").all()) await link.hover({ timeout: 1_000 }).catch(() => {});
    expect(await isUnharmed(page)).toEqual({ hacked: false, foreign: 0, links: 0 });
  }

  // As the title of a room, its topic, and in the list of rooms.
  const title = `<img src=x onerror=hacked=1>`;
  await mallory.getByRole("button", { name: "New conversation" }).click();
  await mallory.getByRole("radio", { name: "Group" }).check();
  await mallory.getByRole("textbox", { name: "Title" }).fill(title);
  await mallory.getByRole("dialog").getByRole("checkbox").first().check();
  await mallory.getByRole("button", { name: "Create" }).click();
  await say(mallory, ATTEMPTS[1]!);
  await entry(bob, title).click();
  await bob.getByRole("heading", { level: 2, name: title }).waitFor();
  await bob.getByRole("button", { name: "Details", exact: true }).click();
  await bob.getByRole("complementary").getByText("2 members").waitFor();
  for (const page of [mallory, bob]) expect(await isUnharmed(page)).toEqual({ hacked: false, foreign: 0, links: 0 });
  // The policy never had to intervene.
  expect(people.complaints).toEqual([]);
});

test("the page runs nothing but its own files", async () => {
  const answer = await fetch(server.url);
  const policy = answer.headers.get("content-security-policy")!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(policy).not.toMatch(/unsafe|\*|https?:/);
  const page = await answer.text();
  expect(page).not.toMatch(/<script(?![^>]*\ssrc=)/);
  expect(page).not.toMatch(/<style|\son\w+=|\sstyle=/);

  // And if markup were injected some other way, it would still not run.
  const others = await People.start();
  onTestFinished(() => others.stop());
  const eve = await others.named(server.url, "Eve");
  const run = await eve.evaluate(() => {
    const inline = document.createElement("script");
    try {
      inline.textContent = "hacked = 1";
    } catch {
      return "refused";
    }
    document.body.append(inline);
    return "hacked" in globalThis;
  });
  expect(["refused", false]).toContain(run);
  const markup = await eve.evaluate(() => {
    try {
      document.body.innerHTML += "<img src=x onerror=hacked=1>";
      return "taken";
    } catch {
      return "refused";
    }
  });
  expect(markup).toBe("refused");
});

test("files are named by their content, compressed, and kept by the browser", async () => {
  const page = await (await fetch(server.url)).text();
  const script = /src="\.?(\/assets\/[^"]+\.js)"/.exec(page)![1]!;
  const first = await fetch(server.url + script, { headers: { "accept-encoding": "gzip" } });
  expect(first.headers.get("content-encoding")).toBe("gzip");
  expect(first.headers.get("content-type")).toMatch(/^text\/javascript/);
  expect(first.headers.get("cache-control")).toContain("immutable");
  const plain = await fetch(server.url + script, { headers: { "accept-encoding": "identity" } });
  expect(plain.headers.get("content-encoding")).toBeNull();
  expect(await plain.text()).toBe(await first.text());

  const index = await fetch(server.url);
  expect(index.headers.get("cache-control")).toBe("no-cache");
  const again = await fetch(server.url, { headers: { "if-none-match": index.headers.get("etag")! } });
  expect(again.status).toBe(304);
  expect((await fetch(`${server.url}/assets/nothing.js`)).status).toBe(404);
  expect((await fetch(`${server.url}/assets/..%2Findex.html`)).status).toBe(404);
});
