import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const client = fileURLToPath(new URL("../ts/dist/index.js", import.meta.url));

export default defineConfig({
  resolve: { alias: { "@parlance/client": client } },
  test: { include: ["test/**/*.test.ts"], retry: Number(process.env["TEST_RETRIES"] ?? 0), testTimeout: 60_000, hookTimeout: 60_000 },
});
