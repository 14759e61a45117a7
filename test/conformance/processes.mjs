// What the runs start: programs, and bide among them. All is ended again.
import { spawn } from "node:child_process"
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..")
export const program = process.env.BIDE_BIN ?? join(root, "build/release/bide")
export const startMs = 30_000
const stopMs = 20_000

export const say = (line) => console.log(`==> ${line}`)
export const later = (ms, value) => new Promise((done) => setTimeout(done, ms, value).unref())
export const chance = (below) => Math.floor(Math.random() * below)

// The run itself did not come about.
export function give_up(why) {
	console.error(`conformance: ${why}`)
	process.exit(2)
}

const running = new Set()
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")))

// A program, with what it says on stderr in a file; `all`: what it says on stdout too. `ended` resolves to how.
export function start(command, args, { diagnostics, all = false, ...options }) {
	const stderr = openSync(diagnostics, "a")
	const child = spawn(command, args, { stdio: ["ignore", all ? stderr : "pipe", stderr], ...options })
	closeSync(stderr)
	running.add(child)
	child.ended = new Promise((done) => {
		child.once("error", (error) => done(error.message))
		child.once("close", (code, signal) => done(signal ?? `exit code ${code}`))
	})
	child.ended.then(() => running.delete(child))
	return child
}

// Asks it to stop. How it ended; nothing to remark: empty.
export async function stop(child) {
	if (child.exitCode !== null || child.signalCode !== null) return `it ended by itself: ${await child.ended}`
	child.kill("SIGTERM")
	const how = await Promise.race([child.ended, later(stopMs, "late")])
	if (how !== "late") return how === "exit code 0" ? "" : `asked to stop, it ended with ${how}`
	child.kill("SIGKILL")
	return `asked to stop, it did not within ${stopMs / 1000} s, and was killed`
}

// --- bide ------------------------------------------------------------------------------------------------------------------
export class Server {
	// A fresh directory in `folder`. `flags` are for the server, besides where it listens; `kafka`: at that door too.
	constructor(folder, flags, { kafka = false } = {}) {
		mkdirSync(folder, { recursive: true })
		this.data = join(folder, "data")
		this.diagnostics = join(folder, "server.stderr")
		for (const path of [this.data, this.diagnostics]) rmSync(path, { recursive: true, force: true })
		const more = (process.env.BIDE_CONFORMANCE_FLAGS ?? "").split(" ").filter(Boolean)
		this.flags = [...flags, ...more]
		this.ports = { http: 0, ...(kafka && { kafka: 0 }) }
	}

	// Resolves when it listens, at `url` and `broker`; again on the same ports after an end.
	async start() {
		const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BIDE_")))
		const doors = Object.entries(this.ports).flatMap(([door, port]) => [`--${door}`, `127.0.0.1:${port}`])
		const args = ["serve", "--data", this.data, ...doors, ...this.flags]
		this.process = start(program, args, { env, diagnostics: this.diagnostics })
		let said = ""
		const listening = new Promise((done) => {
			this.process.stdout?.setEncoding("utf8").on("data", (text) => {
				const found = [...(said += text).matchAll(/^listening (\w+) 127\.0\.0\.1:(\d+)$/gm)]
				const ports = Object.fromEntries(found.map(([, door, port]) => [door, Number(port)]))
				if (Object.keys(this.ports).every((door) => ports[door])) done({ ports })
			})
		})
		const ended = this.process.ended.then((how) => ({ how }))
		const outcome = await Promise.race([listening, ended, later(startMs, { how: "no sign of it in time" })])
		if (!outcome.ports) give_up(`${program} did not start: ${outcome.how}\n${readFileSync(this.diagnostics, "utf8")}`)
		this.ports = outcome.ports
		this.url = `http://127.0.0.1:${this.ports.http}`
		this.broker = `127.0.0.1:${this.ports.kafka}`
		return this.url
	}

	async kill() {
		this.process.kill("SIGKILL")
		await this.process.ended
	}

	async stop() {
		const how = await stop(this.process)
		return how && `the server: ${how}; see ${this.diagnostics}`
	}

	// What waits at it at this moment.
	async parked() {
		return (await (await fetch(`${this.url}/v1/info`)).json()).waits.parked
	}
}
