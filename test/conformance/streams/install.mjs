// What is needed from npm and PyPI, by version and checksum, into build/conformance/streams. Done once, until a lock file changes.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { give_up, here, root, say, work } from "./processes.mjs"

const caches = join(root, "build/conformance")
const unreachable = "is the registry out of reach? What was installed once is not fetched again"

function copy(names) {
	mkdirSync(work, { recursive: true })
	for (const name of names) copyFileSync(join(here, name), join(work, name))
}

// Whether these files are what `stamp` was made for; if not, `install` makes it so.
function once(stamp, names, install) {
	const hash = createHash("sha256")
	for (const name of names) hash.update(readFileSync(join(here, name)))
	const wanted = hash.update(process.platform + process.arch).digest("hex"), path = join(work, stamp)
	if (existsSync(path) && readFileSync(path, "utf8") === wanted) return
	rmSync(path, { force: true })
	install()
	writeFileSync(path, wanted)
}

function run(command, args) {
	const { error, status } = spawnSync(command, args, { cwd: work, stdio: "inherit" })
	const how = error?.message ?? (status ? `exit code ${status}` : "")
	if (how) give_up(`${command} ${args[0]} failed (${how}): ${unreachable}`)
}

export function install_node() {
	copy([".npmrc", "package.json", "package-lock.json", "reporter.mjs", "streams.test.mjs", "vitest.config.mjs", "client.mjs"])
	once("installed", ["package.json", "package-lock.json"], () => {
		say("installing the suite and the client with npm, in build/conformance/streams")
		// No package's own scripts are run (nothing here needs them), and npm's cache is kept in build/ too.
		const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
		run("npm", ["ci", ...flags, "--cache", join(caches, "npm")])
	})
}

export const python = join(work, "python/bin/python3")

export function install_python() {
	copy(["client.py"])
	once("installed-python", ["requirements.txt"], () => {
		say("installing the client for Python with pip, in build/conformance/streams/python")
		const system = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3"
		rmSync(join(work, "python"), { recursive: true, force: true })
		run(system, ["-m", "venv", join(work, "python")])
		const flags = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:"]
		run(python, ["-m", "pip", "install", ...flags, "--cache-dir", join(caches, "pip"), "-r", join(here, "requirements.txt")])
	})
}
