import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, test, vi } from "vitest";

import { v1 } from "../src/index.js";
import type { Source } from "../src/room/source.js";
import { Timeline } from "../src/room/timeline.js";
import { type ChangesByMessage, changesAfterEvent, UNCHANGED } from "../src/state/changes.js";
import { SHARED } from "../src/room/shared.js";
import { message } from "./fake.js";
import { Random } from "./random.js";

/** The log of a room; calls are answered from it on demand. */
let log: v1.Event[];
let source: Source;
let held: (() => void)[] | undefined;
let timeline: Timeline;
let changes: ChangesByMessage;
let emitted: number;
let calls: string[];

const hold = () => (held ? new Promise<void>((resolve) => held!.push(resolve)) : Promise.resolve());
const release = () => {
  const waiting = held ?? [];
  held = undefined;
  waiting.forEach((go) => go());
};

beforeEach(() => {
  [log, held, changes, emitted, calls] = [[], undefined, UNCHANGED, 0, []];
  source = {
    async listMessages({ beforeSeq = 0, afterSeq = 0, pageSize }: { beforeSeq?: number; afterSeq?: number; pageSize: number }) {
      calls.push("messages");
      const head = log.length;
      const all = log.filter(({ body, seq }) => body.case === "message" && seq > afterSeq && (!beforeSeq || seq < beforeSeq));
      const forwards = afterSeq > 0 && !beforeSeq;
      const messages = forwards ? all.slice(0, pageSize) : all.slice(-pageSize);
      const end = forwards ? messages.at(-1) : messages[0];
      await hold();
      return { messages, hasMore: all.length > pageSize, nextSeq: end?.seq ?? 0n, headSeq: BigInt(head) };
    },
    async listEvents({ fromSeq, toSeq, pageSize }: { fromSeq: number; toSeq: number; pageSize: number }) {
      calls.push("events");
      const all = log.filter(({ seq }) => seq >= fromSeq && seq <= toSeq);
      const events = all.slice(0, pageSize);
      await hold();
      return { events, nextFromSeq: all.length > pageSize ? events.at(-1)!.seq + 1n : 0n, headSeq: BigInt(log.length) };
    },
    changesOf: (seq) => changes.get(seq),
    shared: SHARED,
  };
  timeline = new Timeline(source, () => emitted++);
});

/** Adds an event; `told`: whether it is pushed. */
function happens(body: v1.Event["body"], told = true): v1.Event {
  const event = create(v1.EventSchema, { ...message("r", BigInt(log.length + 1), ""), body });
  log.push(event);
  if (told) receives(event);
  return event;
}
function receives(event: v1.Event): void {
  changes = changesAfterEvent(changes, event);
  timeline.event(event);
}
const says = (text: string, told = true) => happens({ case: "message", value: create(v1.MessageSchema, { text }) }, told);
const gap = (fromSeq: number, toSeq: number, reason = v1.GapReason.TOO_LONG) =>
  timeline.gap(create(v1.GapSchema, { roomId: "r", fromSeq: BigInt(fromSeq), toSeq: BigInt(toSeq), reason }));
const texts = () => timeline.messages.map(({ text }) => text);
const settle = () => vi.waitFor(() => expect(timeline.isLoading).toBe(false));
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `${from + index}`);

test("an event of an unknown kind is passed over", async () => {
  says("1");
  await timeline.loadLatest();
  happens({ case: undefined });
  says("3");
  expect(texts()).toEqual(["1", "3"]);
  happens({ case: undefined }, false);
  says("5", false);
  happens({ case: undefined }, false);
  gap(4, 6);
  await settle();
  says("7");
  expect(texts()).toEqual(["1", "3", "5", "7"]);
});

test("the end is shown, and goes on with what happens", async () => {
  range(0, 60).forEach((text) => says(text));
  expect(texts()).toEqual([]);
  await timeline.loadLatest();
  says("60");
  expect(texts()).toEqual(range(10, 61));
  await timeline.loadOlder();
  expect(texts()).toEqual(range(0, 61));
  expect(timeline.hasOlder).toBe(false);
});

test("what happens while a page is on its way is in its place", async () => {
  range(0, 10).forEach((text) => says(text));
  held = [];
  const loading = timeline.loadLatest();
  says("10");
  says("11");
  expect(texts()).toEqual([]);
  release();
  await loading;
  await settle();
  expect(texts()).toEqual(range(0, 12));
});

test("a gap is filled before what came after it is shown", async () => {
  says("0");
  await timeline.loadLatest();
  range(1, 251).forEach((text) => says(text, false));
  held = [];
  gap(2, 251);
  says("251");
  expect(texts()).toEqual(["0"]);
  release();
  await vi.waitFor(() => expect(texts()).toEqual(range(0, 252)));
  expect(calls.filter((call) => call === "events")).toHaveLength(2);
});

test("of a very long gap the end is shown", async () => {
  says("0");
  await timeline.loadLatest();
  range(1, 5_000).forEach((text) => says(text, false));
  gap(2, 5_000);
  await vi.waitFor(() => expect(texts()).toEqual(range(4_950, 5_000)));
  expect(timeline.hasOlder).toBe(true);
});

test("what may not be read is passed over", async () => {
  says("0");
  await timeline.loadLatest();
  says("secret", false);
  log[1] = { ...log[1]!, body: { case: undefined } };
  gap(2, 2, v1.GapReason.NOT_MEMBER);
  await settle();
  says("2");
  expect(texts()).toEqual(["0", "2"]);
});

test("changes apply once, in whatever order they become known", async () => {
  const { seq } = says("helo");
  await timeline.loadLatest();
  const targetSeq = seq;
  happens({ case: "messageEdited", value: create(v1.MessageEditedSchema, { targetSeq, text: "hello" }) });
  const liked = happens({ case: "reactionAdded", value: create(v1.ReactionAddedSchema, { targetSeq, emoji: "👍" }) });
  receives(liked);
  expect(timeline.messages[0]).toMatchObject({ text: "hello", reactions: [{ emoji: "👍", userIds: ["bob"] }] });
  happens({ case: "reactionRemoved", value: create(v1.ReactionRemovedSchema, { targetSeq, emoji: "👍" }) });
  expect(timeline.messages[0]!.reactions).toEqual([]);
  happens({ case: "reactionAdded", value: create(v1.ReactionAddedSchema, { targetSeq, emoji: "👍\uFE0F" }) });
  expect(timeline.messages[0]!.reactions).toEqual([{ emoji: "👍\uFE0F", userIds: ["bob"] }]);
  happens({ case: "reactionRemoved", value: create(v1.ReactionRemovedSchema, { targetSeq, emoji: "👍" }) });
  expect(timeline.messages[0]!.reactions).toEqual([]);
  happens({ case: "messageDeleted", value: create(v1.MessageDeletedSchema, { targetSeq }) });
  expect(timeline.messages[0]).toMatchObject({ text: "", deleted: true });
  const before = emitted;
  receives(liked);
  expect(emitted).toBe(before);
});

test("a page that has a change in it is not changed by it again", async () => {
  const sent = says("hello", false);
  happens({ case: "messageEdited", value: create(v1.MessageEditedSchema, { targetSeq: 1n, text: "older" }) }, false);
  if (sent.body.case === "message") Object.assign(sent.body.value, { text: "newer", changedSeq: 5n });
  await timeline.loadLatest();
  receives(log[1]!);
  expect(texts()).toEqual(["newer"]);
});

test("after a jump the end is reached page by page", async () => {
  range(0, 300).forEach((text) => says(text));
  await timeline.loadLatest();
  await timeline.jumpTo(100);
  expect(texts()).toContain("99");
  expect(texts()).toHaveLength(50);
  expect(timeline.hasNewer).toBe(true);
  says("300");
  expect(texts()).not.toContain("300");
  while (timeline.hasNewer) await timeline.loadNewer();
  says("301");
  expect(texts().slice(-3)).toEqual(["299", "300", "301"]);
  expect(texts()).toEqual(range(Number(texts()[0]), 302));
});

test("a restored room is shown anew", async () => {
  range(0, 3).forEach((text) => says(text));
  await timeline.loadLatest();
  log = [];
  says("another past", false);
  gap(1, 1, v1.GapReason.RESTORED);
  await vi.waitFor(() => expect(texts()).toEqual(["another past"]));
});

test("loads are carried out in turn, without doubles or holes", async () => {
  range(0, 300).forEach((text) => says(text));
  await timeline.loadLatest();
  await timeline.jumpTo(100);
  await Promise.all([timeline.loadNewer(), timeline.loadNewer(), timeline.loadOlder(), timeline.loadNewer()]);
  expect(texts()).toEqual(range(25, 275));
  await timeline.jumpTo(250);
  await Promise.all([timeline.jumpTo(50), timeline.loadNewer()]);
  expect(texts()).toEqual(range(25, 125));
});

test("whatever is loaded, received and missed at once, the window has no hole and nothing twice", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    log = [];
    held = [];
    timeline = new Timeline(source, () => {}, { window: 120 });
    range(0, random.int(1, 400)).forEach((text) => says(text));
    const loads: Promise<void>[] = [];
    for (let steps = 60; steps > 0; steps--) {
      const step = random.int(0, 7);
      if (step === 0) loads.push(timeline.loadLatest());
      else if (step === 1) loads.push(timeline.loadOlder());
      else if (step === 2) loads.push(timeline.loadNewer());
      else if (step === 3) loads.push(timeline.jumpTo(random.int(1, log.length)));
      else if (step === 4) timeline.lookAt(random.chance(0.5) ? undefined : random.int(1, log.length));
      else if (step === 5) {
        const from = log.length + 1;
        range(0, random.int(1, 300)).forEach((text) => says(text, false));
        gap(from, log.length);
      } else says("live");
      if (random.chance(0.5)) {
        const waiting = held ?? [];
        held = [];
        waiting.forEach((go) => go());
        await Promise.resolve();
      }
    }
    while (timeline.isLoading) {
      const waiting = held ?? [];
      held = [];
      waiting.forEach((go) => go());
      await Promise.resolve();
    }
    await Promise.all(loads);
    const seqs = timeline.messages.map(({ seq }) => seq!);
    expect(seqs, `seed ${seed}`).toEqual(range(seqs[0] ?? 0, (seqs.at(-1) ?? -1) + 1).map(Number));
    expect(seqs.length).toBeLessThanOrEqual(120);
    if (seqs.length > 0) {
      expect(timeline.hasNewer, `seed ${seed}`).toBe(seqs.at(-1) !== log.length);
      expect(timeline.hasOlder, `seed ${seed}`).toBe(seqs[0] !== 1);
    }
  }
});

test("of very many messages those far from the place are let go, and come back", async () => {
  timeline = new Timeline(source, () => {}, { window: 100 });
  range(0, 400).forEach((text) => says(text));
  await timeline.loadLatest();
  for (let pages = 0; pages < 4; pages++) await timeline.loadOlder();
  expect(texts()).toEqual(range(150, 250));
  expect([timeline.hasOlder, timeline.hasNewer]).toEqual([true, true]);
  says("400");
  while (timeline.hasNewer) await timeline.loadNewer();
  expect(texts()).toEqual(range(301, 401));
  says("401");
  expect(texts()).toEqual(range(322, 402));
});

test("what is looked at stays while messages are received, however many", async () => {
  timeline = new Timeline(source, () => {}, { window: 100 });
  range(0, 60).forEach((text) => says(text));
  await timeline.loadLatest();
  timeline.lookAt(12);
  range(60, 400).forEach((text) => says(text));
  expect(texts()).toEqual(range(10, 110));
  expect(timeline.hasNewer).toBe(true);
  timeline.lookAt(undefined);
  while (timeline.hasNewer) await timeline.loadNewer();
  expect(texts().at(-1)).toBe("399");
});

test("a load that was asked for before the window was released does not bring it back", async () => {
  range(0, 60).forEach((text) => says(text));
  held = [];
  const loading = timeline.loadLatest();
  await Promise.resolve();
  timeline.release();
  release();
  await loading;
  expect([timeline.isLoaded, texts()]).toEqual([false, []]);
  await timeline.loadLatest();
  says("60");
  expect(texts()).toEqual(range(10, 61));
});

test("a very long gap whose end is refused is asked for once, and leaves a hole at the end", async () => {
  says("0");
  await timeline.loadLatest();
  range(1, 5_000).forEach((text) => says(text, false));
  let asked = 0;
  const { listMessages } = source;
  source.listMessages = () => {
    // An endless loop would block everything, including this test's own clock.
    if (++asked > 100) return new Promise(() => {});
    return Promise.reject(new Error("the client was closed"));
  };
  gap(2, 5_000);
  says("5001");
  await settle();
  expect(asked).toBe(1);
  expect(timeline.hasNewer).toBe(true);
  expect(texts()).toEqual(["0"]);
  source.listMessages = listMessages;
  await timeline.loadLatest();
  expect(texts().at(-1)).toBe("5001");
});
