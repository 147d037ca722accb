import { defineConfig } from "vitest/config";

/** Sessions are recorded on request: `npm run record`. */
const include = process.env["RECORD"] ? "test/record.ts" : "test/**/*.test.ts";

export default defineConfig({
  test: { include: [include], retry: Number(process.env["TEST_RETRIES"] ?? 0), testTimeout: 60_000, hookTimeout: 60_000 },
});
