// What the runs start: bide, and nginx before it. Nothing is written but under `work`, and all is ended again.
import { spawn } from "node:child_process"
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

export const here = dirname(fileURLToPath(import.meta.url))
export const root = resolve(here, "../../..")
export const work = join(root, "build/conformance/streams")
const program = process.env.BIDE_BIN ?? join(root, "build/release/bide")
const startMs = 30_000, stopMs = 20_000

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

// A program, with what it says on stderr in a file. `ended` resolves to how.
export function start(command, args, { diagnostics, ...options }) {
	const stderr = openSync(diagnostics, "a")
	const child = spawn(command, args, { stdio: ["ignore", "pipe", stderr], ...options })
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
async function stop(child) {
	if (child.exitCode !== null || child.signalCode !== null) return `it ended by itself: ${await child.ended}`
	child.kill("SIGTERM")
	const how = await Promise.race([child.ended, later(stopMs, "late")])
	if (how !== "late") return how === "exit code 0" ? "" : `asked to stop, it ended with ${how}`
	child.kill("SIGKILL")
	return `asked to stop, it did not within ${stopMs / 1000} s, and was killed`
}

// --- bide ------------------------------------------------------------------------------------------------------------------
export class Server {
	// A fresh directory in `folder`. Others come from another origin.
	constructor(folder, flags) {
		mkdirSync(folder, { recursive: true })
		this.data = join(folder, "data")
		this.diagnostics = join(folder, "server.stderr")
		for (const path of [this.data, this.diagnostics]) rmSync(path, { recursive: true, force: true })
		const more = (process.env.BIDE_CONFORMANCE_FLAGS ?? "").split(" ").filter(Boolean)
		this.flags = ["--cors-origin", "*", ...flags, ...more]
		this.port = 0
	}

	// Resolves when it listens; again on the same port after an end.
	async start() {
		const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BIDE_")))
		const args = ["serve", "--data", this.data, "--http", `127.0.0.1:${this.port}`, ...this.flags]
		this.process = start(program, args, { env, diagnostics: this.diagnostics })
		let said = ""
		const listening = new Promise((done) => {
			this.process.stdout?.setEncoding("utf8").on("data", (text) => {
				const found = /^listening http 127\.0\.0\.1:(\d+)$/m.exec((said += text))
				if (found) done({ port: Number(found[1]) })
			})
		})
		const ended = this.process.ended.then((how) => ({ how }))
		const outcome = await Promise.race([listening, ended, later(startMs, { how: "no sign of it in time" })])
		if (!outcome.port) give_up(`${program} did not start: ${outcome.how}\n${readFileSync(this.diagnostics, "utf8")}`)
		this.port = outcome.port
		this.url = `http://127.0.0.1:${this.port}`
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

// --- nginx -----------------------------------------------------------------------------------------------------------------
// As it is set up for a reverse proxy, and no more, but for the Host, of which bide makes URLs.
const proxied = (url) => `proxy_pass ${url}; proxy_set_header Host $http_host;`

// Collapses requests that are the same while one of them is answered, and keeps what Cache-Control lets it keep. Four things
// are not nginx's default, and the documentation tells why: the Host is handed on, HEAD is its own request, a reader by events is
// not one of many who wait for the same, and who waits for the answer of another waits as long as that may take.
const cached = (url) => `
	proxy_pass ${url};
	proxy_set_header Host $http_host;
	proxy_cache streams;
	proxy_cache_key $request_method$request_uri;
	proxy_cache_convert_head off;
	proxy_cache_bypass $by_events;
	proxy_no_cache $by_events;
	proxy_cache_lock on;
	proxy_cache_lock_timeout 60s;
	proxy_cache_lock_age 60s;`

const configuration = (port, location) => `
daemon off;
pid nginx.pid;
worker_processes 1;
error_log error.log warn;
${process.getuid() === 0 ? "user root; # who runs it; without it the worker would be someone who may not enter here" : ""}
events { worker_connections 4096; }
http {
	log_format short '$request_method $request_uri $status $upstream_cache_status $request_time';
	access_log access.log short;
	${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`).join(" ")}
	proxy_cache_path cache keys_zone=streams:1m levels=1:2;
	map $arg_live $by_events { sse 1; }
	server {
		listen 127.0.0.1:${port};
		location / { ${location} }
		location = /nginx { stub_status; }
	}
}
`

function free_port() {
	return new Promise((done) => {
		const server = createServer().listen(0, "127.0.0.1", () => {
			const { port } = server.address()
			server.close(() => done(port))
		})
	})
}

const answers = (port) =>
	new Promise((done) => {
		const socket = connect(port, "127.0.0.1")
		socket.once("connect", () => done(true)).once("error", () => done(false)).once("close", () => socket.destroy())
		socket.once("connect", () => socket.end())
	})

export class Nginx {
	constructor(folder, kind) {
		this.folder = join(folder, "nginx")
		this.location = kind === "cache" ? cached : proxied
	}

	// Before the server at `url`; resolves when it listens.
	async start(url) {
		rmSync(this.folder, { recursive: true, force: true })
		mkdirSync(this.folder, { recursive: true })
		const port = await free_port(), diagnostics = join(this.folder, "stderr")
		writeFileSync(join(this.folder, "nginx.conf"), configuration(port, this.location(url)))
		const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
		this.process = start("nginx", ["-e", "stderr", "-p", `${this.folder}/`, "-c", "nginx.conf"], { env, diagnostics })
		let how = ""
		this.process.ended.then((text) => (how = text))
		for (const until = Date.now() + startMs; !how && Date.now() < until; await later(10)) {
			if (await answers(port)) return (this.url = `http://127.0.0.1:${port}`)
		}
		give_up(`nginx did not start: ${how || "no sign of it in time"}\n${readFileSync(diagnostics, "utf8")}`)
	}

	// Requests it has read and not answered yet, without the one that asks.
	async busy() {
		return Number(/Writing: (\d+)/.exec(await (await fetch(`${this.url}/nginx`)).text())[1]) - 1
	}

	async stop() {
		const how = await stop(this.process)
		return how && `nginx: ${how}; see ${this.folder}`
	}
}
