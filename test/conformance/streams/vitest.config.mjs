import { defineConfig } from "vitest/config"
import Reporter from "./reporter.mjs"

export default defineConfig({
	cacheDir: "cache",
	test: { include: ["streams.test.mjs"], pool: "forks", testTimeout: 10_000, reporters: [new Reporter()] },
})
