import { defineConfig } from "vitest/config";

/** Sessions are recorded on request: `npm run record`. */
const include = process.env["RECORD"] ? "test/record.ts" : "test/**/*.test.ts";

export default defineConfig({
  test: { include: [include], testTimeout: 60_000, hookTimeout: 60_000 },
});
