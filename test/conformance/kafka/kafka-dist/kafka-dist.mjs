// Apache Kafka, as published: `node kafka-dist.mjs` fetches it, where it is not there yet, and prints the folder of its jars, for
//   java -cp 'FOLDER/*' kafka.Kafka …                        the broker
//   java -cp 'FOLDER/*' org.apache.kafka.tools.TopicCommand …  and the console tools
// It needs java and mvn.
import { fileURLToPath } from "node:url"

import { jars } from "../maven.mjs"

export const kafka_dist = () => jars("kafka-dist", "dist")

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(kafka_dist())
