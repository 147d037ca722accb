import type { Room } from "@parlance/client";
import { expect, onTestFinished, test, vi } from "vitest";

import type { Chat } from "../src/lib/chat.svelte";
import { type ReportedMessage, Reports } from "../src/lib/reports.svelte";
import { refused } from "../../ts/src/errors.js";

test("reports are read when the server signals one in this room, until they are no longer shown", async () => {
  const listeners = new Set<(signal: unknown) => void>();
  const call = vi.fn(async () => ({ reports: [], nextPageToken: "" }));
  const on = (name: string, listener: (signal: unknown) => void) => (name === "signal" && listeners.add(listener), () => listeners.delete(listener));
  const reports = new Reports({ client: { on, call, state: { status: "online" } } } as unknown as Chat, { id: "r" } as Room);
  const signal = (name: string, roomId: string) => listeners.forEach((listener) => listener({ case: name, value: { roomId } }));
  signal("reportMade", "other");
  signal("typing", "r");
  expect(call).not.toHaveBeenCalled();
  signal("reportMade", "r");
  await vi.waitFor(() => expect(reports.isLoaded).toBe(true));
  expect(call).toHaveBeenCalledOnce();
  reports.stop();
  expect(listeners.size).toBe(0);
});

test("without a connection nothing is asked, and with one, one question at a time", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const answers: (() => void)[] = [];
  const call = vi.fn(() => new Promise((resolve) => answers.push(() => resolve({ reports: [], nextPageToken: "" }))));
  const states = new Set<() => void>();
  const on = (name: string, listener: () => void) => (name === "state" && states.add(listener), () => states.delete(listener));
  const client = { on, call, state: { status: "waiting" } };
  const reports = new Reports({ client } as unknown as Chat, { id: "r" } as Room);
  await vi.advanceTimersByTimeAsync(4 * 3_600_000);
  expect(call).not.toHaveBeenCalled();
  client.state.status = "online";
  for (const listener of states) listener();
  await vi.advanceTimersByTimeAsync(10 * 60_000);
  expect(call).toHaveBeenCalledOnce();
  answers[0]!();
  await vi.advanceTimersByTimeAsync(0);
  // What has changed meanwhile is read once.
  expect(call).toHaveBeenCalledTimes(2);
  reports.stop();
  await vi.advanceTimersByTimeAsync(10 * 60_000);
  expect([call.mock.calls.length, states.size]).toEqual([2, 0]);
});

test("of reports of one message that somebody else has answered in part, the others are answered", async () => {
  const answered: string[] = [];
  const call = async () => ({ reports: [], nextPageToken: "" });
  const change = async (_name: string, { reportId }: { reportId: string }) => {
    if (reportId === "a") throw refused({ code: 9, reason: "report_resolved", message: "answered", metadata: {} });
    answered.push(reportId);
  };
  const reports = new Reports({ client: { on: () => () => {}, call, change, state: { status: "online" } } } as unknown as Chat, { id: "r" } as Room);
  const all = ["a", "b", "c"].map((id) => ({ id }));
  await reports.resolve({ seq: 1, userId: "bob", message: undefined, reports: all } as unknown as ReportedMessage, "dismissed", "");
  expect(answered).toEqual(["b", "c"]);
  reports.stop();
});
