// Jars from Maven's repository: a folder's pom.xml says which, by version, its SHA256SUMS what they are. They are gathered in a
// folder below build/conformance/kafka, once, until one of the two files changes; what Maven keeps for itself is below build/ too.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

import { give_up } from "../processes.mjs"

export const here = dirname(fileURLToPath(import.meta.url))
const build = resolve(here, "../../../build/conformance")
const plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

const sha256 = (data) => createHash("sha256").update(data).digest("hex")

// Of each file there, as `sha256sum *` says it.
const sums = (folder) => readdirSync(folder).sort().map((name) => `${sha256(readFileSync(join(folder, name)))}  ${name}\n`).join("")

// Which folder has the jars of `pom`, a folder here, for the classpath; `into` is its name. BIDE_CONFORMANCE_SUMS=1 writes the
// checksums anew, after a change of the pom.
export function jars(pom, into) {
	const from = join(here, pom), libs = join(build, "kafka", into, "libs"), stamp = join(build, "kafka", into, "installed")
	const anew = Boolean(process.env.BIDE_CONFORMANCE_SUMS), listed = join(from, "SHA256SUMS")
	const wanted = () => sha256(readFileSync(join(from, "pom.xml")) + readFileSync(listed))
	if (!anew && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted()) return libs

	// Under a name of its own until it is whole: two runs may come here at the same time.
	const fresh = `${libs}.${process.pid}`
	mkdirSync(fresh, { recursive: true })
	console.error(`==> fetching the jars of ${pom}/pom.xml with Maven, into ${libs}`)
	const flags = ["-B", "-q", "-f", join(from, "pom.xml"), `-Dmaven.repo.local=${join(build, "maven")}`, "-DincludeScope=runtime"]
	const { error, status } = spawnSync("mvn", [...flags, plugin, `-DoutputDirectory=${fresh}`], { stdio: ["ignore", 2, 2] })
	const how = error?.message ?? (status ? `exit code ${status}` : "")
	if (how) give_up(`mvn failed (${how}): is the repository out of reach? What was fetched once is not fetched again`)
	const found = sums(fresh)
	if (anew) writeFileSync(listed, found)
	if (found !== readFileSync(listed, "utf8")) give_up(`the jars in ${fresh} are not those of ${listed}`)
	rmSync(stamp, { force: true })
	rmSync(libs, { recursive: true, force: true })
	renameSync(fresh, libs)
	writeFileSync(stamp, wanted())
	return libs
}
