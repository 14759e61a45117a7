// Which clients there are, and how the program of each is had and started. The same checks in each: what a client does not have, its
// program skips, and says so.
import { join } from "node:path"

import { answers, debian_python, java_install, java_lacks, java_path, node_lacks, npm, pip, place, python, python_lacks } from "./languages.mjs"

const python_program = (interpreter, name) => () => [interpreter, "-B", join(place.here, "python", name)]
const node_program = (name) => () => [process.execPath, join(place.work, "node", name)]
const java_flags = ["-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
const java = (version) => ({
	lacks: java_lacks,
	install: () => java_install(version),
	command: () => ["java", ...java_flags, "-cp", java_path(version), "Main"],
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
		name: "kafka-python", title: "kafka-python", install: pip, command: python_program(python, "kafka_python.py"),
	},
	{
		name: "kafka-python-debian", title: "kafka-python, as Debian has it", quick: true, lacks: python_lacks("kafka"),
		command: python_program(debian_python, "kafka_python.py"),
	},
	{
		name: "confluent-python", title: "confluent-kafka for Python", install: pip, command: python_program(python, "confluent.py"),
	},
	{
		name: "confluent-python-debian", title: "confluent-kafka for Python, as Debian has it", lacks: python_lacks("confluent_kafka"),
		command: python_program(debian_python, "confluent.py"),
	},
	{ name: "kafkajs", title: "kafkajs", quick: true, install: npm, command: node_program("kafkajs.mjs") },
	{
		name: "platformatic", title: "@platformatic/kafka", lacks: node_lacks(20, 19), install: npm,
		command: node_program("platformatic.mjs"),
	},
]
