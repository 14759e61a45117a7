// What programs in other languages are made with: installed, or compiled, below build/conformance/kafka, where that was not done yet.
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"

import { Place } from "../install.mjs"
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
	const sources = readdirSync(join(place.here, "java")).filter((name) => name.endsWith(".java"))
	place.once(`java-${version}/compiled`, [`java/clients-${version}/SHA256SUMS`, ...sources.map((name) => `java/${name}`)], () => {
		rmSync(classes, { recursive: true, force: true })
		mkdirSync(classes, { recursive: true })
		const flags = ["-nowarn", "-Xlint:-deprecation,-removal", "-d", classes, "-cp", `${libs}/*`]
		const { status, stderr } = spawnSync("javac", [...flags, ...sources.map((name) => join(place.here, "java", name))])
		if (status !== 0) give_up(`javac failed:\n${stderr}`)
	})
}
