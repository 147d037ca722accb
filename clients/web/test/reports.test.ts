import type { Room } from "@parlance/client";
import { expect, test, vi } from "vitest";

import type { Chat } from "../src/lib/chat.svelte";
import { Reports } from "../src/lib/reports.svelte";

test("reports are read when the server signals one in this room, until they are no longer shown", async () => {
  const listeners = new Set<(signal: unknown) => void>();
  const call = vi.fn(async () => ({ reports: [], nextPageToken: "" }));
  const on = (_name: string, listener: (signal: unknown) => void) => (listeners.add(listener), () => listeners.delete(listener));
  const reports = new Reports({ client: { on, call } } as unknown as Chat, { id: "r" } as Room);
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
