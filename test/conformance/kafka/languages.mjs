// What programs in other languages are made with: installed, or compiled, below build/conformance/kafka, where that was not done yet.
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"

import { caches, Place } from "../install.mjs"
import { give_up } from "../processes.mjs"
import { jars } from "./maven.mjs"

export const place = new Place("kafka")

export const answers = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0
export const debian_python = "/usr/bin/python3"
export const python_lacks = (module) => () =>
	answers(debian_python, "-c", `import ${module}`) ? "" : `Debian's python3 has no ${module}`

export const pip = () => place.pip("the clients for Python")
export const python = join(place.work, "python/bin/python3")

// Their programs stand where the packages do.
export function npm() {
	place.npm("the clients for JavaScript")
	place.copy(["node/tap.mjs", "node/kafkajs.mjs", "node/platformatic.mjs"])
}

const node = process.versions.node.split(".").map(Number)
export const node_lacks = (major, minor) => () => {
	const enough = node[0] > major || (node[0] === major && node[1] >= minor)
	return enough ? "" : `it needs Node.js ${major}.${minor}, and this is ${process.versions.node}`
}

// --- Java ------------------------------------------------------------------------------------------------------------------
export const java_lacks = () => (answers("javac", "-version") && answers("mvn", "-v") ? "" : "there is no javac, or no mvn")

// The classpath of the program compiled against this version's jars.
export const java_path = (version) => ["classes", "libs/*"].map((name) => join(place.work, `java-${version}`, name)).join(":")

export function java_install(version) {
	const libs = jars(`java/clients-${version}`, `java-${version}`), classes = join(place.work, `java-${version}`, "classes")
	const folders = ["java", ...(version >= 4 ? ["java/since-4"] : [])]
	const files = folders.flatMap((folder) => readdirSync(join(place.here, folder)).map((name) => `${folder}/${name}`))
	const sources = files.filter((name) => name.endsWith(".java"))
	place.once(`java-${version}/compiled`, [`java/clients-${version}/SHA256SUMS`, ...sources], () => {
		rmSync(classes, { recursive: true, force: true })
		mkdirSync(classes, { recursive: true })
		const flags = ["-nowarn", "-Xlint:-deprecation,-removal", "-d", classes, "-cp", `${libs}/*`]
		const { status, stderr } = spawnSync("javac", [...flags, ...sources.map((name) => join(place.here, name))])
		if (status !== 0) give_up(`javac failed:\n${stderr}`)
	})
}

// --- Go --------------------------------------------------------------------------------------------------------------------
const go_folder = join(place.here, "go"), go_env = {
	...process.env, GOFLAGS: "-modcacherw -mod=readonly -buildvcs=false", GOTOOLCHAIN: "local",
	GOMODCACHE: join(caches, "go/modules"), GOCACHE: join(caches, "go/cache"),
}

export function go_lacks() {
	const found = spawnSync("go", ["env", "GOVERSION"], { cwd: go_folder, env: go_env, encoding: "utf8" })
	const has = /go(\d+)\.(\d+)/.exec(found.stdout ?? "")
	const wants = /^go (\d+)\.(\d+)/m.exec(readFileSync(join(go_folder, "go.mod"), "utf8"))
	if (!has) return "there is no go"
	const enough = Number(has[1]) > Number(wants[1]) || (has[1] === wants[1] && Number(has[2]) >= Number(wants[2]))
	return enough ? "" : `it needs Go ${wants[1]}.${wants[2]}, and this is ${has[1]}.${has[2]}`
}

export const go_program = (name) => join(place.work, "go", name)

// By go.mod and go.sum; Go knows itself what has to be built again.
export function go_install(name) {
	mkdirSync(join(caches, "go"), { recursive: true })
	place.run("go", ["build", "-o", go_program(name), `./${name}`], { cwd: go_folder, env: go_env })
}
