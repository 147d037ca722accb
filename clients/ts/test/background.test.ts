import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Clock } from "../src/session/clock.js";
import { Session } from "../src/session/session.js";
import { answerRoutine, FakeTransport } from "./fake.js";

let transport: FakeTransport;
let session: Session;
beforeEach(() => {
  vi.useFakeTimers();
  transport = new FakeTransport();
  session = new Session({ transport, clock: throttled, token: () => "token" });
  session.start();
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(0);
const seconds = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);

/** A page in the background: its timers fire once a minute. */
const throttled: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after(ms, run) {
    const minutes = Math.ceil((performance.now() + ms) / 60_000);
    const timer = setTimeout(run, minutes * 60_000 - performance.now());
    return () => clearTimeout(timer);
  },
};

test("a connection that dies while the page is in the background is left within minutes", async () => {
  await settle();
  const first = transport.last;
  answerRoutine(first);
  first.welcome();
  await seconds(3_600);
  expect(transport.connections).toHaveLength(1);
  first.onsend = () => {};
  await seconds(240);
  expect(first.closed).toBe(true);
  expect(transport.connections.length).toBeGreaterThan(1);
});

test("a connection that does not begin while the page is in the background is left within minutes", async () => {
  await settle();
  await seconds(240);
  expect(transport.connections.length).toBeGreaterThan(1);
});
