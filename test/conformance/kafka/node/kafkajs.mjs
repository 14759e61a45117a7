// kafkajs.mjs HOST:PORT PREFIX [CHECK…]: kafkajs against the server there.
import { createRequire } from "node:module"

import { Order, PARTITIONS, RECORDS, Skip, TIME, equal, main, rebalances, record, that } from "./tap.mjs"

const require = createRequire(import.meta.url)
const { AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require("kafkajs")
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy")
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const { version } = require("kafkajs/package.json")

const number = ({ value }) => Number(value.toString())

async function checks(server, prefix) {
	const kafka = new Kafka({ clientId: "a client", brokers: [server], logLevel: logLevel.NOTHING })
	const admin = kafka.admin()
	await admin.connect()

	async function topic(name, numPartitions, configEntries = []) {
		await admin.createTopics({ topics: [{ topic: `${prefix}-${name}`, numPartitions, configEntries }] })
		return `${prefix}-${name}`
	}

	async function producer(options) {
		const made = kafka.producer({ allowAutoTopicCreation: false, ...options })
		await made.connect()
		return made
	}

	async function filled(name, partitions, records) {
		const made = await topic(name, partitions), writer = await producer()
		const one = (_, i) => ({ value: `${i}`, partition: i % partitions, timestamp: `${TIME + i * 1000}` })
		await writer.send({ topic: made, messages: Array.from({ length: records }, one) })
		await writer.disconnect()
		return made
	}

	// Calls `take` for each message until it says that it is over.
	async function read(topic, options, take) {
		const { groupId = `${topic}-reader`, ...more } = options
		const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, ...more })
		await consumer.connect()
		await consumer.subscribe({ topic, fromBeginning: true })
		try {
			await new Promise((done, fail) => {
				const eachMessage = async ({ partition, message }) => {
					try {
						if (await take(partition, message, consumer)) done()
					} catch (error) {
						fail(error)
					}
				}
				consumer.run({ autoCommit: false, eachMessage }).catch(fail)
				consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error))
			})
		} finally {
			await consumer.disconnect()
		}
	}

	async function there_and_back(name, compression, options, acks = -1) {
		const made = await topic(name, 3), writer = await producer(options), order = new Order()
		const messages = Array.from({ length: RECORDS }, (_, i) => {
			const { time, headers, ...rest } = record(i)
			return { ...rest, timestamp: `${time}`, headers: Object.fromEntries(headers) }
		})
		for (let i = 0; i < RECORDS; i += 30) await writer.send({ topic: made, acks, compression, messages: messages.slice(i, i + 30) })
		await writer.disconnect()
		await read(made, {}, (partition, { key, value, headers, timestamp, offset }) => {
			equal(Number(offset), (order.next[partition] - partition) / 3, "its offset")
			order.take(partition, { key, value, headers: Object.entries(headers), time: Number(timestamp) })
			return order.over
		})
	}

	async function resume() {
		const made = await filled("resume", 1, 100), kept = { topic: made, partition: 0, offset: "50", metadata: "half of it" }
		let next = 0
		await read(made, { groupId: made }, async (_, message, consumer) => {
			if (next < 60) equal(number(message), next++, "read")
			if (next === 50) await consumer.commitOffsets([kept])
			return next === 60
		})
		const [{ partitions }] = await admin.fetchOffsets({ groupId: made, topics: [made] })
		equal([partitions[0].offset, partitions[0].metadata], ["50", "half of it"], "committed")
		next = 50
		await read(made, { groupId: made }, (_, message) => {
			equal(number(message), next++, "read")
			return next === 100
		})
	}

	async function group() {
		const made = await topic("group", PARTITIONS), writer = await producer()
		const send = (numbers) => writer.send({ topic: made, messages: numbers.map((n) => ({ value: `${n}`, partition: n % PARTITIONS })) })
		const join = async (member) => {
			const consumer = kafka.consumer({ groupId: made, maxWaitTimeInMs: 100, heartbeatInterval: 300 })
			consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => member.has(payload.memberAssignment[made]?.length ?? 0))
			await consumer.connect()
			await consumer.subscribe({ topic: made, fromBeginning: true })
			await consumer.run({ eachBatch: async ({ batch }) => member.read(batch.messages.map(number)) })
			return () => consumer.disconnect()
		}
		await rebalances(send, join)
		await writer.disconnect()
	}

	// --- transactions ----------------------------------------------------------------------------------------------------
	const transactional = (name) => producer({ transactionalId: `${prefix}-${name}`, maxInFlightRequests: 1, idempotent: true })

	// Up to a last record, which must be committed.
	async function read_until(topic, last, readUncommitted) {
		const numbers = []
		await read(topic, { readUncommitted, groupId: `${topic}-${readUncommitted}` }, (_, message) => {
			numbers.push(number(message))
			return numbers.at(-1) === last
		})
		return numbers
	}

	async function transaction(writer, topic, numbers, how) {
		const one = await writer.transaction()
		await one.send({ topic, messages: numbers.map((n) => ({ value: `${n}`, partition: 0 })) })
		await one[how]()
	}

	async function commit() {
		const made = await topic("commit", 1), writer = await transactional("commit")
		await transaction(writer, made, [0, 1], "commit")
		equal(await read_until(made, 1, false), [0, 1], "read")
		await writer.disconnect()
	}

	async function abort() {
		const made = await topic("abort", 1), writer = await transactional("abort")
		await transaction(writer, made, [0, 1], "commit")
		await transaction(writer, made, [2, 3], "abort")
		await transaction(writer, made, [4], "commit")
		equal(await read_until(made, 4, false), [0, 1, 4], "read_committed")
		equal(await read_until(made, 4, true), [0, 1, 2, 3, 4], "read_uncommitted")
		await writer.disconnect()
	}

	async function txn_offsets() {
		const made = await topic("txn-offsets", 1), writer = await transactional("txn-offsets")
		for (const [how, offset] of [["abort", "-1"], ["commit", "3"]]) {
			const one = await writer.transaction()
			await one.send({ topic: made, messages: [{ value: "0", partition: 0 }] })
			await one.sendOffsets({ consumerGroupId: made, topics: [{ topic: made, partitions: [{ partition: 0, offset: "3" }] }] })
			await one[how]()
			equal((await admin.fetchOffsets({ groupId: made, topics: [made] }))[0].partitions[0].offset, offset, "committed")
		}
		await writer.disconnect()
	}

	async function fence() {
		const made = await topic("fence", 1), before = await transactional("fence")
		const open = await before.transaction()
		await open.send({ topic: made, messages: [{ value: "0", partition: 0 }] })
		const after = await transactional("fence")
		const one = await after.transaction()
		const how = await open.commit().then(() => "who was taken over from commits", (error) => error.type ?? error.name)
		that(/FENCED|EPOCH/.test(how), how)
		await one.send({ topic: made, messages: [{ value: "1", partition: 0 }] })
		await one.commit()
		equal(await read_until(made, 1, false), [1], "read")
		await Promise.all([before.disconnect(), after.disconnect()])
	}

	// --- administration --------------------------------------------------------------------------------------------------
	const partitions_of = async (topic) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length

	async function topics() {
		const made = await topic("topic", 3)
		that((await admin.listTopics()).includes(made), "it is not listed")
		equal(await partitions_of(made), 3, "partitions")
		equal(await admin.createTopics({ topics: [{ topic: made }] }), false, "made twice")
	}

	async function partitions() {
		const made = await topic("partitions", 2)
		await admin.createPartitions({ topicPartitions: [{ topic: made, count: 5 }] })
		equal(await partitions_of(made), 5, "partitions")
	}

	async function configs() {
		const made = await topic("configs", 1, [{ name: "retention.ms", value: "3600000" }])
		const resource = { type: ConfigResourceTypes.TOPIC, name: made }
		const value = async (name) => {
			const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [resource] })
			return resources[0].configEntries.find(({ configName }) => configName === name).configValue
		}
		equal(await value("retention.ms"), "3600000", "retention.ms")
		const configEntries = [{ name: "cleanup.policy", value: "compact" }]
		await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
		equal(await value("cleanup.policy"), "compact", "cleanup.policy")
	}

	async function offsets() {
		const made = await filled("offsets", 1, 20)
		equal(await admin.fetchTopicOffsets(made), [{ partition: 0, offset: "20", high: "20", low: "0" }], "first and last")
		equal(await admin.fetchTopicOffsetsByTimestamp(made, TIME + 4500), [{ partition: 0, offset: "5" }], "behind a time")
	}

	async function groups() {
		const made = await filled("groups", 1, 20)
		await read(made, { groupId: made }, async (_, message, consumer) => {
			await consumer.commitOffsets([{ topic: made, partition: 0, offset: "4" }])
			that((await admin.listGroups()).groups.some(({ groupId }) => groupId === made), "it is not listed")
			const { state, members } = (await admin.describeGroups([made])).groups[0]
			equal([state, members[0].clientId], ["Stable", "a client"], "described")
			equal(AssignerProtocol.MemberAssignment.decode(members[0].memberAssignment).assignment, { [made]: [0] }, "its partitions")
			return true
		})
		const committed = async () => (await admin.fetchOffsets({ groupId: made, topics: [made] }))[0].partitions[0].offset
		equal(await committed(), "4", "committed")
		await admin.setOffsets({ groupId: made, topic: made, partitions: [{ partition: 0, offset: "9" }] })
		equal(await committed(), "9", "altered")
		await admin.deleteGroups([made])
		that(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === made), "it is still there")
	}

	async function delete_records() {
		const made = await filled("delete-records", 1, 20)
		equal((await admin.fetchTopicOffsets(made))[0].low, "0", "earliest") // it wants to know the topic before
		await admin.deleteTopicRecords({ topic: made, partitions: [{ partition: 0, offset: "5" }] })
		equal((await admin.fetchTopicOffsets(made))[0].low, "5", "earliest")
	}

	async function delete_topic() {
		const made = await filled("delete-topic", 2, 10)
		await admin.deleteTopics({ topics: [made] })
		that(!(await admin.listTopics()).includes(made), "it is still there")
	}

	async function everything() {
		const { brokers, controller } = await admin.describeCluster()
		equal(brokers.length, 1, "brokers")
		const resource = { type: ConfigResourceTypes.BROKER, name: `${controller}` }
		const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [resource] })
		that(resources[0].configEntries.length, "no configuration")
		that((await admin.fetchTopicMetadata()).topics.length, "no topics")
	}

	const skip = (why) => () => Promise.reject(new Skip(why))
	return {
		topic: topics,
		...Object.fromEntries(Object.entries(codecs).map(([name, codec]) => [name, () => there_and_back(name, codec, {})])),
		lz4: skip("no codec that is JavaScript alone"),
		zstd: skip("no codec that is JavaScript alone"),
		idempotent: () => there_and_back("idempotent", codecs.none, { idempotent: true, maxInFlightRequests: 1 }),
		"acks=1": () => there_and_back("acks", codecs.none, {}, 1),
		resume, group,
		cooperative: skip("it has no such way of dividing"),
		commit, abort, "txn-offsets": txn_offsets, fence, configs, offsets, groups,
		"log-dirs": skip("it does not ask"),
		partitions, "delete-records": delete_records, "delete-topic": delete_topic, everything,
	}
}

main(version, checks)
