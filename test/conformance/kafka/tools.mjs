// tools.mjs LIBS HOST:PORT PREFIX [CHECK…]: the console tools of Apache Kafka, whose jars are in LIBS, against the server there. What is
// checked, and how it is told: see node/tap.mjs.
import { spawn } from "node:child_process"
import { readdirSync, writeFileSync } from "node:fs"
import { createInterface } from "node:readline"

import { equal, main, that } from "./node/tap.mjs"

const libs = process.argv.splice(2, 1)[0]
const version = /^kafka-tools-(.*)\.jar$/m.exec(readdirSync(libs).join("\n"))[1]
const java = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", `${libs}/*`]
const tools = {
	topics: "TopicCommand", producer: "ConsoleProducer", consumer: "consumer.ConsoleConsumer", configs: "ConfigCommand",
	groups: "consumer.group.ConsumerGroupCommand", all_groups: "GroupsCommand", offsets: "GetOffsetShell", log_dirs: "LogDirsCommand",
	delete_records: "DeleteRecordsCommand", transactions: "TransactionsCommand", acls: "AclCommand", features: "FeatureCommand",
	cluster: "ClusterTool", versions: "BrokerApiVersionsCommand", verifiable_producer: "VerifiableProducer",
	verifiable_consumer: "VerifiableConsumer", producer_perf: "ProducerPerformance", consumer_perf: "ConsumerPerformance",
}

const launch = (tool, args) => spawn("java", [...java, `org.apache.kafka.tools.${tools[tool]}`, ...args])

// Runs a tool to its end: what it said, on both ways, and its exit code.
async function run(tool, args, input = "") {
	const child = launch(tool, args)
	let said = ""
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text))
	child.stdin.on("error", () => {}).end(input)
	const code = await new Promise((done) => child.once("close", done))
	return { said, code, what: `${tool} ${args.join(" ")}: ${said}` }
}

// One that goes on, and says what happens in JSON, a line each.
class Verifiable {
	events = []
	waiting = new Set()

	constructor(tool, args) {
		this.child = launch(tool, args)
		this.ended = new Promise((done) => this.child.once("close", done))
		createInterface(this.child.stdout).on("line", (line) => {
			if (line.startsWith("{")) this.events.push(JSON.parse(line))
			for (const look of [...this.waiting]) look()
		})
		process.once("exit", () => this.child.kill("SIGKILL"))
	}

	named(name) {
		return this.events.filter((event) => event.name === name)
	}

	until(condition) {
		return new Promise((done) => {
			const look = () => condition() && (this.waiting.delete(look), done())
			this.waiting.add(look)
			look()
		})
	}

	async stop() {
		this.child.kill("SIGTERM")
		await this.ended
	}
}

const lines = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

function checks(server, prefix) {
	const broker = ["--bootstrap-server", server]
	const name = (what) => `${prefix}-${what}`

	async function ask(tool, ...args) {
		const { said, code, what } = await run(tool, [...broker, ...args])
		equal(code, 0, what)
		return said
	}

	async function topic(what, partitions) {
		await ask("topics", "--create", "--topic", name(what), "--partitions", `${partitions}`)
		return name(what)
	}

	async function produce(topic, values, ...flags) {
		const { said, code, what } = await run("producer", [...broker, "--topic", topic, ...flags], `${values.join("\n")}\n`)
		that(code === 0 && !said.includes("ERROR"), what)
	}

	async function consume(topic, count, ...flags) {
		const how = ["--topic", topic, "--from-beginning", "--max-messages", `${count}`, "--timeout-ms", "20000"]
		const said = await ask("consumer", ...how, ...flags)
		return said.split("\n").filter((line) => line && !/Processed a total|rebalance protocol/.test(line))
	}

	async function there_and_back(what, ...flags) {
		const made = await topic(what, 3)
		const sent = Array.from({ length: 100 }, (_, n) => {
			const headers = n % 4 ? `h:header ${n},h:again` : "NULL", key = n % 7 ? `key ${n}` : "NULL"
			return [headers, key, n % 11 === 1 ? "NULL" : `value ${n} `.repeat(n % 30)].join("\t")
		})
		const parse = ["parse.headers=true", "parse.key=true", "null.marker=NULL"].flatMap((one) => ["--reader-property", one])
		await produce(made, sent, ...parse, ...flags)
		const show = ["print.headers=true", "print.key=true", "null.literal=NULL"].flatMap((one) => ["--formatter-property", one])
		const came = (await consume(made, 100, ...show)).map((line) => line.replace(/^NO_HEADERS/, "NULL"))
		equal(came.sort(), sent.sort(), "records")
	}

	async function topics() {
		const made = await topic("topic", 3)
		that((await ask("topics", "--list")).split("\n").includes(made), "it is not listed")
		equal((await ask("topics", "--describe", "--topic", made)).match(/Leader: 1/g)?.length, 3, "partitions")
		that((await run("topics", [...broker, "--create", "--topic", made])).said.includes("TopicExistsException"), "made twice")
		equal(await ask("topics", "--describe", "--unavailable-partitions"), "", "what is not available")
	}

	async function resume(name, protocol) {
		const made = await topic(name, 1), how = ["--group", made, "--command-property", `group.protocol=${protocol}`]
		await produce(made, lines(0, 100))
		equal(await consume(made, 50, ...how), lines(0, 50), "read")
		equal(await consume(made, 50, ...how), lines(50, 100), "read later")
	}

	async function group(name, protocol) {
		const made = await topic(name, 6), how = ["--group-protocol", protocol, "--reset-policy", "earliest", "--verbose"]
		const flags = [...broker, "--topic", made, "--group-id", made, ...how]
		const producer = new Verifiable("verifiable_producer", [...broker, "--topic", made, "--throughput", "300"])
		const first = new Verifiable("verifiable_consumer", flags)
		const read = (member) => member.named("record_data").map(({ value }) => value)
		const has = (member, count) => {
			const sum = (name) => member.named(name).reduce((total, { partitions }) => total + partitions.length, 0)
			return sum("partitions_assigned") - sum("partitions_revoked") === count
		}
		await first.until(() => read(first).length > 200)
		const second = new Verifiable("verifiable_consumer", flags)
		await first.until(() => has(first, 3))
		await second.until(() => has(second, 3) && read(second).length > 100)
		await first.stop()
		await second.until(() => has(second, 6))
		const alone = read(second).length
		await second.until(() => read(second).length > alone + 200)
		await producer.stop()
		const sent = producer.named("producer_send_success").length
		await second.until(() => new Set([...read(first), ...read(second)]).size === sent)
		await second.stop()
		equal(read(first).length + read(second).length, sent, "records read")
	}

	async function configs() {
		const made = await topic("configs", 1), entity = ["--entity-type", "topics", "--entity-name", made]
		await ask("configs", "--alter", ...entity, "--add-config", "retention.ms=3600000,cleanup.policy=[compact,delete]")
		const said = await ask("configs", "--describe", ...entity)
		that(said.includes("retention.ms=3600000") && said.includes("cleanup.policy=compact,delete"), said)
		await ask("configs", "--alter", ...entity, "--delete-config", "retention.ms")
		const all = await ask("configs", "--describe", ...entity, "--all")
		that(all.includes("retention.ms=604800000"), "retention.ms is not its default")
	}

	async function offsets() {
		const made = await topic("offsets", 1)
		await produce(made, lines(0, 20))
		const at = async (time) => (await ask("offsets", "--topic", made, "--time", time)).trim()
		equal(await at("earliest"), `${made}:0:0`, "earliest")
		equal(await at("latest"), `${made}:0:20`, "latest")
		that(/:0:1?\d$/.test(await at("max-timestamp")), "of the greatest time")
	}

	async function groups() {
		const made = await topic("groups", 1), of = ["--group", made]
		await produce(made, lines(0, 20))
		await consume(made, 4, ...of)
		that((await ask("groups", "--list", "--state")).includes(made), "it is not listed")
		that(/ 4 +20 +16 /.test(await ask("groups", "--describe", ...of)), "its lag")
		await ask("groups", "--reset-offsets", ...of, "--topic", made, "--shift-by", "5", "--execute")
		that(/ 9 +20 +11 /.test(await ask("groups", "--describe", ...of)), "its lag, when it was reset")
		await ask("groups", "--delete-offsets", ...of, "--topic", made)
		await ask("groups", "--delete", ...of)
		that(!(await ask("groups", "--list")).includes(made), "it is still there")
	}

	async function log_dirs() {
		const made = await topic("log-dirs", 1)
		await produce(made, lines(0, 20))
		const said = await ask("log_dirs", "--describe", "--topic-list", made)
		const [{ logDirs }] = JSON.parse(said.split("\n").find((line) => line.startsWith("{"))).brokers
		that(logDirs[0].partitions[0].size > 0, "its log has no size")
	}

	async function partitions() {
		const made = await topic("partitions", 2)
		await ask("topics", "--alter", "--topic", made, "--partitions", "5")
		that((await ask("topics", "--describe", "--topic", made)).includes("PartitionCount: 5"), "it has not five")
	}

	async function delete_records() {
		const made = await topic("delete-records", 1)
		await produce(made, lines(0, 20))
		const wanted = { partitions: [{ topic: made, partition: 0, offset: 5 }], version: 1 }
		writeFileSync("delete-records.json", JSON.stringify(wanted))
		const said = await ask("delete_records", "--offset-json-file", "delete-records.json")
		that(said.includes("low_watermark: 5"), said)
		equal((await ask("offsets", "--topic", made, "--time", "earliest")).trim(), `${made}:0:5`, "earliest")
	}

	async function delete_topic() {
		const made = await topic("delete-topic", 2)
		await ask("topics", "--delete", "--topic", made)
		that(!(await ask("topics", "--list")).split("\n").includes(made), "it is still there")
	}

	async function transactions() {
		await ask("transactions", "list")
		await ask("transactions", "find-hanging", "--broker-id", "1")
		const made = await topic("transactions", 1), id = name("transactional-id")
		const perf = ["--topic", made, "--num-records", "1000", "--record-size", "100", "--throughput", "-1", "--transactional-id", id]
		const { said, code } = await run("producer_perf", [...broker, ...perf, "--transaction-duration-ms", "100"])
		equal(code, 0, said)
		that((await ask("transactions", "list")).includes(id), "it is not listed")
		that(/CompleteCommit|Empty/.test(await ask("transactions", "describe", "--transactional-id", id)), "it did not commit")
		await ask("transactions", "describe-producers", "--topic", made, "--partition", "0")
		equal((await consume(made, 1000, "--isolation-level", "read_committed")).length, 1000, "records")
	}

	async function perf() {
		const made = await topic("perf", 3), records = 20_000
		const how = ["--topic", made, "--num-records", `${records}`, "--record-size", "200", "--throughput", "-1"]
		const said = await run("producer_perf", [...broker, ...how])
		that(said.code === 0 && said.said.includes(`${records} records sent`), said.what)
		const read = await ask("consumer_perf", "--topic", made, "--num-records", `${records}`, "--timeout", "20000")
		that(/ \d+\.\d+, /.test(read), read)
	}

	async function everything() {
		that((await run("cluster", ["cluster-id", ...broker])).said.includes("Cluster ID"), "the cluster has no id")
		that((await ask("versions")).includes("ApiVersions(18)"), "no versions")
		await ask("features", "describe")
		await ask("all_groups", "--list")
		await ask("groups", "--describe", "--all-groups", "--members", "--verbose")
		const settings = await ask("configs", "--describe", "--entity-type", "brokers", "--entity-name", "1", "--all")
		that(settings.includes("num.partitions"), settings)
		that((await run("acls", [...broker, "--list"])).said.includes("SecurityDisabledException"), "ACLs")
	}

	const codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
	return {
		topic: topics,
		...Object.fromEntries(codecs.map((codec) => [codec, () => there_and_back(codec, "--compression-codec", codec)])),
		"acks=1": () => there_and_back("acks", "--command-property", "enable.idempotence=false", "--request-required-acks", "1"),
		resume: () => resume("resume", "classic"),
		group: () => group("group", "classic"),
		"consumer-resume": () => resume("consumer-resume", "consumer"),
		"consumer-group": () => group("consumer-group", "consumer"),
		configs, offsets, groups, "log-dirs": log_dirs, partitions, "delete-records": delete_records, "delete-topic": delete_topic,
		everything, transactions, perf,
	}
}

main(version, checks)
