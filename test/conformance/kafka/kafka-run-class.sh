#!/usr/bin/env bash
# kafka-run-class.sh: a class of CLASSPATH, with Kafka's jars. Some of librdkafka's tests run a client for Java beside their own.
set -euo pipefail
exec java -cp "${CLASSPATH:-}:$KAFKA_PATH/libs/*" "$@"
