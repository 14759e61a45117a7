#!/usr/bin/python3
"""kafka-topics.sh as far as librdkafka's tests use it: --create, --alter (partitions), --delete, of one topic."""
import argparse

from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

parser = argparse.ArgumentParser()
parser.add_argument("--bootstrap-server", required=True)
for action in ("create", "alter", "delete"):
    parser.add_argument(f"--{action}", action="store_true")
parser.add_argument("--topic", required=True)
parser.add_argument("--partitions", type=int, default=-1)
parser.add_argument("--replication-factor", type=int, default=-1)
parser.add_argument("--config", action="append", default=[])
args = parser.parse_args()

admin = AdminClient({"bootstrap.servers": args.bootstrap_server})
if args.create:
    config = dict(one.split("=", 1) for one in args.config)
    futures = admin.create_topics([NewTopic(args.topic, args.partitions, 1, config=config)])
elif args.alter:
    futures = admin.create_partitions([NewPartitions(args.topic, args.partitions)])
else:
    futures = admin.delete_topics([args.topic])
for future in futures.values():
    future.result()
