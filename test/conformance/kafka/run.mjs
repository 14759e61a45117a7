// run.mjs [--only WAY,…] [ARG…]: the Kafka door, judged by what others wrote; `./dev conformance kafka` builds the program and then
// runs this. Each way has servers of its own.
//
// Idea: a way is { name, title, install(), run(args) }. `install` brings what it needs, in build/conformance/kafka, once, and gives up
// if it cannot. `run` resolves to { passed, failed, skipped, wrong, note }: counts, what is wrong a line each, and what is to be told
// in the table. `extra`: only where it is asked for. Ways run one after the other, since some measure time. Arguments are for the
// only way that is asked for.
//   BIDE_BIN=PATH               another program than build/release/bide
//   BIDE_CONFORMANCE_FLAGS=…    more flags for the server, separated by blanks
// Exit code: 0 as expected, 1 not, 2 the run itself did not come about.
import { give_up, say } from "../processes.mjs"
import { clients, clients_table, quick } from "./clients.mjs"
import { librdkafka } from "./rdkafka.mjs"

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => give_up("interrupted"))

// --- what is asked for -----------------------------------------------------------------------------------------------------
const ways = [...librdkafka, ...clients, quick]
const args = process.argv.slice(2)
let wanted = ways.filter(({ extra }) => !extra)
if (args[0] === "--only") {
	wanted = (args[1] ?? "").split(",").map((name) => {
		const names = ways.map((way) => way.name).join(", ")
		return ways.find((way) => way.name === name) ?? give_up(`no such way: ${name}; there are ${names}`)
	})
	args.splice(0, 2)
}
if (args.length && wanted.length > 1) give_up("arguments are for one way: --only WAY ARG…")

// --- the runs --------------------------------------------------------------------------------------------------------------
for (const way of wanted) await way.install()
const rows = []
for (const way of wanted) {
	say(way.title)
	const began = Date.now()
	const outcome = await way.run(args)
	rows.push({ name: way.name, title: way.title, ...outcome, seconds: (Date.now() - began) / 1000 })
	console.log()
}

// --- what they are worth ---------------------------------------------------------------------------------------------------
for (const { title, wrong } of rows) {
	if (wrong.length) console.log(`\n${title}:\n${wrong.map((line) => `  ${line}`).join("\n")}`)
}
clients_table(rows)
console.log("\npassed failed skipped seconds")
for (const { title, note, seconds, ...row } of rows) {
	const figures = [row.passed, row.failed, row.skipped].map((n) => String(n || "·").padStart(6))
	console.log(`${figures.join(" ")} ${seconds.toFixed(0).padStart(8)}   ${title}${note ? `: ${note}` : ""}`)
}
process.exitCode = rows.some(({ wrong }) => wrong.length) ? 1 : 0
