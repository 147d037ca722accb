import { vi } from "vitest";

const DEADLINE_MS = 30_000;

/** Waits until `condition` returns something. */
export function eventually<T>(what: string, condition: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  const look = async () => {
    const result = await condition();
    if (result === undefined || result === false) throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
    return result;
  };
  return vi.waitFor(look, { timeout: DEADLINE_MS, interval: 10 });
}
