// A run of the public suite one way: at the server itself, or through an nginx before it. vitest only reports (reporter.mjs);
// what the outcome is worth is decided here, with not-yet.txt and not-yet-WAY.txt beside.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { patterns_apply, patterns_read } from "../expected.mjs"
import { give_up, Server, start } from "../processes.mjs"
import { here, work } from "./install.mjs"
import { Nginx } from "./nginx.mjs"

// --- judging ---------------------------------------------------------------------------------------------------------------
const count = (tests, state) => tests.filter((test) => test.state === state).length
const ran = (test) => test.state === "passed" || test.state === "failed"
const indented = (error) => error.replace(/^/gm, "\t") + "\n"
const list = (title, tests) =>
	tests.map((test) => `${title}\t${test.name}\n${test.errors.map(indented).join("")}`).join("")

// `strict`: a pattern too many is wrong as well.
function judge(results, patterns, strict) {
	results.tests.forEach((test) => (test.passed = test.state === "passed"))
	const remarks = patterns_apply(patterns, results.tests)
	const wrong = [...results.errors, ...(strict ? remarks : [])]
	if (!results.tests.some(ran)) wrong.push("no test ran")
	const failed = results.tests.filter((test) => test.state === "failed")
	const real = failed.filter((test) => !test.expected), not_yet = failed.filter((test) => test.expected)
	for (const test of real) wrong.push(`${test.name}\n      ${(test.errors[0] ?? "").split("\n")[0]}`)
	return { passed: count(results.tests, "passed"), failed: real, not_yet, wrong }
}

// Block by block, for a run that is alone.
export function blocks_table(tests) {
	const blocks = new Map()
	for (const test of tests.filter(ran)) {
		const name = test.name.split(" > ")[0]
		blocks.set(name, [...(blocks.get(name) ?? []), test])
	}
	console.log("\npassed failed not yet")
	for (const [name, members] of blocks) {
		const failed = members.filter((test) => test.state === "failed"), real = failed.filter((test) => !test.expected).length
		const figures = [count(members, "passed"), real, failed.length - real]
		console.log(`${figures.map((n) => String(n || "·").padStart(6)).join(" ")}   ${name}`)
	}
}

// --- the run ---------------------------------------------------------------------------------------------------------------
// `url`: of a server that runs already; none is started then.
export async function suite(way, vitest_args, url) {
	const out = join(work, way)
	mkdirSync(out, { recursive: true })
	for (const name of ["results.json", "failures.txt", "vitest.stderr"]) rmSync(join(out, name), { force: true })
	// Waits that do not say how long end after a second: some tests sit one out. Others come from another origin.
	const server = url ? null : new Server(out, ["--cors-origin", "*", "--default-wait", "1s"])
	const nginx = way === "direct" ? null : new Nginx(out, way)
	if (server) url = await server.start()
	if (nginx) url = await nginx.start(url)

	const diagnostics = join(out, "vitest.stderr"), env = { ...process.env, CONFORMANCE_URL: url, CONFORMANCE_OUT: out }
	const vitest = start(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...vitest_args], { cwd: work, env, diagnostics })
	vitest.stdout.pipe(process.stdout)
	await vitest.ended
	const endings = [await nginx?.stop(), await server?.stop()].filter(Boolean)
	const report = join(out, "results.json")
	if (!existsSync(report)) give_up(`vitest left no results\n${readFileSync(diagnostics, "utf8")}`)

	const results = JSON.parse(readFileSync(report, "utf8"))
	results.errors.push(...endings)
	const patterns = [...patterns_read(join(here, "not-yet.txt")), ...patterns_read(join(here, `not-yet-${way}.txt`), false)]
	const outcome = judge(results, patterns, server !== null && !vitest_args.length)
	const { passed, failed, not_yet, wrong } = outcome
	const failures = join(out, "failures.txt")
	writeFileSync(failures, list("FAILED", failed) + list("not yet", not_yet))
	if (failed.length) wrong.push(`names and reasons: ${failures}`)
	return { passed, failed: failed.length, not_yet: not_yet.length, wrong, tests: results.tests }
}
