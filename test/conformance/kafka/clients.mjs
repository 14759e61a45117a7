// Clients that others wrote, each by name, each a way of its own. One program a client runs the same checks in its language and prints
// how each ended (python/tap.py says how); it makes topics and groups of its own, at a server of its own.
//
// Idea: what is not ok is wrong, unless clients-not-yet.txt says "CLIENT CHECK" may fail, and why; so is what is in there and ok, and
// a program that says less than it should. A client that cannot be had here (`lacks`) is told as not run, and is not wrong.
//   BIDE_CONFORMANCE_KAFKA=HOST:PORT   a server that runs already, ours or another
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"

import { patterns_apply, patterns_read } from "../expected.mjs"
import { later, Server, start } from "../processes.mjs"
import { place } from "./languages.mjs"
import { programs } from "./programs.mjs"

const withinMs = 600_000
const elsewhere = process.env.BIDE_CONFORMANCE_KAFKA

// The lines of a program, as { name, how, why }; and which version of its client it says it is.
function heard(said) {
	const found = [...said.matchAll(/^(ok|not ok|skip) (\S+)(.*)$/gm)]
	const checks = found.map(([, how, name, why]) => ({ name, how, why: why.trim() }))
	return { checks, version: /^version (.*)$/m.exec(said)?.[1] ?? "" }
}

// What the program of `client` says of the server, within its time.
async function ask(client, server, out, wanted) {
	const [command, ...first] = client.command()
	const diagnostics = join(out, "stderr"), prefix = `${client.name}-${process.pid}`
	const child = start(command, [...first, server, prefix, ...wanted], { diagnostics, cwd: out, env: { ...process.env, ...client.env } })
	let said = ""
	child.stdout?.setEncoding("utf8").on("data", (text) => {
		said += text
		for (const [, how] of text.matchAll(/^(ok|not ok|skip) /gm)) process.stdout.write({ ok: ".", skip: "-" }[how] ?? "x")
	})
	const how = await Promise.race([child.ended, later(withinMs, "late")])
	if (how === "late") child.kill("SIGKILL")
	const { checks, version } = heard(said)
	const failed = checks.some((check) => check.how === "not ok"), right = `exit code ${failed ? 1 : 0}`
	const wrong = how === right && checks.length ? [] : [`the program: ${how === "late" ? "no end in time" : how}; see ${diagnostics}`]
	return { checks, version, wrong, diagnostics }
}

function judge(client, { checks, version, wrong, diagnostics }, strict) {
	const tests = checks.map((check) => ({ ...check, name: `${client.name} ${check.name}`, passed: check.how === "ok" }))
	const patterns = patterns_read(join(place.here, "clients-not-yet.txt")).filter(({ text }) => text.startsWith(`${client.name} `))
	const remarks = patterns_apply(patterns, tests)
	if (strict) wrong.push(...remarks)
	for (const [i, { how, expected, name, why }] of tests.entries()) {
		if (how === "not ok" && !expected) wrong.push(`${name}: ${why}\n      ${diagnostics}`)
		if (how === "not ok" && expected) checks[i].how = "not yet"
	}
	const count = (how) => checks.filter((check) => check.how === how).length
	const left_out = count("skip") + count("not yet")
	return { passed: count("ok"), failed: count("not ok"), skipped: left_out, wrong, checks, note: version }
}

async function run(client, wanted) {
	const lacks = client.lacks?.()
	if (lacks) return { passed: 0, failed: 0, skipped: 1, wrong: [], note: `not run: ${lacks}` }
	const out = join(place.work, "clients", client.name)
	rmSync(out, { recursive: true, force: true })
	mkdirSync(out, { recursive: true })
	const server = elsewhere ? undefined : new Server(out, [], { kafka: true })
	await server?.start()
	const outcome = await ask(client, server?.broker ?? elsewhere, out, wanted)
	const how = await server?.stop()
	if (how) outcome.wrong.push(how)
	return judge(client, outcome, !wanted.length)
}

export const clients = programs.map((client) => ({
	name: client.name,
	title: client.title,
	install: async () => client.lacks?.() || client.install?.(),
	run: (wanted) => run(client, wanted),
}))

// --- the quick part: a few clients at the same time, a part of their checks --------------------------------------------------
const quick_checks = ["topic", "none", "gzip", "idempotent", "resume", "group", "commit", "txn-offsets", "configs", "offsets", "groups", "delete-topic"]
const quick_clients = programs.filter((client) => client.quick)

async function run_quick() {
	const outcomes = await Promise.all(quick_clients.map((client) => run(client, quick_checks)))
	const sum = (what) => outcomes.reduce((total, outcome) => total + outcome[what], 0)
	const note = quick_clients.map(({ name }, i) => `${name} ${outcomes[i].note}`).join(", ")
	return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped"), wrong: outcomes.flatMap(({ wrong }) => wrong), note }
}

export const quick = {
	name: "quick",
	title: "a few clients, quickly",
	extra: true, // all of it is in the others
	install: async () => quick_clients.forEach((client) => client.lacks?.() || client.install?.()),
	run: run_quick,
}

// --- the table -------------------------------------------------------------------------------------------------------------
const marks = { ok: "ok", "not ok": "FAILED", skip: "·", "not yet": "not yet" }

// A row for each check, a column for each client; a dot: the client has no such thing, or its program does not ask for it.
export function clients_table(rows) {
	const columns = rows.filter(({ checks }) => checks?.length)
	if (!columns.length) return
	const names = [...new Set(columns.flatMap(({ checks }) => checks.map(({ name }) => name)))]
	const first = Math.max(...names.map((name) => name.length))
	const heads = columns.map(({ name }) => name.split("-")), lines = Math.max(...heads.map((words) => words.length))
	const width = Math.max(8, ...heads.flat().map((word) => word.length + 1))
	const line = (head, cells) => console.log((head.padEnd(first) + cells.map((cell) => cell.padStart(width)).join("")).trimEnd())
	console.log()
	for (let i = 0; i < lines; i++) line("", heads.map((words) => words[i] ?? ""))
	for (const name of names) {
		line(name, columns.map(({ checks }) => marks[checks.find((check) => check.name === name)?.how ?? "skip"]))
	}
}
