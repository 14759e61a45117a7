// What is checked, one line each on stdout: `ok NAME`, `not ok NAME WHY`, `skip NAME WHY`; and what the checks of both clients share.
import { isDeepStrictEqual } from "node:util"

export const seconds = 60
export const TIME = 1_700_000_000_000
export const RECORDS = 120

export class Skip extends Error {}

export function that(condition, what) {
	if (!condition) throw new Error(what)
}

const shown = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v))?.slice(0, 200)

export function equal(got, wanted, what) {
	that(isDeepStrictEqual(got, wanted), `${what}: ${shown(got)} instead of ${shown(wanted)}`)
}

const deadline = () => new Promise((_, fail) => setTimeout(() => fail(new Error(`not within ${seconds} s`)), seconds * 1000).unref())

// `checks(server, prefix)`: names and functions. Those named on the command line are run, or all; what still runs behind its deadline
// ends with the program.
export async function main(version, checks) {
	console.log(`version ${version}`)
	const [server, prefix, ...wanted] = process.argv.slice(2)
	let good = true
	for (const [name, check] of Object.entries(await checks(server, prefix))) {
		if (wanted.length && !wanted.includes(name)) continue
		let line
		try {
			await Promise.race([check(), deadline()])
			line = `ok ${name}`
		} catch (error) {
			if (!(error instanceof Skip)) console.error(error)
			good &&= error instanceof Skip
			line = `${error instanceof Skip ? "skip" : "not ok"} ${name} ${String(error.message).replace(/\s+/g, " ").slice(0, 400)}`
		}
		console.log(line)
	}
	process.exit(good ? 0 : 1)
}

// A row of bytes that does not repeat soon, the same for the same number.
function bytes(seed, length) {
	const made = Buffer.alloc(length)
	for (let i = 0, x = seed + 1; i < length; i++) made[i] = (x = (x * 1103515245 + 12345) % 2147483648) >> 16
	return made
}

// The i-th of a topic of three partitions: without a key, without a value, with many headers or none, short and long.
export function record(i) {
	const key = i % 7 === 0 ? null : Buffer.from(`key ${i}`), size = i === 50 ? 200_000 : (i * 37) % 1500
	const value = i % 11 === 1 && key ? null : Buffer.concat([Buffer.alloc(size >> 1, i), bytes(i, size - (size >> 1))])
	const headers = i % 4 ? [["a name", Buffer.from(`header of ${i}`)]] : []
	if (i % 5 === 0) headers.push(["empty", Buffer.alloc(0)])
	return { key, value, headers, time: TIME + i, partition: i % 3 }
}

// Records as they come, held against those that were sent.
export class Order {
	next = [0, 1, 2]

	take(partition, { key, value, headers, time }) {
		const i = this.next[partition]
		this.next[partition] += 3
		const wanted = record(i)
		equal({ key, value, headers, time, partition }, wanted, `record ${i}`)
	}

	get over() {
		return this.next[0] + this.next[1] + this.next[2] >= 3 * RECORDS + 3
	}
}

// --- a group ---------------------------------------------------------------------------------------------------------------
export const PARTITIONS = 6
const AHEAD = 1000, STAGE = 300

// What members have read; who waits for something is told of every change.
class Seen {
	times = new Map()
	count = 0
	waiting = new Set()

	add(numbers) {
		for (const n of numbers) this.times.set(n, (this.times.get(n) ?? 0) + 1)
		this.count += numbers.length
		this.changed()
	}

	changed() {
		for (const look of [...this.waiting]) look()
	}

	until(condition) {
		return new Promise((done) => {
			const look = () => condition() && (this.waiting.delete(look), done())
			this.waiting.add(look)
			look()
		})
	}
}

// One joins, one leaves, while a producer goes on; every record is read. `send(numbers)` writes them, in turns to the
// partitions of the topic; `join(member)` resolves to what leaves; a member is told with read(numbers) and has(count). `strict`: none is
// read twice, either.
export async function rebalances(send, join, strict = true) {
	const seen = new Seen()
	let sent = 0, over = false
	const produce = async () => {
		while (!over) {
			const numbers = Array.from({ length: 60 }, () => sent++)
			await send(numbers)
			await seen.until(() => sent < seen.count + AHEAD || over)
		}
	}
	const member = async () => {
		const read = (numbers) => ((made.count += numbers.length), seen.add(numbers)), has = (n) => ((made.size = n), seen.changed())
		const made = { size: 0, count: 0, read, has }
		made.leave = await join(made)
		return made
	}
	const producing = produce()
	const first = await member()
	await seen.until(() => seen.count >= STAGE)
	const second = await member()
	await seen.until(() => second.size > 0 && first.size + second.size === PARTITIONS)
	const before = [first.count, second.count]
	await seen.until(() => first.count > before[0] + STAGE && second.count > before[1] + STAGE)
	await first.leave()
	await seen.until(() => second.size === PARTITIONS)
	const alone = second.count
	await seen.until(() => second.count > alone + STAGE)
	over = true
	seen.changed()
	await producing
	await seen.until(() => seen.times.size === sent)
	await second.leave()
	if (strict) equal([...seen.times.values()].filter((times) => times > 1).length, 0, `records of ${sent} read twice`)
}
