// Lists of what may fail today, or cannot run: PATTERN<TAB>REASON a line, or PATTERN<TAB>WORDS<TAB>REASON, where it fails with these
// words and no others. `*` stands for anything, all else for itself, and the whole name must fit.
import { existsSync, readFileSync } from "node:fs"
import { basename } from "node:path"

import { give_up } from "./processes.mjs"

// What the file says; nothing if there is none. `always`: a pattern all of whose tests pass is wrong.
export function patterns_read(path, always = true) {
	const name = basename(path), patterns = []
	if (!existsSync(path)) return patterns
	readFileSync(path, "utf8").split("\n").forEach((line, i) => {
		if (!line.trim() || line.startsWith("#")) return
		const [text, ...rest] = line.split("\t"), reason = rest.pop(), words = rest.pop() ?? ""
		if (!text || !reason?.trim() || rest.length) give_up(`${name}:${i + 1}: not PATTERN<TAB>[WORDS<TAB>]REASON: ${line}`)
		const literal = text.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
		patterns.push({ name, text, words, reason, always, regex: new RegExp(`^${literal.join(".*")}$`, "s"), tests: [] })
	})
	return patterns
}

// Each test ({ name, passed, why }) is told whether it is `expected` to fail so, each pattern which tests it fits. What is wrong about
// the patterns: those that fit none, and, of those that hold always, those all of whose tests pass.
export function patterns_apply(patterns, tests) {
	for (const test of tests) {
		const fitting = patterns.filter((pattern) => pattern.regex.test(test.name))
		fitting.forEach((pattern) => pattern.tests.push(test))
		test.expected = fitting.some(({ words }) => !words || test.why.includes(words))
	}
	return patterns.flatMap(({ name, text, always, tests: fitting }) => {
		if (!fitting.length) return [`${name}: fits no test, take it out: ${text}`]
		if (!always || !fitting.every(({ passed }) => passed)) return []
		return [`${name}: all ${fitting.length} pass, take it out: ${text}`]
	})
}
