import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Lookups } from "../src/lib/lookups";

/** Running lookups, with a function that ends each. */
let running: Map<string, () => void>;
let lookups: Lookups;

beforeEach(() => {
  vi.useFakeTimers();
  running = new Map();
  lookups = new Lookups((id) => new Promise((resolve) => running.set(id, resolve)));
});
afterEach(() => void vi.useRealTimers());

const ids = (count: number, prefix = "id") => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

async function answer(...answered: string[]): Promise<void> {
  for (const id of answered) {
    running.get(id)!();
    running.delete(id);
  }
  await vi.advanceTimersByTimeAsync(0);
}

test("an id is looked up once, and few at a time", async () => {
  for (const id of [...ids(20), ...ids(20)]) lookups.want(id);
  await vi.advanceTimersByTimeAsync(0);
  expect([...running.keys()]).toEqual(ids(8));
  await answer("id-3", "id-0");
  expect([...running.keys()].slice(-2)).toEqual(["id-8", "id-9"]);
  while (running.size > 0) await answer([...running.keys()][0]!);
  lookups.want("id-5");
  await vi.runAllTimersAsync();
  expect(running.size).toBe(0);
});

test("what is wanted goes before what may be wanted, and that goes one by one", async () => {
  lookups.mayWant(ids(3, "spare"));
  for (const id of ids(2)) lookups.want(id);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([...running.keys()]).toEqual(ids(2));
  await answer(...ids(2));
  expect([...running.keys()]).toEqual(["spare-0"]);
  await answer("spare-0");
  // Not immediately.
  expect(running.size).toBe(0);
  lookups.want("spare-2");
  await vi.advanceTimersByTimeAsync(0);
  expect([...running.keys()]).toEqual(["spare-2"]);
  await answer("spare-2");
  await vi.advanceTimersByTimeAsync(1_000);
  expect([...running.keys()]).toEqual(["spare-1"]);
});

test("a lookup may be put off, and nothing goes out after the end", async () => {
  lookups.want("late", 2_000);
  lookups.want("late");
  await vi.advanceTimersByTimeAsync(1_999);
  expect(running.size).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect([...running.keys()]).toEqual(["late"]);
  await answer("late");
  lookups.want("another", 10);
  lookups.mayWant(["third"]);
  lookups.know("fourth");
  lookups.want("fourth");
  lookups.stop();
  await vi.runAllTimersAsync();
  expect(running.size).toBe(0);
});
