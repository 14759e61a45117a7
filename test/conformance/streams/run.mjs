// run.mjs [--only WAY,…] [VITEST-ARG…]: streams, judged by what others wrote; `./dev conformance streams` builds the program and
// then runs this. Each way has a server of its own:
//   direct  the public suite of the Durable Streams protocol
//   proxy   the same through nginx as a reverse proxy, with its default settings
//   cache   the same through nginx with a cache that collapses requests, and what it does to many who wait (cache.mjs)
//   npm     the published client for JavaScript: cut off at random, the server killed (clients.mjs)
//   pypi    the published client for Python, likewise
//
// Idea: everything is copied to build/conformance/streams and installed there by lock files, so that nothing outside build/ is
// written. Suites run at the same time, since they mostly wait. Arguments for vitest (-t PATTERN) leave out all but the suites.
//   BIDE_BIN=PATH               another program than build/release/bide
//   BIDE_CONFORMANCE_URL=URL    a server that runs already, ours or another: the suite alone, directly, and what not-yet.txt says
//                               too much is no fault
//   BIDE_CONFORMANCE_FLAGS=…    more flags for the server, separated by blanks
// Exit code: 0 as expected, 1 not, 2 the run itself did not come about.
import { give_up, say } from "../processes.mjs"
import { cache } from "./cache.mjs"
import { clients } from "./clients.mjs"
import { install_node, install_python } from "./install.mjs"
import { blocks_table, suite } from "./suite.mjs"

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => give_up("interrupted"))

// --- what is asked for -----------------------------------------------------------------------------------------------------
const ways = ["direct", "proxy", "cache", "npm", "pypi"]
const args = process.argv.slice(2)
let wanted = ways
if (args[0] === "--only") {
	wanted = (args[1] ?? "").split(",")
	args.splice(0, 2)
	for (const way of wanted) if (!ways.includes(way)) give_up(`no such way: ${way}; there are ${ways.join(", ")}`)
}
const url = process.env.BIDE_CONFORMANCE_URL?.replace(/\/+$/, "")
if (url) wanted = ["direct"]
const wants = (way) => wanted.includes(way)

// --- the runs --------------------------------------------------------------------------------------------------------------
const rows = []
async function run(title, running) {
	const began = Date.now()
	rows.push({ title, ...(await running), seconds: (Date.now() - began) / 1000 })
}

install_node()
if (wants("pypi") && !args.length) install_python()

const suites = ["direct", "proxy", "cache"].filter(wants)
if (suites.length) say(`the public suite${url ? `, against ${url}` : ""}: ${suites.join(", ")}`)
await Promise.all([
	wants("direct") && run("the public suite", suite("direct", args, url)),
	wants("proxy") && run("the public suite, through nginx", suite("proxy", args)),
	wants("cache") && run("the public suite, through nginx with a cache", suite("cache", args)),
])
if (!args.length && !url) {
	if (suites.length) console.log()
	say("readers behind a cache, and published clients on a network that breaks, at a server that is killed")
	await Promise.all([
		wants("cache") && run("many readers behind a cache that collapses", cache()),
		wants("npm") && run("the published client, npm", clients("npm")),
		wants("pypi") && run("the published client, PyPI", clients("pypi")),
	])
}
console.log()

// --- what they are worth ---------------------------------------------------------------------------------------------------
if (wanted.length === 1 && rows[0]?.tests) blocks_table(rows[0].tests)
for (const { title, wrong } of rows) {
	if (wrong.length) console.log(`\n${title}:\n${wrong.map((line) => `  ${line}`).join("\n")}`)
}
console.log("\npassed failed not yet seconds")
for (const { title, note, seconds, ...row } of rows) {
	const figures = [row.passed, row.failed, row.not_yet].map((n) => String(n || "·").padStart(6))
	console.log(`${figures.join(" ")} ${seconds.toFixed(0).padStart(8)}   ${title}${note ? `: ${note}` : ""}`)
}
process.exitCode = rows.some(({ wrong }) => wrong.length) ? 1 : 0
