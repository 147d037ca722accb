import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const dist = (name: string) => fileURLToPath(new URL(`../ts/dist/${name}.js`, import.meta.url));

export default defineConfig({
  resolve: { alias: { "@parlance/client/invitations": dist("invitations"), "@parlance/client": dist("index") } },
  test: { include: ["test/**/*.test.ts"], retry: Number(process.env["TEST_RETRIES"] ?? 0), testTimeout: 60_000, hookTimeout: 60_000 },
});
