// The published client for JavaScript, as a program might use it: client.mjs write|long-poll|sse URL RECORDS.
// `write` appends records numbered from 0 and closes the stream. The others follow it to its end and print the numbers. Whatever
// breaks on the way is met as the client's own documentation says: a producer's requests are repeated, a follower comes back with
// the offset of the last batch it was given.
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const [role, url, records] = process.argv.slice(2)
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

// The producer sends a request once; it may be repeated as it is, for it is numbered.
async function persistent(...request) {
	for (;;) {
		try {
			const answer = await fetch(...request)
			if (answer.status < 500) return answer
			console.error(`${answer.status}, again`)
		} catch (error) {
			console.error(`${error.cause?.message ?? error}, again`)
		}
		await pause(Math.random() * 50)
	}
}

async function write() {
	const made = await DurableStream.create({ url, contentType: "application/json", fetch: persistent })
	const producer = new IdempotentProducer(made, "writer", { fetch: persistent, lingerMs: 1, maxInFlight: 3, onError: fail })
	for (let n = 0; n < Number(records); n++) {
		producer.append(JSON.stringify({ n, text: "x".repeat(n % 97) }))
		if (n % 2) await pause(5)
	}
	await producer.flush()
	await producer.close()
}

// A session says that it is closed when the head of its last answer has come; whether the batch in it still comes, only the batch
// tells. So a session counts until it says so, and a moment longer; what has not come by then the next one asks for again.
async function follow() {
	const backoffOptions = { initialDelay: 20, maxDelay: 200, multiplier: 1.3, maxRetries: 5 }
	for (let offset = "-1", closed = false; !closed; ) {
		let counts = true
		try {
			const session = await stream({ url, offset, live: role, json: true, backoffOptions })
			session.subscribeJson((batch) => {
				if (!counts) return
				for (const { n } of batch.items) console.log(n)
				offset = batch.offset
				closed = batch.streamClosed
			})
			await session.closed
		} catch (error) {
			console.error(`${error.cause?.message ?? error}, from ${offset}`)
		}
		await pause(20)
		counts = false
	}
}

function fail(error) {
	console.error(error)
	process.exit(1)
}

await (role === "write" ? write() : follow()).catch(fail)
