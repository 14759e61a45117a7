// platformatic.mjs HOST:PORT PREFIX [CHECK…]: @platformatic/kafka against the server there.
import { readFileSync } from "node:fs"

import { Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels, ListOffsetTimestamps, Producer } from "@platformatic/kafka"

import { Order, PARTITIONS, RECORDS, Skip, TIME, equal, main, rebalances, record, that } from "./tap.mjs"

const { version } = JSON.parse(readFileSync(new URL("../node_modules/@platformatic/kafka/package.json", import.meta.url), "utf8"))
const number = ({ value }) => Number(value.toString())
const { READ_COMMITTED, READ_UNCOMMITTED } = FetchIsolationLevels

async function checks(server, prefix) {
	const base = { clientId: "a client", bootstrapBrokers: [server] }
	const admin = new Admin(base)

	async function topic(name, partitions, configs = []) {
		await admin.createTopics({ topics: [`${prefix}-${name}`], partitions, replicas: 1, configs })
		return `${prefix}-${name}`
	}

	const producer = (options) => new Producer({ ...base, ...options })
	const numbered = (topic, numbers, partitions) =>
		numbers.map((n) => ({ topic, value: Buffer.from(`${n}`), partition: n % partitions, timestamp: BigInt(TIME + n * 1000) }))

	async function filled(name, partitions, records) {
		const made = await topic(name, partitions), writer = producer()
		await writer.send({ messages: numbered(made, [...Array(records).keys()], partitions) })
		await writer.close()
		return made
	}

	// Calls `take` for each message until it says that it is over.
	async function read(topic, { groupId = `${topic}-reader`, mode = "earliest", ...options }, take) {
		const consumer = new Consumer({ ...base, groupId, maxWaitTime: 100, autocommit: false, ...options })
		const stream = await consumer.consume({ topics: [topic], mode, fallbackMode: "earliest" })
		try {
			for await (const message of stream) if (await take(message, consumer)) return
		} finally {
			await consumer.close(true)
		}
	}

	async function there_and_back(name, compression, options) {
		const made = await topic(name, 3), writer = producer(options), order = new Order()
		const messages = Array.from({ length: RECORDS }, (_, i) => {
			const { key, value, headers, time, partition } = record(i)
			const given = headers.map(([name, text]) => [Buffer.from(name), text])
			return { topic: made, key: key ?? undefined, value, headers: new Map(given), timestamp: BigInt(time), partition }
		})
		for (let i = 0; i < RECORDS; i += 30) await writer.send({ compression, messages: messages.slice(i, i + 30) })
		await writer.close()
		await read(made, {}, ({ partition, key, value, headers, timestamp, offset }) => {
			equal(Number(offset), (order.next[partition] - partition) / 3, "its offset")
			const came = [...headers].map(([name, text]) => [name.toString(), text])
			order.take(partition, { key: key ?? null, value: value ?? null, headers: came, time: Number(timestamp) })
			return order.over
		})
	}

	async function resume(name, options) {
		const made = await filled(name, 1, 100), kept = { topic: made, partition: 0, offset: 50n, leaderEpoch: 0 }
		let next = 0
		await read(made, { groupId: made, mode: "committed", ...options }, async (message, consumer) => {
			if (next < 60) equal(number(message), next++, "read")
			if (next === 50) await consumer.commit({ offsets: [kept] })
			return next === 60
		})
		equal(await committed(made), 50n, "committed")
		next = 50
		await read(made, { groupId: made, mode: "committed", ...options }, (message) => {
			equal(number(message), next++, "read")
			return next === 100
		})
	}

	async function committed(topic) {
		const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [topic] })
		return topics.find(({ name }) => name === topic)?.partitions.find(({ partitionIndex }) => partitionIndex === 0)?.committedOffset
	}

	// --- transactions ----------------------------------------------------------------------------------------------------
	const transactional = (name) => producer({ transactionalId: `${prefix}-${name}`, idempotent: true })

	async function read_until(topic, last, isolationLevel) {
		const numbers = []
		await read(topic, { isolationLevel, groupId: `${topic}-${isolationLevel}` }, (message) => {
			numbers.push(number(message))
			return numbers.at(-1) === last
		})
		return numbers
	}

	async function transaction(writer, topic, numbers, how) {
		const one = await writer.beginTransaction()
		await one.send({ messages: numbered(topic, numbers, 1) })
		await one[how]()
	}

	async function commit() {
		const made = await topic("commit", 1), writer = transactional("commit")
		await transaction(writer, made, [0, 1], "commit")
		equal(await read_until(made, 1, READ_COMMITTED), [0, 1], "read")
		await writer.close()
	}

	async function abort() {
		const made = await topic("abort", 1), writer = transactional("abort")
		await transaction(writer, made, [0, 1], "commit")
		await transaction(writer, made, [2, 3], "abort")
		await transaction(writer, made, [4], "commit")
		equal(await read_until(made, 4, READ_COMMITTED), [0, 1, 4], "read_committed")
		equal(await read_until(made, 4, READ_UNCOMMITTED), [0, 1, 2, 3, 4], "read_uncommitted")
		await writer.close()
	}

	async function txn_offsets() {
		const made = await filled("txn-offsets", 1, 5), writer = transactional("txn-offsets")
		for (const [how, offset] of [["abort", undefined], ["commit", 3n]]) {
			await read(made, { groupId: made }, async (message, consumer) => {
				if (number(message) !== 2) return false
				const one = await writer.beginTransaction()
				await one.addConsumer(consumer)
				await one.send({ messages: numbered(made, [5], 1) })
				await one.addOffset(message)
				await one[how]()
				return true
			})
			equal(await committed(made), offset, "committed")
		}
		await writer.close()
	}

	// --- administration --------------------------------------------------------------------------------------------------
	const partitions_of = async (topic) => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitionsCount

	async function topics() {
		const made = await topic("topic", 3)
		that((await admin.listTopics()).includes(made), "it is not listed")
		equal(await partitions_of(made), 3, "partitions")
		const again = await topic("topic", 3).then(() => "", (error) => error)
		that(again, "made twice")
	}

	async function partitions() {
		const made = await topic("partitions", 2)
		await admin.createPartitions({ topics: [{ name: made, count: 5, assignments: [] }] })
		equal(await partitions_of(made), 5, "partitions")
	}

	async function configs() {
		const made = await topic("configs", 1, [{ name: "retention.ms", value: "3600000" }])
		const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: made }
		const value = async (name) => {
			const [{ configs }] = await admin.describeConfigs({ resources: [resource], includeSynonyms: true, includeDocumentation: true })
			return configs.find((config) => config.name === name).value
		}
		equal(await value("retention.ms"), "3600000", "retention.ms")
		const change = { name: "cleanup.policy", configOperation: 0, value: "compact" }
		await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [change] }], validateOnly: false })
		equal(await value("cleanup.policy"), "compact", "cleanup.policy")
	}

	const offset = async (topic, timestamp) => {
		const asked = { name: topic, partitions: [{ partitionIndex: 0, timestamp: BigInt(timestamp) }] }
		return (await admin.listOffsets({ topics: [asked] }))[0].partitions[0].offset
	}

	async function offsets() {
		const made = await filled("offsets", 1, 20)
		equal(await offset(made, ListOffsetTimestamps.EARLIEST), 0n, "earliest")
		equal(await offset(made, ListOffsetTimestamps.LATEST), 20n, "latest")
		equal(await offset(made, TIME + 4500), 5n, "behind a time")
	}

	async function groups() {
		const made = await filled("groups", 1, 20)
		await read(made, { groupId: made }, async (_, consumer) => {
			await consumer.commit({ offsets: [{ topic: made, partition: 0, offset: 4n, leaderEpoch: 0 }] })
			that((await admin.listGroups({ states: ["STABLE"] })).has(made), "it is not listed as stable")
			const group = (await admin.describeGroups({ groups: [made] })).get(made)
			equal([...group.members.values()].map(({ clientId }) => clientId), ["a client"], "members")
			return true
		})
		equal(await committed(made), 4n, "committed")
		const altered = { name: made, partitionOffsets: [{ partition: 0, offset: 9n }] }
		await admin.alterConsumerGroupOffsets({ groupId: made, topics: [altered] })
		equal(await committed(made), 9n, "altered")
		await admin.deleteGroups({ groups: [made] })
		that(!(await admin.listGroups()).has(made), "it is still there")
	}

	async function log_dirs() {
		const made = await filled("log-dirs", 1, 20)
		const [{ results }] = await admin.describeLogDirs({ topics: [{ name: made, partitions: [0] }] })
		that(results[0].topics[0].partitions[0].partitionSize > 0n, "its log has no size")
	}

	async function delete_records() {
		const made = await filled("delete-records", 1, 20)
		await admin.deleteRecords({ topics: [{ name: made, partitions: [{ partition: 0, offset: 5n }] }] })
		equal(await offset(made, ListOffsetTimestamps.EARLIEST), 5n, "earliest")
	}

	async function delete_topic() {
		const made = await filled("delete-topic", 2, 10)
		await admin.deleteTopics({ topics: [made] })
		that(!(await admin.listTopics()).includes(made), "it is still there")
	}

	async function everything() {
		const { brokers } = await admin.metadata({ topics: [], forceUpdate: true })
		equal(brokers.size, 1, "brokers")
		const resource = { resourceType: ConfigResourceTypes.BROKER, resourceName: `${[...brokers.keys()][0]}` }
		const [{ configs }] = await admin.describeConfigs({ resources: [resource], includeSynonyms: true, includeDocumentation: true })
		that(configs.length, "no configuration")
	}

	// In a group of the newer kind it commits by the epoch of before, where one began meanwhile; at Apache Kafka, too.
	function late(error) {
		if (!error.findBy?.("apiId", "STALE_MEMBER_EPOCH")) throw error
	}

	async function group(name, options) {
		const made = await topic(name, PARTITIONS), writer = producer()
		const send = (numbers) => writer.send({ messages: numbered(made, numbers, PARTITIONS) })
		const join = async (member) => {
			const consumer = new Consumer({ ...base, groupId: made, maxWaitTime: 100, ...options })
			const mine = () => consumer.assignments?.find(({ topic }) => topic === made)?.partitions.length ?? 0
			const how = { mode: "committed", fallbackMode: "earliest", autocommit: false, highWaterMark: 50 }
			const stream = await consumer.consume({ topics: [made], ...how })
			let leaving = false
			const over = (async () => {
				for await (const message of stream) {
					member.read([number(message)])
					member.has(mine()) // whose change is not told of in every kind of group
					await message.commit().catch(late)
					if (leaving) break
				}
			})()
			return async () => {
				leaving = true
				await over
				await consumer.close(true)
			}
		}
		await rebalances(send, join, false) // what it has read ahead it hands on after a rebalance, too, at Apache Kafka as well
		await writer.close()
	}

	const skip = (why) => () => Promise.reject(new Skip(why))
	const codec = (name) => [name, () => there_and_back(name, name)]
	return {
		topic: topics,
		...Object.fromEntries(["none", "gzip", "snappy", "lz4"].map(codec)),
		zstd: process.versions.zstd ? codec("zstd")[1] : skip("this version of Node.js has none"),
		idempotent: () => there_and_back("idempotent", "none", { idempotent: true }),
		"acks=1": () => there_and_back("acks", "none", { acks: 1 }),
		resume: () => resume("resume"),
		group: () => group("group"),
		"consumer-resume": () => resume("consumer-resume", { groupProtocol: "consumer" }),
		"consumer-group": () => group("consumer-group", { groupProtocol: "consumer" }),
		cooperative: skip("it has no such way of dividing"),
		commit, abort, "txn-offsets": txn_offsets,
		fence: skip("it keeps who may write to itself"),
		configs, offsets, groups, "log-dirs": log_dirs, partitions, "delete-records": delete_records, "delete-topic": delete_topic,
		everything,
	}
}

main(version, checks)
