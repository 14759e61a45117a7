// librdkafka's own test suite: every test that wants a broker, in full, each in a process of its own, some at the same time since
// they mostly wait. It comes as its publishers pack it into an npm package, and is built in build/conformance/kafka/librdkafka.
//
// Idea: the suite's runner says of each test how it ended; what that is worth is decided here, with librdkafka-skip.txt beside. A
// test that did not pass and is not in there is wrong, whether it failed, ran out of time or was left out by the runner itself; so
// is one that is in there and passes. Tests that need a broker which makes no topics by itself have a server of their own.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"

import { patterns_apply, patterns_read } from "../expected.mjs"
import { caches, Place } from "../install.mjs"
import { give_up, later, program, say, Server, start } from "../processes.mjs"

const place = new Place("kafka")
const source = join(place.work, "librdkafka"), tests = join(source, "tests"), out = join(place.work, "librdkafka-out")
const kafka_path = join(place.work, "kafka-path") // as if Kafka had been unpacked there: bin/kafka-topics.sh
const pinned = JSON.parse(readFileSync(join(place.here, "librdkafka.json"), "utf8"))
const at_once = 4, withinMs = 300_000
// What the runner is told the broker is: what it leaves out for older and younger ones follows from that.
const version = "3.9.0"

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

function build() {
	const diagnostics = join(place.work, "librdkafka-build.stderr"), stdio = ["ignore", "ignore", openSync(diagnostics, "w")]
	const run = (...command) => {
		const { status } = spawnSync(command[0], command.slice(1), { cwd: source, stdio })
		if (status !== 0) give_up(`librdkafka: ${command.join(" ")} failed; see ${diagnostics}`)
	}
	const jobs = `-j${availableParallelism()}`
	run("./configure", "--disable-gssapi", "--disable-curl")
	run("make", jobs, "libs")
	run("make", "-C", "tests", jobs, "test-runner")
}

function install() {
	place.once("installed-librdkafka", ["librdkafka.json"], () => {
		say(`librdkafka ${pinned.librdkafka} from ${pinned.package}, built in ${source}: this takes two minutes`)
		unpack()
		build()
	})
	mkdirSync(join(kafka_path, "bin"), { recursive: true })
	copyFileSync(join(place.here, "kafka-topics.sh"), join(kafka_path, "bin/kafka-topics.sh"))
	chmodSync(join(kafka_path, "bin/kafka-topics.sh"), 0o755)
}

// --- one test --------------------------------------------------------------------------------------------------------------
// The runner's table: which tests there are, and where.
function listed() {
	const table = readFileSync(join(tests, "test.c"), "utf8").split("struct test tests[]")[1].split("struct test ")[0]
	const entries = [...table.matchAll(/_TEST\((\w+),([^;]*?)(?=_TEST\(|\{NULL\})/g)]
	const found = entries.map(([, name, rest]) => {
		const scenario = /\.scenario = "(\w+)/.exec(rest)?.[1] ?? "default"
		return { name, number: name.slice(0, 4), scenario, local: rest.includes("TEST_F_LOCAL"), manual: rest.includes("TEST_F_MANUAL") }
	})
	if (found.length < 100) give_up(`${tests}/test.c: its table of tests reads otherwise than expected`)
	return found.filter(({ local, manual }) => !local && !manual)
}

const plain = (text) => text.replace(/\x1b\[[0-9;]*m/g, "")

// How each test of this number ended, from the runner's closing table.
function outcomes(said, wanted) {
	return wanted.map(({ name }) => {
		const row = new RegExp(`^\\| ${name} +\\| +(\\w+) \\| +([0-9.]+)s \\|(.*)$`, "m").exec(said)
		return row && { name, state: row[1], seconds: Number(row[2]), why: row[3].trim() }
	})
}

// Tests of one number run in one process.
function grouped(wanted) {
	const groups = new Map()
	for (const test of wanted) {
		const key = `${test.number} ${test.scenario}`
		groups.set(key, [...(groups.get(key) ?? []), test])
	}
	return [...groups.values()]
}

async function run_group(wanted, server) {
	const { number, scenario } = wanted[0]
	const conf = join(out, `${scenario}.conf`), said = join(out, `${number}-${scenario}.txt`)
	const env = {
		...process.env,
		LD_LIBRARY_PATH: `${source}/src:${source}/src-cpp`,
		TESTS: number, TEST_KAFKA_VERSION: version, TEST_SCENARIO: scenario, RDKAFKA_TEST_CONF: conf,
		KAFKA_PATH: kafka_path, BROKERS: server.broker, BIDE: program, BIDE_SERVER: server.url,
	}
	const child = start(join(tests, "test-runner"), ["-p1", "-L"], { cwd: tests, env, diagnostics: said, all: true })
	const how = await Promise.race([child.ended, later(withinMs, "late")])
	if (how === "late") child.kill("SIGKILL")
	const text = plain(readFileSync(said, "utf8"))
	const ended = outcomes(text, wanted)
	return wanted.map(({ name }, i) => {
		if (ended[i] && ended[i].state !== "RUNNING") return { ...ended[i], said }
		const why = how === "late" ? `no end within ${withinMs / 1000} s` : (failure(text) ?? how)
		return { name, state: "FAILED", seconds: 0, why, said }
	})
}

// A test that fails ends the runner then and there: the last that it said of a failure.
function failure(text) {
	const lines = text.split("\n")
	const at = lines.findLastIndex((line) => /TEST FAILURE/.test(line))
	return at < 0 ? undefined : lines.slice(at + 1, at + 3).join(" ").trim()
}

// --- the run ---------------------------------------------------------------------------------------------------------------
async function run(args) {
	rmSync(out, { recursive: true, force: true })
	mkdirSync(out, { recursive: true })
	for (const name of readdirSync(tests)) if (/^stats_.*\.json$/.test(name)) rmSync(join(tests, name))
	const wanted = listed().filter(({ number }) => !args.length || args.includes(number))
	if (!wanted.length) give_up(`no such test: ${args.join(" ")}`)
	const servers = {}
	for (const [scenario, flags] of [["default", []], ["noautocreate", ["--auto-create-topics", "no"]]]) {
		servers[scenario] = new Server(join(out, scenario), flags, { kafka: true })
		await servers[scenario].start()
		writeFileSync(join(out, `${scenario}.conf`), `test.topic.random=true\nbootstrap.servers=${servers[scenario].broker}\n`)
	}

	const groups = grouped(wanted), results = []
	const worker = async () => {
		for (let group; (group = groups.shift()); ) {
			const ended = await run_group(group, servers[group[0].scenario])
			process.stdout.write(ended.map(({ state }) => ({ PASSED: ".", SKIPPED: "-" })[state] ?? "x").join(""))
			results.push(...ended)
		}
	}
	await Promise.all(Array.from({ length: at_once }, worker))
	const endings = [await servers.default.stop(), await servers.noautocreate.stop()].filter(Boolean)
	return judge(results, endings, !args.length)
}

function judge(results, endings, strict) {
	results.sort((a, b) => (a.name < b.name ? -1 : 1))
	results.forEach((test) => (test.passed = test.state === "PASSED"))
	const remarks = patterns_apply(patterns_read(join(place.here, "librdkafka-skip.txt")), results)
	const surprising = results.filter(({ passed, expected }) => !passed && !expected)
	const wrong = [...endings, ...(strict ? remarks : [])]
	for (const { name, state, why, said } of surprising) wrong.push(`${name}: ${state.toLowerCase()}: ${why}\n      ${said}`)
	const line = ({ name, state, seconds, why }) => `${state.padEnd(7)} ${seconds.toFixed(1).padStart(6)} s  ${name}  ${why}\n`
	writeFileSync(join(out, "results.txt"), results.map(line).join(""))
	const passed = results.filter((test) => test.passed).length
	return { passed, failed: surprising.length, skipped: results.length - passed - surprising.length, wrong, note: `version ${pinned.librdkafka}` }
}

export const librdkafka = { name: "librdkafka", title: "librdkafka's own suite", install, run }
