// What is needed from npm and PyPI, by version and checksum, into build/conformance/streams.
import { join } from "node:path"

import { Place } from "../install.mjs"

const place = new Place("streams")
export const { here, work } = place
export const python = join(work, "python/bin/python3")

export function install_node() {
	place.copy(["reporter.mjs", "streams.test.mjs", "vitest.config.mjs", "client.mjs"])
	place.npm("the suite and the client")
}

export function install_python() {
	place.copy(["client.py"])
	place.pip("the client for Python")
}
