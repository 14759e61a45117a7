// Shows a mark for each test as it ends, and leaves all outcomes in a file for suite.mjs, which judges them: vitest itself does
// not know which tests may fail. Several runs may share a terminal, so a mark is all there is.
import { writeFileSync } from "node:fs"
import { stripVTControlCharacters } from "node:util"

const marks = { passed: ".", failed: "x", skipped: "", pending: "" }

export default class Reporter {
	#path

	constructor(path) {
		this.#path = path
	}

	onTestCaseResult(test) {
		const mark = marks[test.result().state] ?? "?"
		if (mark) process.stdout.write(mark)
	}

	onTestRunEnd(modules, unhandled, reason) {
		const results = { reason, errors: unhandled.map(describe), tests: [] }
		for (const module of modules) {
			results.errors.push(...module.errors().map(describe))
			for (const suite of module.children.allSuites()) results.errors.push(...suite.errors().map(describe))
			for (const test of module.children.allTests()) results.tests.push(outcome(test))
		}
		writeFileSync(this.#path, JSON.stringify(results, null, "\t"))
	}
}

function outcome(test) {
	const { state, errors = [] } = test.result()
	return { name: test.fullName, state, ms: Math.round(test.diagnostic()?.duration ?? 0), errors: errors.map(describe) }
}

// What went wrong and where in the suite: assertions say what they compared, and the line leads to what was sent.
function describe(error) {
	const place = /\(?[^( ]*node_modules\/(\S*conformance-tests\/[^) ]*?:\d+)/.exec(error.stack ?? "")?.[1]
	const diff = error.diff && stripVTControlCharacters(error.diff)
	return `${error.name}: ${error.message}${place ? ` (${place})` : ""}${diff ? `\n${diff}` : ""}`
}
