// nginx before the server, as a reverse proxy or with a cache.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { join } from "node:path"

import { give_up, later, start, startMs, stop } from "../processes.mjs"

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
