// kcat.mjs HOST:PORT PREFIX [CHECK…]: kcat, as Debian has it, against the server there. What is checked, and how it is told: see
// node/tap.mjs.
import { spawn, spawnSync } from "node:child_process"
import { createInterface } from "node:readline"

import { TIME, equal, main } from "./node/tap.mjs"

const RECORDS = 300

function run(args, input) {
	const { status, stdout, stderr } = spawnSync("kcat", args, { input, encoding: "utf8", timeout: 50_000 })
	equal(status, 0, `kcat ${args.join(" ")}: ${stderr}`)
	return stdout
}

function checks(server, prefix) {
	const kcat = (args, input) => run(["-b", server, "-q", ...args], input)
	const made = (name) => `${prefix}-${name}`
	const lines = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

	// Keys, headers and values, as text; times are the producer's.
	function there_and_back(name, ...flags) {
		const topic = made(name), sent = lines(0, RECORDS).map((n) => `key ${n}\t${`value of ${n} `.repeat(n % 50)}.`)
		kcat(["-P", "-t", topic, "-K", "\t", "-H", "a=1", "-H", "b=", ...flags], `${sent.join("\n")}\n`)
		const said = kcat(["-C", "-t", topic, "-e", "-f", "%p %o %h %k\t%s\n"]).trimEnd().split("\n")
		const came = said.map((line) => /^(\d+) (\d+) (\S*) (.*)$/.exec(line))
		equal(came.map((found) => found[4]).sort(), [...sent].sort(), "records")
		equal([...new Set(came.map((found) => found[3]))], ["a=1,b="], "headers")
		const next = {}
		for (const [, partition, offset] of came) equal(Number(offset), (next[partition] = (next[partition] ?? -1) + 1), "offset")
	}

	function topic() {
		kcat(["-P", "-t", made("topic")], "x\n")
		const { brokers, topics } = JSON.parse(kcat(["-L", "-J", "-t", made("topic")]))
		equal([brokers.length, topics[0].topic, topics[0].partitions.length], [1, made("topic"), 4], "brokers, its name, its partitions")
	}

	function offsets() {
		const topic = made("offsets"), before = Date.now()
		kcat(["-P", "-t", topic, "-p", "0"], `${lines(0, 20).join("\n")}\n`)
		const offset = (time) => Number(/offset (-?\d+)/.exec(kcat(["-Q", "-t", `${topic}:0:${time}`]))[1])
		equal([offset(-2), offset(-1), offset(TIME), offset(before)], [0, 20, 0, 0], "earliest, latest, by times")
		equal(kcat(["-C", "-t", topic, "-p", "0", "-o", "-3", "-e"]), "17\n18\n19\n", "the last three")
	}

	// Until it has written `count` lines; then it is asked to stop, and what it has read it has committed.
	function balanced(group, topic, counts) {
		const flags = ["-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=300"]
		const child = spawn("kcat", ["-b", server, "-u", "-G", group, ...flags, topic])
		const member = { numbers: [], has: "", ended: new Promise((done) => child.once("close", done)), end: () => child.kill("SIGTERM") }
		createInterface(child.stdout).on("line", (line) => counts.heard(member.numbers.push(Number(line))))
		createInterface(child.stderr).on("line", (line) => {
			const found = /rebalanced \(memberid [^)]*\): (assigned|revoked)(.*)$/.exec(line)
			if (found) counts.heard((member.has = found[1] === "assigned" ? [...found[2].matchAll(/\[\d+\]/g)].length : 0))
		})
		return member
	}

	async function group() {
		const name = made("group"), waiting = new Set()
		const counts = { heard: () => waiting.forEach((look) => look()) }
		const until = (condition) => new Promise((done) => {
			const look = () => condition() && (waiting.delete(look), done())
			waiting.add(look)
			look()
		})
		let sent = 0
		// To each partition as many: left to itself the client puts a thousand into one, and its member alone has something to read.
		const send = (n) => ["0", "1", "2", "3"].forEach((partition) =>
			kcat(["-P", "-t", name, "-p", partition], `${lines(sent, (sent += n / 4)).join("\n")}\n`))
		const read = () => new Set([...first.numbers, ...(second?.numbers ?? [])]).size
		send(1000)
		let second
		const first = balanced(name, name, counts)
		await until(() => read() === sent)
		second = balanced(name, name, counts)
		await until(() => first.has === 2 && second.has === 2)
		send(1000)
		await until(() => read() === sent && second.numbers.length)
		first.end()
		await first.ended
		await until(() => second.has === 4)
		send(1000)
		await until(() => read() === sent)
		second.end()
		await second.ended
		equal(first.numbers.length + second.numbers.length, sent, "records read")
	}

	function resume() {
		const name = made("resume"), member = (count) => kcat(["-G", name, "-X", "auto.offset.reset=earliest", "-c", `${count}`, name])
		kcat(["-P", "-t", name, "-p", "0"], `${lines(0, 100).join("\n")}\n`)
		equal(member(50).trimEnd().split("\n"), lines(0, 50), "read")
		equal(member(50).trimEnd().split("\n"), lines(50, 100), "read later")
	}

	const codecs = ["gzip", "snappy", "lz4", "zstd"].map((name) => [name, () => there_and_back(name, "-z", name)])
	return {
		topic,
		none: () => there_and_back("none"),
		...Object.fromEntries(codecs),
		idempotent: () => there_and_back("idempotent", "-X", "enable.idempotence=true"),
		"acks=1": () => there_and_back("acks", "-X", "acks=1"),
		resume, group, offsets,
	}
}

const found = spawnSync("kcat", ["-V"], { encoding: "utf8" }).stdout ?? ""
main(/Version (\S+)/.exec(found)?.[1] + ` with librdkafka ${/librdkafka (\S+)/.exec(found)?.[1]}`, checks)
