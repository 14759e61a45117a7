// librdkafka's own test suite: every test that wants a broker, in full, each in a process of its own, some at the same time since
// they mostly wait; and those about groups once more with consumers to whom the server assigns partitions (KIP-848). It comes as its
// publishers pack it into an npm package, and is built in build/conformance/kafka/librdkafka.
//
// Idea: the suite's runner says of each test how it ended; what that is worth is decided here, with librdkafka-skip.txt beside. A
// test that did not pass and is not in there is wrong, whether it failed, ran out of time or was left out by the runner itself; so
// is one that is in there and passes. librdkafka-consumer-skip.txt has more for the second run, and librdkafka-consumer-sometimes.txt
// what may fail there, twice even, and may pass. Tests that need a broker which makes no topics by itself have a server of their own.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"

import { patterns_apply, patterns_read } from "../expected.mjs"
import { caches, Place } from "../install.mjs"
import { give_up, later, program, say, Server, start } from "../processes.mjs"
import { kafka_dist } from "./kafka-dist/kafka-dist.mjs"

const place = new Place("kafka")
const source = join(place.work, "librdkafka"), tests = join(source, "tests")
const kafka_path = join(place.work, "kafka-path") // as if Kafka had been unpacked there: bin/kafka-topics.sh
const pinned = JSON.parse(readFileSync(join(place.here, "librdkafka.json"), "utf8"))
const at_once = 4, withinMs = 300_000
// What the runner is told the broker is. 4.0 takes no record formats but the newest, as bide; what is younger is not offered.
const version = "4.0.0"
const scenarios = { default: [], noautocreate: ["--auto-create-topics", "no"] }
// Run part by part: not everything applies, or it takes long.
const in_parts = {
	"0045_": "0045-subscribe_update.c", "0081_admin": "0081-admin.c",
	"0113_cooperative_rebalance": "0113-cooperative_rebalance.cpp",
}

// --- installing ------------------------------------------------------------------------------------------------------------
function unpack() {
	const flags = ["--silent", "--cache", join(caches, "npm"), "--pack-destination", place.work]
	place.run("npm", ["pack", `${pinned.package}@${pinned.version}`, ...flags])
	const name = `${pinned.package.replace("@", "").replace("/", "-")}-${pinned.version}.tgz`, tarball = join(place.work, name)
	const digest = createHash("sha512").update(readFileSync(tarball)).digest("base64")
	if (`sha512-${digest}` !== pinned.integrity) give_up(`${tarball} is not what librdkafka.json says: sha512-${digest}`)
	rmSync(source, { recursive: true, force: true })
	mkdirSync(source)
	place.run("tar", ["-xzf", tarball, "--strip-components=3", "-C", source, "package/deps/librdkafka"])
	rmSync(tarball)
}

function run_there(...command) {
	const diagnostics = join(place.work, "librdkafka-build.stderr"), stdio = ["ignore", "ignore", openSync(diagnostics, "w")]
	const { status } = spawnSync(command[0], command.slice(1), { cwd: source, stdio, env: { ...process.env, KAFKA_PATH: kafka_path } })
	if (status !== 0) give_up(`librdkafka: ${command.join(" ")} failed; see ${diagnostics}`)
}

function build() {
	const jobs = `-j${availableParallelism()}`
	run_there("./configure", "--disable-gssapi", "--disable-curl")
	run_there("make", jobs, "libs")
	run_there("make", "-C", "tests", jobs, "test-runner")
}

function install() {
	place.once("installed-librdkafka", ["librdkafka.json"], () => {
		say(`librdkafka ${pinned.librdkafka} from ${pinned.package}, built in ${source}: this takes two minutes`)
		unpack()
		build()
	})
	mkdirSync(join(kafka_path, "bin"), { recursive: true })
	for (const name of ["kafka-topics.sh", "kafka-run-class.sh"]) {
		copyFileSync(join(place.here, name), join(kafka_path, "bin", name))
		chmodSync(join(kafka_path, "bin", name), 0o755)
	}
	rmSync(join(kafka_path, "libs"), { force: true })
	symlinkSync(kafka_dist(), join(kafka_path, "libs"))
	run_there("make", "-C", "tests/java")
}

// --- the tests --------------------------------------------------------------------------------------------------------------
// The runner's table: which tests there are, and what broker they want.
function listed() {
	const table = readFileSync(join(tests, "test.c"), "utf8").split("struct test tests[]")[1].split("struct test ")[0]
	const entries = [...table.matchAll(/_TEST\((\w+),([^;]*?)(?=_TEST\(|\{NULL\})/g)]
	const found = entries.map(([, name, rest]) => {
		const scenario = /\.scenario = "(\w+)/.exec(rest)?.[1] ?? "default"
		return { name, number: name.slice(0, 4), scenario, local: rest.includes("TEST_F_LOCAL"), manual: rest.includes("TEST_F_MANUAL") }
	})
	if (found.length < 100) give_up(`${tests}/test.c: its table of tests reads otherwise than expected`)
	// Those named so bring a broker of their own, as do those that are said to be local.
	return found.filter(({ name, local, manual }) => !local && !manual && !name.endsWith("_mock"))
}

// Their parts, where a test is to be run part by part: the functions that say of themselves that they are one.
function parts(name, file) {
	const text = readFileSync(join(tests, file), "utf8")
	const functions = [...text.matchAll(/^(?:static )?void\s+(\w+)\(([\s\S]*?)^\}/gm)]
	const found = functions.filter(([, , body]) => /\bSUB_TEST(_QUICK)?\(/.test(body)).map(([, part]) => part)
	if (!found.length) give_up(`${tests}/${file}: its parts read otherwise than expected`)
	return [...new Set(found)].map((part) => ({ name: `${name} ${part}`, part }))
}

// In which the kind of group matters.
const about_groups = new Set(
	("0018 0019 0022 0026 0030 0033 0034 0045 0049 0050 0051 0056 0061 0069 0081 0084 0089 0091 0093 0098 0102 0103 0107 0109 0112 " +
		"0113 0118 0122 0127 0130 0132 0137 0140").split(" "),
)

// What runs together in one process: tests of one number, or a part of one.
function grouped(wanted) {
	const groups = new Map()
	for (const test of wanted) {
		const file = Object.entries(in_parts).find(([name]) => test.name.startsWith(name))?.[1]
		const cut = file ? parts(test.name, file) : [{ name: test.name }]
		for (const { name, part = "" } of cut) {
			const key = `${test.number} ${test.scenario} ${part}`
			const group = groups.get(key) ?? { number: test.number, scenario: test.scenario, part, names: [] }
			group.names.push(name)
			groups.set(key, group)
		}
	}
	// What takes long begins first.
	return [...groups.values()].sort((a, b) => (b.part !== "") - (a.part !== ""))
}

const plain = (text) => text.replace(/\x1b\[[0-9;]*m/g, "")

// How a test ended, from the runner's closing table; undefined: it did not.
function ending(text, name, part) {
	const row = new RegExp(`^\\| ${name.split(" ")[0]} +\\| +(\\w+) \\| +([0-9.]+)s \\|(.*)$`, "m").exec(text)
	if (!row || row[1] === "RUNNING") return undefined
	const ended = { name, state: row[1], seconds: Number(row[2]), why: row[3].trim() }
	return part && ended.state === "PASSED" ? ending_of_part(text, part, ended) : ended
}

// Functions that the test does not call, or not in this form, are no parts of it: null.
function ending_of_part(text, part, ended) {
	const test = ended.name.split(" ")[0]
	const said = [...text.matchAll(new RegExp(`^\\[${test} *[/].*\\[ ${part}:.*: (PASS \\(|SKIP: (.*))`, "gm"))]
	if (!said.length) return null
	return said.some(([, how]) => how === "PASS (") ? ended : { ...ended, state: "SKIPPED", why: said[0][2] }
}

// A test that fails ends the runner then and there: what it said of it.
function failure(text) {
	const lines = text.split("\n"), at = lines.findIndex((line) => /TEST FAILURE/.test(line))
	return at < 0 ? undefined : lines.slice(at + 1, at + 3).join(" ").trim()
}

async function run_group({ number, scenario, part, names }, { server, out, flags, protocol }) {
	const said = join(out, `${[number, scenario, part].filter(Boolean).join("-")}.txt`)
	const env = {
		...process.env, ...(part && { SUBTESTS: `${part}:` }), TEST_CONSUMER_GROUP_PROTOCOL: protocol,
		LD_LIBRARY_PATH: `${source}/src:${source}/src-cpp`,
		TESTS: number, TEST_KAFKA_VERSION: version, TEST_SCENARIO: scenario, RDKAFKA_TEST_CONF: join(out, `${scenario}.conf`),
		KAFKA_PATH: kafka_path, BROKERS: server.broker, BIDE: program, BIDE_SERVER: server.url,
	}
	const child = start(join(tests, "test-runner"), ["-p1", "-L", ...flags], { cwd: tests, env, diagnostics: said, all: true })
	const how = await Promise.race([child.ended, later(withinMs, "late")])
	if (how === "late") child.kill("SIGKILL")
	const text = plain(readFileSync(said, "utf8"))
	const why = how === "late" ? `no end within ${withinMs / 1000} s` : (failure(text) ?? how)
	const ended = names.map((name) => {
		const how_it_ended = ending(text, name, part)
		if (how_it_ended !== undefined) return how_it_ended
		// Where tests of one number share the parts, the one that failed is named.
		const failed = part && /### Test "(\w+)/.exec(why)?.[1]
		return failed && failed !== name.split(" ")[0] ? null : { name, state: "FAILED", seconds: 0, why }
	})
	return ended.filter(Boolean).map((test) => ({ ...test, said }))
}

// --- the run ---------------------------------------------------------------------------------------------------------------
// Numbers of tests, and flags for the runner, as -P, which makes all producers idempotent, or -Q, which is quicker.
async function run(way, args) {
	const { name, protocol, only } = way, out = join(place.work, `${name}-out`)
	const flags = args.filter((arg) => arg.startsWith("-")), numbers = args.filter((arg) => !arg.startsWith("-"))
	rmSync(out, { recursive: true, force: true })
	mkdirSync(out, { recursive: true })
	for (const name of readdirSync(tests)) if (/^stats_.*\.json$/.test(name)) rmSync(join(tests, name))
	const wanted = listed().filter(({ number }) => (numbers.length ? numbers.includes(number) : !only || only.has(number)))
	if (!wanted.length) give_up(`no such test: ${args.join(" ")}`)
	const servers = {}
	for (const [scenario, flags] of Object.entries(scenarios)) {
		servers[scenario] = new Server(join(out, scenario), [...way.flags, ...flags], { kafka: true })
		await servers[scenario].start()
		writeFileSync(join(out, `${scenario}.conf`), `test.topic.random=true\nbootstrap.servers=${servers[scenario].broker}\n`)
	}

	const run_one = (group) => run_group(group, { server: servers[group.scenario], out, flags, protocol })
	const groups = grouped(wanted), results = expected({ ...way, sometimes: [] }, await all_of(groups, at_once, run_one))
	// What looked at the time may have been late for what ran beside, and some fail once in a while: again, alone.
	const again = groups.filter(({ names }) => results.some(({ name, wrong }) => wrong && names.includes(name)))
	const second = expected(way, await all_of(again, 1, run_one))
	const ended = results.map((test) => second.find(({ name }) => name === test.name) ?? test)
	const twice = ended.filter((_, i) => results[i].wrong), names = (tests) => tests.map(({ name }) => name).join(", ")
	const late = names(twice.filter(({ passed }) => passed))
	const unlucky = names(twice.filter(({ passed, wrong }) => !passed && !wrong))
	const endings = [await servers.default.stop(), await servers.noautocreate.stop()].filter(Boolean)
	return judge(way, { ended, endings, late, unlucky, out, strict: !args.length })
}

async function all_of(groups, at_once, run_one) {
	const left = [...groups], results = []
	const worker = async () => {
		for (let group; (group = left.shift()); ) {
			const ended = await run_one(group)
			process.stdout.write(ended.map(({ state }) => ({ PASSED: ".", SKIPPED: "-" })[state] ?? "x").join(""))
			results.push(...ended)
		}
	}
	await Promise.all(Array.from({ length: at_once }, worker))
	return results.sort((a, b) => (a.name < b.name ? -1 : 1))
}

// Which of them are wrong, by the lists.
function expected({ skip, sometimes = [] }, results) {
	const read = (names, always) => names.flatMap((name) => patterns_read(join(place.here, name), always))
	const patterns = [...read(skip, true), ...read(sometimes, false)], own = [skip.at(-1), ...sometimes]
	results.forEach((test) => (test.passed = test.state === "PASSED"))
	// What a list says that others have, too, need not fit here.
	results.remarks = patterns_apply(patterns, results).filter((remark) => own.some((name) => remark.startsWith(`${name}:`)))
	results.forEach((test) => (test.wrong = !test.passed && !test.expected))
	return results
}

function judge(way, { ended, endings, late, unlucky, out, strict }) {
	const { remarks } = expected(way, ended), surprising = ended.filter((test) => test.wrong)
	const wrong = [...endings, ...(strict ? remarks : [])]
	for (const { name, state, why, said } of surprising) wrong.push(`${name}: ${state.toLowerCase()}: ${why}\n      ${said}`)
	const line = ({ name, state, seconds, why }) => `${state.padEnd(7)} ${seconds.toFixed(1).padStart(6)} s  ${name}  ${why}\n`
	writeFileSync(join(out, "results.txt"), ended.map(line).join(""))
	const passed = ended.filter((test) => test.passed).length, skipped = ended.length - passed - surprising.length
	const notes = [late && `only when they ran alone: ${late}`, unlucky && `failed twice, as they may: ${unlucky}`]
	const note = [`version ${pinned.librdkafka}`, ...notes].filter(Boolean).join("; ")
	return { passed, failed: surprising.length, skipped, wrong, note }
}

const way = (way) => ({ ...way, install, run: (args) => run(way, args) })
// Some count rebalances, and start several members at once: a group's first member waits for more, as with Kafka's own settings.
// Others set a session timeout, which with the new protocol is the server's.
const classic_flags = ["--group-initial-delay", "1s"]
const consumer_flags = ["--group-consumer-session-timeout", "6s", "--group-consumer-heartbeat-interval", "3s"]
export const librdkafka = [
	way({ name: "librdkafka", title: "librdkafka's own suite", protocol: "classic", flags: classic_flags, skip: ["librdkafka-skip.txt"] }),
	way({
		name: "librdkafka-consumer", title: "librdkafka's own suite, group.protocol=consumer", protocol: "consumer", only: about_groups,
		flags: consumer_flags, skip: ["librdkafka-skip.txt", "librdkafka-consumer-skip.txt"],
		sometimes: ["librdkafka-consumer-sometimes.txt"],
	}),
]
