// run.mjs [VITEST-ARG…]: the public suite of the Durable Streams protocol against a fresh server; `./dev conformance streams`
// builds the program and then runs this.
//
// Idea: everything is copied to build/conformance/streams and installed there by the lock file, so that nothing outside build/
// is written. vitest only reports (reporter.mjs); what the outcome is worth is decided here, with not-yet.txt beside.
//   BIDE_BIN=PATH               another program than build/release/bide
//   BIDE_CONFORMANCE_URL=URL    a server that runs already, ours or another; none is started, and what not-yet.txt says too
//                               much is no fault
//   BIDE_CONFORMANCE_FLAGS=…    more flags for the server, separated by blanks
// Exit code: 0 as expected, 1 not, 2 the run itself did not come about.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, "../../..")
const work = join(root, "build/conformance/streams")
const program = process.env.BIDE_BIN ?? join(root, "build/release/bide")
const diagnostics = join(work, "server.stderr")
const failures = join(work, "failures.txt")
const copied = [".npmrc", "package.json", "package-lock.json", "reporter.mjs", "streams.test.mjs", "vitest.config.mjs"]
const startMs = 30_000, stopMs = 20_000

const say = (line) => console.log(`==> ${line}`)
function give_up(why) {
	console.error(`conformance: ${why}`)
	process.exit(2)
}

// --- installing ------------------------------------------------------------------------------------------------------------
function install() {
	mkdirSync(work, { recursive: true })
	for (const name of copied) copyFileSync(join(here, name), join(work, name))
	const hash = createHash("sha256")
	for (const name of ["package.json", "package-lock.json"]) hash.update(readFileSync(join(here, name)))
	const wanted = hash.update(process.platform + process.arch).digest("hex")
	const stamp = join(work, "installed")
	if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return
	rmSync(stamp, { force: true })
	say("installing the suite with npm, in build/conformance/streams")
	// No package's own scripts are run (nothing here needs them), and npm's cache is kept in build/ too.
	const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
	const cache = ["--cache", join(root, "build/conformance/npm")]
	const npm = spawnSync("npm", ["ci", ...flags, ...cache], { cwd: work, stdio: "inherit" })
	if (npm.error || npm.status !== 0) give_up(`npm ci failed (${npm.error?.message ?? `exit code ${npm.status}`})`)
	writeFileSync(stamp, wanted)
}

// --- the server ------------------------------------------------------------------------------------------------------------
class Server {
	// Resolves when it listens. Waits that do not say how long end after a second: some tests sit one out. Others come from
	// another origin.
	async start() {
		const data = join(work, "data")
		rmSync(data, { recursive: true, force: true })
		const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BIDE_")))
		const more = (process.env.BIDE_CONFORMANCE_FLAGS ?? "").split(" ").filter(Boolean)
		const flags = ["serve", "--data", data, "--http", "127.0.0.1:0", "--default-wait", "1s", "--cors-origin", "*", ...more]
		this.process = spawn(program, flags, { env, stdio: ["ignore", "pipe", openSync(diagnostics, "w")] })
		this.ended = new Promise((done) => {
			this.process.once("error", (error) => done(error.message))
			this.process.once("exit", (code, signal) => done(signal ?? `exit code ${code}`))
		})
		let said = ""
		const listening = new Promise((done) => {
			this.process.stdout?.setEncoding("utf8").on("data", (text) => {
				const found = /^listening http (\S+)$/m.exec((said += text))
				if (found) done({ url: `http://${found[1]}` })
			})
		})
		const ended = this.ended.then((how) => ({ how }))
		const outcome = await Promise.race([listening, ended, later(startMs, { how: "no sign of it in time" })])
		if (!outcome.url) {
			this.process.kill("SIGKILL")
			give_up(`${program} did not start: ${outcome.how}\n${readFileSync(diagnostics, "utf8")}`)
		}
		return outcome.url
	}

	// How it ended; nothing to remark: empty.
	async stop() {
		if (this.process.exitCode !== null || this.process.signalCode !== null) return `it ended by itself: ${await this.ended}`
		this.process.kill("SIGTERM")
		const how = await Promise.race([this.ended, later(stopMs, "late")])
		if (how !== "late") return how === "exit code 0" ? "" : `asked to stop, it ended with ${how}`
		this.process.kill("SIGKILL")
		return `asked to stop, it did not within ${stopMs / 1000} s, and was killed`
	}
}

const later = (ms, value) => new Promise((done) => setTimeout(done, ms, value).unref())

// --- judging ---------------------------------------------------------------------------------------------------------------
function not_yet_read() {
	const patterns = []
	readFileSync(join(here, "not-yet.txt"), "utf8").split("\n").forEach((line, i) => {
		if (!line.trim() || line.startsWith("#")) return
		const [text, reason, ...rest] = line.split("\t")
		if (!text || !reason?.trim() || rest.length) give_up(`not-yet.txt:${i + 1}: not PATTERN<TAB>REASON: ${line}`)
		const literal = text.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
		patterns.push({ text, reason, regex: new RegExp(`^${literal.join(".*")}$`, "s"), tests: [] })
	})
	return patterns
}

const count = (tests, state) => tests.filter((test) => test.state === state).length
const ran = (test) => test.state === "passed" || test.state === "failed"

// Prints the table and all that is wrong; returns how much that is. `strict`: a pattern too many is wrong as well.
function judge(results, patterns, strict) {
	for (const test of results.tests) {
		const fitting = patterns.filter((pattern) => pattern.regex.test(test.name))
		fitting.forEach((pattern) => pattern.tests.push(test))
		test.expected = fitting.length > 0
	}
	const wrong = [...results.errors]
	for (const { text, tests } of strict ? patterns : []) {
		const all = tests.every((test) => test.state === "passed")
		if (all) wrong.push(`not-yet.txt: ${tests.length ? `all ${tests.length} pass` : "fits no test"}, take it out: ${text}`)
	}
	if (!results.tests.some(ran)) wrong.push("no test ran")
	table(results.tests)
	const failed = results.tests.filter((test) => test.state === "failed")
	const real = failed.filter((test) => !test.expected), not_yet = results.tests.filter((test) => test.expected && ran(test))
	writeFileSync(failures, list("FAILED", real) + list("not yet", failed.filter((test) => test.expected)))
	if (real.length) {
		console.log("\nfailed:")
		for (const test of real) console.log(`  ${test.name}\n      ${(test.errors[0] ?? "").split("\n")[0]}`)
	}
	if (wrong.length) console.log(`\nwrong:\n${wrong.map((line) => `  ${line}`).join("\n")}`)
	const passed = count(results.tests, "passed"), left_out = results.tests.length - passed - failed.length
	if (failed.length) console.log(`\nnames and reasons: ${failures}`)
	console.log(
		`${passed} passed, ${real.length} failed, ${failed.length - real.length} not yet` +
			(left_out ? `, ${left_out} left out` : "") +
			`; of ${not_yet.length} that may fail, ${count(not_yet, "passed")} pass already`,
	)
	return real.length + wrong.length
}

function table(tests) {
	const blocks = new Map()
	for (const test of tests) {
		const name = test.name.split(" > ")[0]
		blocks.set(name, [...(blocks.get(name) ?? []), test])
	}
	console.log("\npassed failed not yet")
	for (const [name, members] of blocks) {
		if (!members.some(ran)) continue
		const failed = members.filter((test) => test.state === "failed"), real = failed.filter((test) => !test.expected).length
		const figures = [count(members, "passed"), real, failed.length - real]
		console.log(`${figures.map((n) => String(n || "·").padStart(6)).join(" ")}   ${name}`)
	}
}

const indented = (error) => error.replace(/^/gm, "\t") + "\n"
const list = (title, tests) =>
	tests.map((test) => `${title}\t${test.name}\n${test.errors.map(indented).join("")}`).join("")

// --- the run ---------------------------------------------------------------------------------------------------------------
const patterns = not_yet_read()
install()
for (const name of ["results.json", "failures.txt"]) rmSync(join(work, name), { force: true })

const server = process.env.BIDE_CONFORMANCE_URL ? null : new Server()
const url = server ? await server.start() : process.env.BIDE_CONFORMANCE_URL.replace(/\/+$/, "")
say(`against ${url}`)
const vitest = spawn(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)], {
	cwd: work,
	env: { ...process.env, CONFORMANCE_URL: url },
	stdio: ["ignore", "inherit", "inherit"],
})
let interrupted = false
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { interrupted = true; vitest.kill(signal) })
await new Promise((done) => vitest.once("close", done))
const ending = (await server?.stop()) ?? ""
if (interrupted) give_up("interrupted")
if (!existsSync(join(work, "results.json"))) give_up("vitest left no results")

const results = JSON.parse(readFileSync(join(work, "results.json"), "utf8"))
if (ending) results.errors.push(`the server: ${ending}; see ${diagnostics}`)
process.exitCode = judge(results, patterns, server !== null) ? 1 : 0
