#!/usr/bin/env bash
# kafka-topics.sh, as far as librdkafka's tests use it, by `bide topic`. BIDE: the program; BIDE_SERVER: where its HTTP door is.
set -euo pipefail

action='' topic='' options=()
while (($#)); do
	case $1 in
	--create | --alter | --delete) action=${1#--} ;;
	--topic) topic=$2 && shift ;;
	--partitions) options+=(--partitions "$2") && shift ;;
	--config) options+=(--set "$2") && shift ;;
	--bootstrap-server | --replication-factor) shift ;; # there is one server
	*) echo "kafka-topics.sh: $1 is not known here" >&2 && exit 2 ;;
	esac
	shift
done
exec "$BIDE" topic "$action" "$topic" ${options[@]+"${options[@]}"}
