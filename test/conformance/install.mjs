// Where a suite stands and where all it needs goes, and what it needs from registries: copied and installed once, until the file
// changes that says what.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

import { give_up, root, say } from "./processes.mjs"

const unreachable = "is the registry out of reach? What was installed once is not fetched again"
export const caches = join(root, "build/conformance")

export class Place {
	// `suite`: a folder's name beside this file; or one below it, as kafka/npm.
	constructor(suite) {
		this.here = join(root, "test/conformance", suite)
		this.work = join(caches, suite)
	}

	copy(names) {
		for (const name of names) {
			mkdirSync(dirname(join(this.work, name)), { recursive: true })
			copyFileSync(join(this.here, name), join(this.work, name))
		}
	}

	// Whether these files are what `stamp` was made for; if not, `install` makes it so.
	once(stamp, names, install) {
		const hash = createHash("sha256")
		for (const name of names) hash.update(readFileSync(join(this.here, name)))
		const wanted = hash.update(process.platform + process.arch).digest("hex"), path = join(this.work, stamp)
		if (existsSync(path) && readFileSync(path, "utf8") === wanted) return
		mkdirSync(this.work, { recursive: true })
		rmSync(path, { force: true })
		install()
		writeFileSync(path, wanted)
	}

	// What installs; if it cannot, the run has not come about.
	run(command, args, options) {
		const { error, status } = spawnSync(command, args, { cwd: this.work, stdio: "inherit", ...options })
		const how = error?.message ?? (status ? `exit code ${status}` : "")
		if (how) give_up(`${command} ${args[0] ?? ""} failed (${how}): ${unreachable}`)
	}

	// By package.json and package-lock.json.
	npm(what) {
		this.copy([".npmrc", "package.json", "package-lock.json"])
		this.once("installed", ["package.json", "package-lock.json"], () => {
			say(`installing ${what} with npm, in ${this.work}`)
			// No package's own scripts are run (nothing here needs them), and npm's cache is kept in build/ too.
			const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
			this.run("npm", ["ci", ...flags, "--cache", join(caches, "npm")])
		})
	}

	// By requirements.txt. The interpreter that has it.
	pip(what) {
		const folder = join(this.work, "python"), python = join(folder, "bin/python3")
		this.once("installed-python", ["requirements.txt"], () => {
			say(`installing ${what} with pip, in ${folder}`)
			const system = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3"
			rmSync(folder, { recursive: true, force: true })
			this.run(system, ["-m", "venv", folder])
			const flags = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:"]
			const cache = ["--cache-dir", join(caches, "pip")]
			this.run(python, ["-m", "pip", "install", ...flags, ...cache, "-r", join(this.here, "requirements.txt")])
		})
		return python
	}
}
