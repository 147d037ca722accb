import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Sessions are recorded on request: `npm run record`. */
const include = process.env["RECORD"] ? "test/record.ts" : "test/**/*.test.ts";

/** What takes longest begins first, while there is something else to do beside it. */
const LONG = ["rolling", "contract", "package", "day"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at < 0 ? LONG.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: [include],
    retry: Number(process.env["TEST_RETRIES"] ?? 0),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One waits while the other works.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});
