import { join } from "node:path"
import { defineConfig } from "vitest/config"
import Reporter from "./reporter.mjs"

const out = process.env.CONFORMANCE_OUT

export default defineConfig({
	cacheDir: join(out, "cache"),
	test: { include: ["streams.test.mjs"], pool: "forks", testTimeout: 10_000, reporters: [new Reporter(join(out, "results.json"))] },
})
