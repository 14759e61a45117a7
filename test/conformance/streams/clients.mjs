// The published clients on a network that breaks: one writes, two follow (long polls, events), all through a relay that cuts
// connections after some bytes, in a request or in an answer; and the server is killed and started again in between. What they do
// about it is the clients' own (client.mjs, client.py); here the records that the followers print are held against those that were
// written: every one, once, in order.
import { connect, createServer } from "node:net"
import { join } from "node:path"

import { chance, later, Server, start } from "../processes.mjs"
import { here, python, work } from "./install.mjs"

const KILLS = 3, withinMs = 120_000
const programs = {
	npm: { command: [process.execPath, join(work, "client.mjs")], records: 800 },
	pypi: { command: [python, "-B", join(here, "client.py")], records: 240 },
}

// Stands before a server and breaks every connection once so many bytes have passed, either way. `port`: to ask.
class Relay {
	constructor(target) {
		this.cuts = 0
		this.server = createServer((client) => this.pass(client, connect(target, "127.0.0.1")))
	}

	start() {
		return new Promise((done) => this.server.listen(0, "127.0.0.1", () => done(this.server.address().port)))
	}

	pass(client, server) {
		// From within a head to beyond all there is: whatever is too long for one connection gets through another.
		let left = Math.floor(200 * Math.exp(Math.random() * Math.log(500)))
		const end = () => (client.destroy(), server.destroy())
		const cut = () => {
			this.cuts++
			// One side hears of it politely, as when a proxy leaves, or rudely.
			chance(2) ? client.end() : client.resetAndDestroy()
			server.destroy()
		}
		const forward = (to) => (data) => {
			to.write(data.subarray(0, left))
			left -= data.length
			if (left <= 0) cut()
		}
		client.on("data", forward(server)).on("close", end).on("error", end)
		server.on("data", forward(client)).on("close", end).on("error", end)
	}
}

// One of a client's roles. `records` are the numbers it has printed, one a line.
class Player {
	constructor(which, what, args, out) {
		const [command, ...first] = programs[which].command
		Object.assign(this, { what, records: [], wanted: programs[which].records, how: "" })
		this.process = start(command, [...first, ...args, this.wanted], { diagnostics: join(out, `${args[0]}.stderr`) })
		let rest = ""
		this.process.stdout.setEncoding("utf8").on("data", (text) => {
			const lines = (rest + text).split("\n")
			rest = lines.pop()
			this.records.push(...lines.map(Number))
		})
		this.process.ended.then((how) => (this.how = how))
	}

	// What is wrong with it; nothing: empty.
	verdict() {
		if (this.how !== "exit code 0") return `${this.what}: ended with ${this.how || "no end"}, ${this.records.length} records`
		return numbered(this.what, this.records, this.wanted)
	}
}

function numbered(what, records, wanted) {
	const wrong = records.findIndex((n, i) => n !== i)
	if (wrong < 0 && records.length === wanted) return ""
	return wrong < 0 ? `${what}: ${records.length} of ${wanted} records` : `${what}: ${records[wrong]} stands where ${wrong} should`
}

export async function clients(which) {
	const out = join(work, which)
	const server = new Server(out, ["--default-wait", "2s"])
	await server.start()
	const relay = new Relay(server.ports.http)
	const port = await relay.start(), url = `http://127.0.0.1:${port}/v1/stream/x`
	const write = new Player(which, "the writer", ["write", url], out)
	const follow = ["long-poll", "sse"].map((mode) => new Player(which, `the follower by ${mode}`, [mode, url], out))
	const end = Date.now() + withinMs, players = [write, ...follow]

	for (let kills = 1; kills <= KILLS; kills++) {
		const seen = () => Math.min(...follow.map(({ records }) => records.length))
		while (seen() < (write.wanted * kills) / (KILLS + 1) && !players.some(({ how }) => how && how !== "exit code 0")) {
			if (Date.now() > end) break
			await later(2)
		}
		await server.kill()
		await server.start()
	}
	await Promise.race([Promise.all(players.map(({ process }) => process.ended)), later(end - Date.now())])
	players.forEach(({ process }) => process.kill("SIGKILL"))
	relay.server.close()

	const stored = (await (await fetch(`${server.url}/v1/stream/x`)).json()).map(({ n }) => n)
	const verdicts = [numbered("the stream", stored, write.wanted), ...follow.map((player) => player.verdict())]
	if (write.how !== "exit code 0") verdicts[0] ||= `the writer: ended with ${write.how || "no end"}`
	const wrong = verdicts.filter(Boolean), how = await server.stop()
	process.stdout.write(verdicts.map((text) => (text ? "x" : ".")).join(""))
	if (how) wrong.push(how)
	if (relay.cuts < 10) wrong.push(`the relay cut ${relay.cuts} connections: too few to say anything`)
	if (wrong.length) wrong.push(`what they said: ${out}`)
	const passed = verdicts.filter((text) => !text).length, note = `${relay.cuts} connections cut, ${KILLS} kills`
	return { passed, failed: verdicts.length - passed, not_yet: 0, wrong, note }
}
