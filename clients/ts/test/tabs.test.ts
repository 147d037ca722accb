import "fake-indexeddb/auto";

import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { DiscardedError, IndexedDbStorage, type Storage, v1 } from "../src/index.js";
// Loaded before the clocks are replaced.
import "../src/storage/indexeddb-store.js";
import { CommandQueue } from "../src/queue/queue.js";
import type { TabRuntime } from "../src/queue/tabs.js";
import { Session } from "../src/session/session.js";
import { FakeBrowser } from "./browser.js";
import { FakeTransport } from "./fake.js";

let browser: FakeBrowser;
let storage: IndexedDbStorage;
const ends: (() => void)[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
  browser = new FakeBrowser();
  storage = new IndexedDbStorage(`${Math.random()}`);
});
afterEach(() => {
  vi.useRealTimers();
  ends.splice(0).forEach((end) => end());
});

async function until(check: () => void) {
  await vi.waitFor(
    async () => {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      check();
    },
    { timeout: 10_000, interval: 5 },
  );
}

async function tab({ shared = true, head = 4n, online = true, own = storage as Storage, runtime = undefined as TabRuntime | undefined } = {}) {
  const { runtime: usual, freeze, die } = browser.tab();
  const transport = new FakeTransport();
  const session = new Session({ transport, token: () => "t" });
  session.start();
  const queue = new CommandQueue(session, own, shared ? (runtime ?? usual) : {});
  ends.push(() => (session.close(), void queue.close()));
  await until(() => expect(transport.connections).toHaveLength(1));
  const welcome = async () => {
    transport.last.welcome([{ roomId: "r", seq: head }]);
    await until(() => expect(session.state.status).toBe("online"));
  };
  if (online) await welcome();
  const sent = () => transport.last.sent.flatMap(({ operation }) => (operation.case === "sendMessage" ? [operation.value] : []));
  const answer = (seq: bigint) => transport.last.answer({ case: "sendMessage", value: { roomId: "r", seq } });
  return { queue, session, transport, welcome, sent, answer, freeze, die };
}

const send = (text: string) => ({ kind: "send", roomId: "r", payload: { text } }) as const;
const texts = (sent: { text: string }[]) => sent.map(({ text }) => text);

test("of two tabs one sends, and both see what becomes of it", async () => {
  const [first, second] = [await tab(), await tab()];
  const submitted = second.queue.submit(send("hello"));
  await until(() => expect(texts(first.sent())).toEqual(["hello"]));
  expect(first.queue.commands).toMatchObject([{ id: submitted.id, state: "sending" }]);
  await until(() => expect(second.queue.commands).toMatchObject([{ id: submitted.id, state: "sending" }]));
  first.answer(5n);
  expect(await submitted.done).toMatchObject({ case: "sendMessage", value: { seq: 5n } });
  expect(second.sent()).toEqual([]);
  for (const { queue } of [first, second]) expect(queue.commands).toMatchObject([{ state: "confirmed", seq: 5 }]);
  first.queue.observed("r", 5);
  second.queue.observed("r", 5);
  for (const { queue } of [first, second]) expect(queue.commands).toEqual([]);
});

test("a refusal reaches the tab that asked", async () => {
  const [first, second] = [await tab(), await tab()];
  const submitted = second.queue.submit(send("hello"));
  await until(() => expect(first.sent()).toHaveLength(1));
  first.transport.last.refuse({ code: 7, reason: "not_a_member", message: "not a member" });
  await expect(submitted.done).rejects.toMatchObject({ reason: "not_a_member", code: 7 });
  expect(second.queue.commands).toMatchObject([{ state: "failed", error: { reason: "not_a_member" } }]);
  void second.queue.retry(submitted.id);
  await until(() => expect(first.sent()).toHaveLength(2));
});

test("the next tab takes over from one that dies, and sends what it had begun as it was", async () => {
  const [first, second] = [await tab(), await tab({ head: 900n })];
  first.queue.submit(send("one"));
  first.queue.submit(send("two"));
  await until(() => expect(texts(first.sent())).toEqual(["one"]));
  first.die();
  await until(() => expect(second.sent()).toMatchObject([{ text: "one", clientMessageId: first.sent()[0]!.clientMessageId, afterSeq: 4n }]));
  second.answer(5n);
  await until(() => expect(texts(second.sent())).toEqual(["one", "two"]));
});

test("a tab that closes its client hands over", async () => {
  const [first, second] = [await tab(), await tab()];
  first.session.close();
  await first.queue.close();
  second.queue.submit(send("hello"));
  await until(() => expect(texts(second.sent())).toEqual(["hello"]));
});

test("an owner that is frozen is replaced", async () => {
  const [first, second] = [await tab(), await tab()];
  first.freeze();
  second.queue.submit(send("hello"));
  await until(() => expect(second.queue.commands).toHaveLength(1));
  await until(() => {
    vi.advanceTimersByTime(500);
    expect(texts(second.sent())).toEqual(["hello"]);
  });
  expect(first.sent()).toEqual([]);
});

test("a discard in one tab holds in all", async () => {
  const [first, second] = [await tab(), await tab()];
  first.queue.submit(send("first"));
  const withdrawn = first.queue.submit(send("withdrawn"));
  await until(() => expect(second.queue.commands).toHaveLength(2));
  await second.queue.discard(withdrawn.id);
  await expect(withdrawn.done).rejects.toBeInstanceOf(DiscardedError);
  await until(() => expect(first.sent()).toHaveLength(1));
  first.answer(5n);
  await until(() => expect(first.queue.commands).toMatchObject([{ state: "confirmed" }]));
  expect(texts(first.sent())).toEqual(["first"]);
  // A tab that opens later only has the storage.
  const third = await tab();
  first.die();
  second.die();
  await until(() => expect(third.queue.commands.map(({ id }) => id)).not.toContain(withdrawn.id));
});

test("a reaction that another tab withdraws while there is no network is never sent", async () => {
  const [first, second] = [await tab({ online: false }), await tab({ online: false })];
  const of = { roomId: "r", payload: { seq: 2, emoji: "👍" } };
  second.queue.submit({ kind: "react", ...of });
  await until(() => expect(first.queue.commands).toHaveLength(1));
  second.queue.submit({ kind: "unreact", ...of });
  await until(() => expect(first.queue.commands).toEqual([]));
  await first.welcome();
  await second.welcome();
  first.queue.submit(send("after it"));
  await until(() => expect(texts(first.sent())).toEqual(["after it"]));
  for (const { transport } of [first, second]) expect(transport.last.of("addReaction")).toEqual([]);
});

test("without locks two tabs send with one id and one notion of the room, and not what another has discarded", async () => {
  const first = await tab({ shared: false, online: false });
  const { id } = first.queue.submit(send("hello"));
  const withdrawn = first.queue.submit(send("withdrawn"));
  await until(() => expect(first.queue.store.state.status).toBe("durable"));
  const second = await tab({ shared: false, head: 4_500n, online: false });
  // Both have it before either has sent it.
  await until(() => expect(second.queue.commands).toMatchObject([{ id, state: "waiting" }, {}]));
  await first.welcome();
  await until(() => expect(first.sent()).toHaveLength(1));
  await second.welcome();
  await until(() => expect(second.sent()).toHaveLength(1));
  // The server recognises the second: it contains the same `afterSeq` as the
  // first.
  for (const { sent } of [first, second]) expect(sent()).toMatchObject([{ clientMessageId: id, afterSeq: 4n }]);
  await first.queue.discard(withdrawn.id);
  second.answer(5n);
  await until(() => expect(second.queue.commands).toMatchObject([{ id, state: "confirmed" }]));
  expect(texts(second.sent())).toEqual(["hello"]);
});

test("an answer survives the way between tabs", async () => {
  const [first, second] = [await tab(), await tab()];
  const submitted = second.queue.submit({ kind: "edit", roomId: "r", payload: { seq: 3, text: "better" } });
  await until(() => expect(first.transport.last.sent.at(-1)?.operation.case).toBe("editMessage"));
  first.transport.last.answer({ case: "editMessage", value: { outcome: create(v1.OutcomeSchema, { seq: 5n, lastSeq: 5n }) } });
  expect(await submitted.done).toMatchObject({ case: "editMessage", value: { outcome: { seq: 5n } } });
});

/** The behaviour of browsers on pages that may not store anything. */
const DENIED: Record<string, TabRuntime> = {
  "locks that are denied": {
    locks: { request: () => Promise.reject(new DOMException("denied", "SecurityError")) },
    channel: () => ({ postMessage: () => {}, onmessage: null, close: () => {} }),
  },
  "locks that throw": {
    locks: {
      request: () => {
        throw new DOMException("denied", "SecurityError");
      },
    },
    channel: () => ({ postMessage: () => {}, onmessage: null, close: () => {} }),
  },
  "channels that are denied": {
    locks: { request: () => new Promise(() => {}) },
    channel: () => {
      throw new DOMException("denied", "SecurityError");
    },
  },
};

test.each(Object.keys(DENIED))("with %s a tab sends on its own", async (what) => {
  const one = await tab({ runtime: DENIED[what]! });
  one.queue.submit(send("hello"));
  await until(() => expect(texts(one.sent())).toEqual(["hello"]));
});

/** The same storage, opened by a tab on demand. */
function slowly(): { slow: Storage; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { slow: { sharedAs: storage.sharedAs, open: () => opened.then(() => storage.open()) }, open };
}

test("what another tab has not stored yet is not sent", async () => {
  const { slow, open } = slowly();
  const [first, second] = [await tab(), await tab({ own: slow })];
  second.queue.submit(send("of the second"));
  first.queue.submit(send("of the first"));
  await until(() => expect(texts(first.sent())).toEqual(["of the first"]));
  first.answer(5n);
  await until(() => expect(first.queue.commands).toMatchObject([{ state: "confirmed" }]));
  expect(texts(first.sent())).toEqual(["of the first"]);
  open();
  await until(() => expect(texts(first.sent())).toEqual(["of the first", "of the second"]));
});

test("a storage that answers late does not bring back what another tab has sent or discarded meanwhile", async () => {
  const { slow, open } = slowly();
  const [first, second] = [await tab(), await tab({ own: slow })];
  const sent = second.queue.submit(send("sent"));
  const withdrawn = second.queue.submit(send("withdrawn"));
  await until(() => {
    vi.advanceTimersByTime(500);
    expect(texts(first.sent())).toEqual(["sent"]);
  });
  await first.queue.discard(withdrawn.id);
  first.answer(5n);
  expect(await sent.done).toMatchObject({ value: { seq: 5n } });
  await expect(withdrawn.done).rejects.toBeInstanceOf(DiscardedError);
  open();
  await until(() => expect(second.queue.store.state.status).toBe("durable"));
  // A page that opens later only has the storage.
  for (const { die } of [first, second]) die();
  const third = await tab({ shared: false });
  await third.queue.store.write([]);
  await until(() => expect(third.queue.store.state.status).toBe("durable"));
  expect(third.queue.commands).toEqual([]);
  expect(third.sent()).toEqual([]);
});
