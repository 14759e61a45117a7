// Which clients there are, and how the program of each is had and started. The same checks in each: what a client does not have, its
// program skips, and says so.
import { join } from "node:path"

import { kafka_dist } from "./kafka-dist/kafka-dist.mjs"
import * as make from "./languages.mjs"
import { answers, place } from "./languages.mjs"

const python_program = (interpreter, name) => () => [interpreter, "-B", join(place.here, "python", name)]
const node_program = (name) => () => [process.execPath, join(place.work, "node", name)]
const go = (name) => ({ lacks: make.go_lacks, install: () => make.go_install(name), command: () => [make.go_program(name)] })
const java_flags = ["-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
const java = (version) => ({
	lacks: make.java_lacks,
	install: () => make.java_install(version),
	command: () => ["java", ...java_flags, "-cp", make.java_path(version), "Main"],
})

// `quick`: in the quick part, too.
export const programs = [
	{
		name: "kcat", title: "kcat", quick: true, lacks: () => (answers("kcat", "-V") ? "" : "there is no kcat"),
		command: () => [process.execPath, join(place.here, "kcat.mjs")],
	},
	{ name: "java-4", title: "the client for Java", quick: true, ...java(4) },
	{ name: "java-3", title: "the client for Java, 3.9", ...java(3) },
	{
		name: "console-tools", title: "the console tools of Apache Kafka", lacks: make.java_lacks, install: kafka_dist,
		command: () => [process.execPath, join(place.here, "tools.mjs"), kafka_dist()],
	},
	{
		name: "kafka-python", title: "kafka-python", install: make.pip, command: python_program(make.python, "kafka_python.py"),
	},
	{
		name: "kafka-python-debian", title: "kafka-python, as Debian has it", quick: true, lacks: make.python_lacks("kafka"),
		command: python_program(make.debian_python, "kafka_python.py"),
	},
	{ name: "aiokafka", title: "aiokafka", install: make.pip, command: python_program(make.python, "aio.py") },
	{
		name: "confluent-python", title: "confluent-kafka for Python", install: make.pip, command: python_program(make.python, "confluent.py"),
	},
	{
		name: "confluent-python-debian", title: "confluent-kafka for Python, as Debian has it", lacks: make.python_lacks("confluent_kafka"),
		command: python_program(make.debian_python, "confluent.py"),
	},
	{ name: "franz-go", title: "franz-go", ...go("franz") },
	{ name: "sarama", title: "sarama", ...go("sarama") },
	{ name: "kafka-go", title: "kafka-go", ...go("segmentio") },
	{ name: "kafkajs", title: "kafkajs", quick: true, install: make.npm, command: node_program("kafkajs.mjs") },
	{
		name: "platformatic", title: "@platformatic/kafka", lacks: make.node_lacks(20, 19), install: make.npm,
		command: node_program("platformatic.mjs"),
	},
]
