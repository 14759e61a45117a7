// Many who wait at the end of a stream, behind a cache that collapses requests which are the same (protocol §10): they cost the
// server what one costs, nobody goes round in circles, and all hear the end.
import { join } from "node:path"

import { later, Server } from "../processes.mjs"
import { work } from "./install.mjs"
import { Nginx } from "./nginx.mjs"

const READERS = 40, APPENDS = 6, withinMs = 30_000
const text = { "Content-Type": "text/plain" }

async function until(condition, what) {
	for (const end = Date.now() + withinMs; !(await condition()); await later(5)) {
		if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
	}
}

function check(condition, what) {
	if (!condition) throw new Error(what)
}

// Follows the stream as the protocol asks of clients. `polls` counts its requests, `cursors` are those it was told.
class Reader {
	constructor(url, offset, query = "") {
		Object.assign(this, { url, offset, query, seen: "", polls: 0, cursors: [], closed: false })
		this.over = this.follow()
		this.over.catch(() => {})
	}

	async follow() {
		const signal = AbortSignal.timeout(2 * withinMs)
		while (!this.closed) {
			const cursor = this.cursors.length ? `cursor=${this.cursors.at(-1)}&` : ""
			const answer = await fetch(`${this.url}?${cursor}live=long-poll&offset=${this.offset}${this.query}`, { signal })
			check(answer.status === 200 || answer.status === 204, `a poll was answered ${answer.status}`)
			this.polls++
			this.seen += await answer.text()
			this.closed = answer.headers.get("stream-closed") === "true"
			const next = answer.headers.get("stream-next-offset"), told = answer.headers.get("stream-cursor")
			check(answer.status === 204 || next > this.offset || this.offset === "-1", "an answer with records stands still")
			check(told || this.closed, "an answer without a cursor")
			if (told) {
				check(!this.cursors.length || Number(told) > Number(this.cursors.at(-1)), "a cursor did not go on")
				this.cursors.push(told)
			}
			this.offset = next
		}
	}
}

class Stage {
	// `url` is the stream's, by way of the cache.
	async start(name) {
		const out = join(work, name)
		this.server = new Server(out, [])
		this.nginx = new Nginx(out, "cache")
		this.origin = `${await this.server.start()}/v1/stream/x`
		this.url = `${await this.nginx.start(this.server.url)}/v1/stream/x`
		const made = await fetch(this.origin, { method: "PUT", headers: text })
		this.begin = made.headers.get("stream-next-offset")
		return this
	}

	append(body, closed) {
		const headers = closed ? { ...text, "Stream-Closed": "true" } : text
		return fetch(this.url, { method: "POST", headers, body })
	}

	// Requests the server has read so far.
	async asked() {
		const said = await (await fetch(`${this.server.url}/metrics`)).text()
		return Number(/^bide_http_requests_total (\d+)/m.exec(said)[1])
	}

	// All readers stand in the cache, and one request of theirs before the server.
	until_collapsed(readers) {
		return until(
			async () => (await this.nginx.busy()) >= readers && (await this.server.parked()) === 1,
			`${readers} readers collapsed into one wait`,
		)
	}

	async stop() {
		return [await this.nginx.stop(), await this.server.stop()].filter(Boolean)
	}
}

// --- the checks ------------------------------------------------------------------------------------------------------------
async function many_cost_what_one_costs(stage) {
	const readers = Array.from({ length: READERS }, () => new Reader(stage.url, stage.begin))
	let asked = 0, records = ""
	for (let i = 0; i < APPENDS; i++) {
		await stage.until_collapsed(READERS)
		check(readers.every((reader) => reader.seen === records), "who waits has seen all there is")
		const before = await stage.asked()
		await stage.append(`${i};`)
		records += `${i};`
		await until(() => readers.every((reader) => reader.seen === records), `append ${i} has come to all`)
		asked += (await stage.asked()) - before
	}
	// One append, one poll that waits for the next, one look at the metrics; and a second poll when a cursor was told twice.
	check(asked <= 4 * APPENDS, `${APPENDS} appends to ${READERS} readers: ${asked} requests at the server`)
	await stage.until_collapsed(READERS)
	await stage.append(undefined, true)
	await Promise.all(readers.map((reader) => reader.over))
	for (const { seen, polls, closed } of readers) {
		check(closed && seen === records, `a reader has seen ${seen} of ${records}`)
		check(polls <= APPENDS + 1, `${APPENDS} appends and the end took a reader ${polls} polls`)
	}
	// An end without a record is 204, which no cache keeps: each asks for itself, and once.
	check((await stage.asked()) < 5 * APPENDS + 2 * READERS + 100, `${await stage.asked()} requests in all`)
}

async function late_ones_are_served_by_the_cache(stage) {
	await stage.append("a", false)
	await stage.append("b", true)
	const first = new Reader(stage.url, "-1")
	await first.over
	const before = await stage.asked()
	const late = Array.from({ length: READERS }, () => new Reader(stage.url, "-1"))
	await Promise.all(late.map((reader) => reader.over))
	const asked = (await stage.asked()) - before
	check(late.every(({ seen, closed }) => seen === "ab" && closed), "late readers see all, and the end")
	check(asked === 1, `${READERS} late readers took ${asked - 1} requests at the server`)
}

async function an_end_with_a_record_is_collapsed_too(stage) {
	const readers = Array.from({ length: READERS }, () => new Reader(stage.url, stage.begin))
	await stage.until_collapsed(READERS)
	const before = await stage.asked()
	await stage.append("last", true)
	await Promise.all(readers.map((reader) => reader.over))
	check(readers.every(({ seen, closed, polls }) => seen === "last" && closed && polls === 1), "all see the last record and the end")
	const asked = (await stage.asked()) - before
	check(asked <= 3, `the end took ${asked} requests`)
}

async function waits_that_run_out_do_not_go_round(stage) {
	const reader = new Reader(stage.url, stage.begin, "&wait=100ms")
	await until(() => reader.polls >= 5, "five waits ran out")
	check(reader.offset === stage.begin && new Set(reader.cursors).size === reader.cursors.length, "each with a cursor of its own")
	await stage.append("x", true)
	await reader.over
	check(reader.seen === "x", "and then the record")
}

// Through a cache the tail is the server's, never a kept one.
async function an_end_is_never_stale(stage) {
	await stage.append("a")
	const look = async (offset) => {
		const { headers } = await fetch(`${stage.url}?offset=${offset}`)
		return [headers.get("stream-next-offset"), headers.get("stream-closed")]
	}
	const [end] = await look("-1")
	for (let i = 0; i < 3; i++) check((await look(end)).join() === [end, null].join(), "nothing yet")
	const later_end = (await stage.append("b")).headers.get("stream-next-offset")
	check((await look(end)).join() === [later_end, null].join(), "what is appended is there at once")
	check((await look("now")).join() === [later_end, null].join(), "now is now")
	await stage.append(undefined, true)
	check((await look(later_end)).join() === [later_end, "true"].join(), "the end is there at once")
	check((await look("now")).join() === [later_end, "true"].join(), "now is the end")
	const { headers } = await fetch(stage.url, { method: "HEAD" })
	check(headers.get("stream-next-offset") === later_end && headers.get("stream-closed") === "true", "HEAD tells the end")
}

const checks = [
	many_cost_what_one_costs,
	an_end_with_a_record_is_collapsed_too,
	late_ones_are_served_by_the_cache,
	waits_that_run_out_do_not_go_round,
	an_end_is_never_stale,
]

export async function cache() {
	const outcome = { passed: 0, failed: 0, not_yet: 0, wrong: [] }
	for (const one of checks) {
		const stage = await new Stage().start("collapse")
		let error = ""
		await one(stage).catch((e) => (error = e.message))
		const wrong = [error, ...(await stage.stop())].filter(Boolean)
		outcome.wrong.push(...wrong.map((text) => `${one.name.replaceAll("_", " ")}: ${text}`))
		outcome[wrong.length ? "failed" : "passed"]++
		process.stdout.write(wrong.length ? "x" : ".")
	}
	return outcome
}
