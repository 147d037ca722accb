import type { CDPSession, Page } from "playwright-core";
import { expect, test } from "vitest";

import { composer, People } from "./browser.js";
import { Crowd, type CrowdOptions } from "./crowd.js";

/** The cost of many rooms and many users: `npm run scale` prints a line for each. */
const CASES: readonly (CrowdOptions & { isLong?: boolean })[] = [
  { rooms: 300, direct: 100, people: 1_000, unread: 50, long: 50_000, directory: true },
  { rooms: 2_000, direct: 500, people: 1_000, unread: 500, directory: true, isLong: true },
  { rooms: 2_000, direct: 1_000, people: 1_000, unread: 500 },
];

const PER_SECOND = 100;
/** How long frames are counted: idle, and during each of the two bursts. Where `isLong`, idle and under load a minute each. */
const SHORT_MS = { idle: 2_000, burst: 5_000 };
const LONG_MS = { idle: 60_000, burst: 30_000 };
const SCROLL_MS = 8_000;
/** Timeout. */
const PATIENCE_MS = 120_000;

test.each(CASES)("$rooms rooms, $direct of them direct, $people people, $unread unread, directory $directory", { timeout: 900_000 }, async (options) => {
  const [crowd, people] = await Promise.all([Crowd.start(options), People.start()]);
  const { idle, burst } = options.isLong ? LONG_MS : SHORT_MS;
  try {
    const context = await people.context();
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const devtools = await context.newCDPSession(page);
    await devtools.send("Performance.enable");
    const report: Record<string, unknown> = {};

    const begin = performance.now();
    const since = () => Math.round(performance.now() - begin);
    await page.goto(crowd.signIn);
    const room = crowd.rooms.at(-1)!;
    await page.evaluate((id) => (location.hash = `#/room/${id}`), room.id);
    await composer(page).waitFor();
    report["composer ms"] = since();
    await page.getByRole("list", { name: "Rooms" }).getByText(crowd.rooms.at(-2)!.title, { exact: true }).waitFor();
    report["list ms"] = since();
    await quiet(devtools);
    report["quiet ms"] = since();
    report["CPU s"] = round(await busy(devtools));
    report["elements"] = await page.evaluate(() => document.querySelectorAll("*").length);
    report["heap MiB"] = await heap(devtools);
    report["calls"] = Object.fromEntries(crowd.calls);
    report["idle"] = await frames(page, idle);

    const opened = performance.now();
    await page.keyboard.press("Control+k");
    await page.getByRole("option").first().waitFor();
    report["switcher ms"] = Math.round(performance.now() - opened);
    await page.keyboard.press("Escape");

    if (options.long) report["50,000 scrolled"] = await scrolled(page, devtools);

    const bursts: [string, (index: number) => (typeof crowd.rooms)[number]][] = [
      ["the open room", () => room],
      ["500 rooms", (index) => crowd.rooms[(index * 7) % Math.min(500, crowd.rooms.length)]!],
    ];
    for (const [where, pick] of bursts) {
      const before = await busy(devtools);
      let said = 0;
      const started = performance.now();
      const timer = setInterval(() => {
        const due = ((performance.now() - started) / 1_000) * PER_SECOND;
        for (; said < due; said += 1) crowd.say(pick(said), `number ${said} of many, with some words to read`);
      }, 10);
      const shown = await frames(page, burst);
      clearInterval(timer);
      report[`${PER_SECOND}/s into ${where}`] = `${shown}, ${round(((await busy(devtools)) - before) / (burst / 1_000))} of a core, heap ${await heap(devtools)} MiB`;
    }
    await page.getByTestId("connection").getByText("Online").waitFor();
    console.log(JSON.stringify({ ...options, ...report }, null, 1));
    expect(people.complaints).toEqual([]);
  } finally {
    await Promise.all([crowd.stop(), people.stop()]);
  }
});

/** A day in 2,000 rooms: 50,000 messages, as fast as possible, while their clock runs from yesterday to now. */
const DAY = { messages: 50_000, hours: 24, perTick: 10, parts: 5 };
/** Allowed memory growth between the first fifth and the end of the day, in MiB. */
const GROWTH_MIB = 8;

test("a day of traffic leaves the memory of the page bounded", { timeout: 900_000 }, async () => {
  const [crowd, people] = await Promise.all([Crowd.start({ rooms: 2_000, direct: 500, people: 1_000, unread: 500 }), People.start()]);
  try {
    const page = await (await people.context()).newPage();
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Performance.enable");
    await page.goto(crowd.signIn);
    const open = crowd.rooms.at(-1)!;
    await page.evaluate((id) => (location.hash = `#/room/${id}`), open.id);
    await composer(page).waitFor();
    await quiet(devtools);
    const heaps: number[] = [];
    const begin = performance.now();
    for (let part = 0; part < DAY.parts; part += 1) {
      const until = ((part + 1) * DAY.messages) / DAY.parts;
      for (let said = (part * DAY.messages) / DAY.parts; said < until; said += 1) {
        const agoMs = (1 - said / DAY.messages) * DAY.hours * 3_600_000;
        crowd.say(said % 10 === 0 ? open : crowd.rooms[(said * 7) % crowd.rooms.length]!, `number ${said} of the day`, undefined, agoMs);
        if (said % DAY.perTick === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await page.locator(`article[data-seq='${open.head}']`).waitFor({ timeout: PATIENCE_MS });
      await quiet(devtools);
      heaps.push(await heap(devtools));
    }
    const elements = await page.evaluate(() => document.querySelectorAll("*").length);
    console.log(JSON.stringify({ messages: DAY.messages, seconds: Math.round((performance.now() - begin) / 1_000), "heap MiB": heaps, elements }));
    expect(heaps.at(-1)! - heaps[0]!).toBeLessThan(GROWTH_MIB);
    expect(elements).toBeLessThan(1_000);
    expect(people.complaints).toEqual([]);
  } finally {
    await Promise.all([crowd.stop(), people.stop()]);
  }
});

/** Scrolls back through the history and forward again, as fast as by hand. */
async function scrolled(page: Page, devtools: CDPSession): Promise<Record<string, unknown>> {
  const timeline = page.getByTestId("timeline");
  const box = (await timeline.boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const first = () => page.locator("article").evaluateAll((rows) => Math.min(...rows.map((row) => Number((row as HTMLElement).dataset["seq"]) || Infinity)));
  const report: Record<string, unknown> = {};
  for (const [way, by] of [["back", -1], ["forth", 1]] as const) {
    const [before, from] = [await busy(devtools), await first()];
    const shown = frames(page, SCROLL_MS);
    const end = performance.now() + SCROLL_MS;
    while (performance.now() < end) {
      await page.mouse.wheel(0, by * 400);
      await new Promise((resolve) => setTimeout(resolve, 16));
    }
    report[way] = `${await shown}, ${round(((await busy(devtools)) - before) / (SCROLL_MS / 1_000))} of a core, ${Math.abs((await first()) - from)} messages, heap ${await heap(devtools)} MiB`;
  }
  await timeline.evaluate((element) => element.scrollBy(0, -10_000));
  const latest = page.getByRole("button", { name: "Latest" });
  await latest.waitFor();
  const begin = performance.now();
  await latest.click();
  await page.locator("article[data-seq='50000']").waitFor();
  report["to the end ms"] = Math.round(performance.now() - begin);
  return report;
}

const round = (value: number) => Math.round(value * 100) / 100;

/** Seconds of computation by the page. */
async function busy(devtools: CDPSession): Promise<number> {
  const { metrics } = await devtools.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration")!.value;
}

/** Waits until a second passes with almost no computation. */
async function quiet(devtools: CDPSession): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let before = -1; performance.now() < deadline; ) {
    const now = await busy(devtools);
    if (before >= 0 && now - before < 0.1) return;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function heap(devtools: CDPSession): Promise<number> {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return Math.round(usedSize / 1_048_576);
}

/** Frames per second and their durations, and tasks of more than 50 ms, over this many milliseconds. */
function frames(page: Page, milliseconds: number): Promise<string> {
  return page.evaluate(
    (milliseconds) =>
      new Promise<string>((resolve) => {
        const start = performance.now();
        const times: number[] = [];
        let longTasks = 0;
        const observer = new PerformanceObserver((list) => void (longTasks += list.getEntries().length));
        observer.observe({ type: "longtask" });
        let last = start;
        const draw = (at: number) => {
          times.push(at - last);
          last = at;
          if (at - start < milliseconds) return requestAnimationFrame(draw);
          observer.disconnect();
          times.sort((a, b) => a - b);
          const part = (share: number) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))]! * 10) / 10;
          resolve(`${Math.round((times.length / (at - start)) * 1_000)} fps, frames p50 ${part(0.5)} p95 ${part(0.95)} p99 ${part(0.99)} worst ${part(1)} ms, ${longTasks} long tasks`);
        };
        requestAnimationFrame(draw);
      }),
    milliseconds,
  );
}
