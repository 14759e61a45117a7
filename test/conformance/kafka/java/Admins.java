// What is asked of a server by those who look after it: by programs, and by such pages as Kafka UI.
import java.util.Collection;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.quota.ClientQuotaFilter;

final class Admins {
	private final Client client;
	private final Admin admin;

	Admins(Client client) {
		this.client = client;
		this.admin = client.admin;
	}

	private String filled(String what, int partitions, int records) throws Exception {
		String topic = client.topic(what, partitions);
		try (var producer = client.producer()) {
			for (int i = 0; i < records; i++) {
				producer.send(new ProducerRecord<>(topic, i % partitions, Client.TIME + i * 1000, null, Client.bytes("" + i)));
			}
		}
		return topic;
	}

	private static Throwable fails(Callable<?> call) throws Exception {
		try {
			call.call();
		} catch (ExecutionException e) {
			return e.getCause();
		}
		return null;
	}

	@SafeVarargs
	private static void fails(String what, Callable<?> call, Class<? extends Throwable>... how) throws Exception {
		Throwable error = fails(call);
		for (var one : how) if (one.isInstance(error)) return;
		throw new AssertionError(what + ": " + (error == null ? "no error" : error), error);
	}

	void topics() throws Exception {
		String topic = client.topic("topic", 3);
		fails("made twice", () -> admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get(), TopicExistsException.class);
		Tap.that(admin.listTopics().names().get().contains(topic), "it is not listed");
		var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
		Tap.equal(described.partitions().size(), 3, "partitions");
		for (var partition : described.partitions()) Tap.equal(partition.leader().id(), partition.replicas().get(0).id(), "leader");
		var by_id = admin.describeTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds().get();
		Tap.equal(by_id.get(described.topicId()).name(), topic, "its name, by its id");
		fails("not there", () -> admin.describeTopics(List.of(client.name("missing"))).allTopicNames().get(),
			UnknownTopicOrPartitionException.class);
	}

	void partitions() throws Exception {
		String topic = client.topic("partitions", 2);
		admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
		Tap.equal(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), 5, "partitions");
		fails("fewer", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all().get(),
			InvalidPartitionsException.class);
	}

	void configs() throws Exception {
		String topic = client.name("configs");
		var made = new NewTopic(topic, 1, (short) 1).configs(Map.of("retention.ms", "3600000"));
		var told = admin.createTopics(List.of(made)).config(topic).get();
		Tap.equal(told.get("retention.ms").value(), "3600000", "retention.ms, as CreateTopics says");
		var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
		Tap.equal(config(resource).get("retention.ms").value(), "3600000", "retention.ms");
		Tap.equal(config(resource).get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
		alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.SET);
		alter(resource, "cleanup.policy", "delete", AlterConfigOp.OpType.APPEND);
		Tap.equal(Set.of(config(resource).get("cleanup.policy").value().split(",")), Set.of("compact", "delete"), "cleanup.policy");
		alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
		alter(resource, "retention.ms", null, AlterConfigOp.OpType.DELETE);
		Tap.equal(config(resource).get("cleanup.policy").value(), "delete", "cleanup.policy");
		Tap.equal(config(resource).get("retention.ms").isDefault(), true, "retention.ms is its default");
		fails("no value for it", () -> alter(resource, "retention.ms", "soon", AlterConfigOp.OpType.SET),
			InvalidConfigurationException.class);
		fails("no such topic", () -> config(new ConfigResource(ConfigResource.Type.TOPIC, client.name("missing"))),
			UnknownTopicOrPartitionException.class);
	}

	private Object alter(ConfigResource resource, String name, String value, AlterConfigOp.OpType how) throws Exception {
		return admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(name, value), how)))).all().get();
	}

	private org.apache.kafka.clients.admin.Config config(ConfigResource resource) throws Exception {
		var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
		return admin.describeConfigs(List.of(resource), options).all().get().get(resource);
	}

	private long offset(TopicPartition partition, OffsetSpec which) throws Exception {
		return admin.listOffsets(Map.of(partition, which)).partitionResult(partition).get().offset();
	}

	void offsets() throws Exception {
		var partition = new TopicPartition(filled("offsets", 1, 20), 0);
		Tap.equal(offset(partition, OffsetSpec.earliest()), 0L, "earliest");
		Tap.equal(offset(partition, OffsetSpec.latest()), 20L, "latest");
		Tap.equal(offset(partition, OffsetSpec.maxTimestamp()), 19L, "of the greatest time");
		Tap.equal(offset(partition, OffsetSpec.forTimestamp(Client.TIME + 4500)), 5L, "behind a time");
		Tap.equal(offset(partition, OffsetSpec.forTimestamp(Client.TIME + 20_000)), -1L, "behind all times");
		try (var consumer = client.consumer()) {
			var found = consumer.offsetsForTimes(Map.of(partition, Client.TIME + 7000)).get(partition);
			Tap.equal(found.offset(), 7L, "by a time");
			Tap.equal(found.timestamp(), Client.TIME + 7000, "its time");
		}
	}

	void groups() throws Exception {
		String topic = filled("groups", 2, 20), group = client.name("groups");
		var partition = new TopicPartition(topic, 0);
		try (var consumer = client.consumer("group.id", group, "client.id", "a client")) {
			consumer.subscribe(List.of(topic));
			while (consumer.assignment().isEmpty()) consumer.poll(java.time.Duration.ofMillis(100));
			consumer.commitSync(Map.of(partition, new OffsetAndMetadata(4)));
			var stable = new ListConsumerGroupsOptions().inStates(Set.of(ConsumerGroupState.STABLE));
			Tap.that(listed(stable).contains(group), "it is not listed as stable");
			var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
			Tap.equal(described.state(), ConsumerGroupState.STABLE, "state");
			Tap.equal(described.members().size(), 1, "members");
			var member = described.members().iterator().next();
			Tap.equal(member.clientId(), "a client", "its client.id");
			Tap.equal(member.assignment().topicPartitions().size(), 2, "its partitions");
			fails("a group that is used", () -> admin.deleteConsumerGroups(List.of(group)).all().get(), GroupNotEmptyException.class);
		}
		long committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition).offset();
		Tap.equal(offset(partition, OffsetSpec.latest()) - committed, 6L, "lag");
		admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(9))).all().get();
		Tap.equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition).offset(), 9L, "altered");
		admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
		Tap.equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition), null, "deleted");
		admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(9))).all().get();
		admin.deleteConsumerGroups(List.of(group)).all().get();
		Tap.that(!listed(new ListConsumerGroupsOptions()).contains(group), "it is still there");
		fails("no such group", () -> admin.deleteConsumerGroups(List.of(group)).all().get(), GroupIdNotFoundException.class);
	}

	private Set<String> listed(ListConsumerGroupsOptions which) throws Exception {
		return admin.listConsumerGroups(which).all().get().stream().map(one -> one.groupId()).collect(Collectors.toSet());
	}

	void log_dirs() throws Exception {
		String topic = filled("log-dirs", 1, 20);
		int node = admin.describeCluster().controller().get().id();
		long bytes = 0;
		for (var dir : admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values()) {
			var replica = dir.replicaInfos().get(new TopicPartition(topic, 0));
			if (replica != null) bytes += replica.size();
		}
		Tap.that(bytes > 0, "its log has no size");
	}

	void delete_records() throws Exception {
		var partition = new TopicPartition(filled("delete-records", 1, 20), 0);
		var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(partition).get();
		Tap.equal(deleted.lowWatermark(), 5L, "low watermark");
		Tap.equal(offset(partition, OffsetSpec.earliest()), 5L, "earliest");
		admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all().get();
		Tap.equal(offset(partition, OffsetSpec.earliest()), 20L, "earliest, with all deleted");
	}

	void delete_topic() throws Exception {
		String topic = filled("delete-topic", 2, 10), other = filled("delete-topic-by-id", 1, 10);
		admin.deleteTopics(List.of(topic)).all().get();
		var id = admin.describeTopics(List.of(other)).allTopicNames().get().get(other).topicId();
		admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
		var names = admin.listTopics().names().get();
		Tap.that(!names.contains(topic) && !names.contains(other), "it is still there");
	}

	// What a page that shows all there is asks: everything of everything.
	void everything() throws Exception {
		String topic = filled("everything", 3, 30), group = client.name("everything");
		try (var consumer = client.consumer("group.id", group)) {
			consumer.subscribe(List.of(topic));
			while (consumer.poll(java.time.Duration.ofSeconds(1)).isEmpty()) continue;
			consumer.commitSync();
			cluster();
			all_topics(topic);
			all_groups(group);
		}
	}

	private static void answered_or_not_offered(String what, Callable<?> call) throws Exception {
		Throwable error = fails(call);
		Tap.that(error == null || error instanceof UnsupportedVersionException, what + ": " + error);
	}

	private void cluster() throws Exception {
		var cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
		Tap.equal(cluster.nodes().get().size(), 1, "nodes");
		Tap.that(!cluster.clusterId().get().isEmpty(), "the cluster has no id");
		Tap.that(cluster.authorizedOperations().get() != null, "no authorized operations");
		var broker = new ConfigResource(ConfigResource.Type.BROKER, cluster.controller().get().idString());
		Tap.that(!config(broker).entries().isEmpty(), "the broker has no configuration");
		admin.describeLogDirs(List.of(cluster.controller().get().id())).allDescriptions().get();
		admin.describeFeatures().featureMetadata().get();
		fails("ACLs", () -> admin.describeAcls(AclBindingFilter.ANY).values().get(), SecurityDisabledException.class);
		answered_or_not_offered("quotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get());
		answered_or_not_offered("users", () -> admin.describeUserScramCredentials().all().get());
		answered_or_not_offered("reassignments", () -> admin.listPartitionReassignments().reassignments().get());
	}

	private void all_topics(String topic) throws Exception {
		var names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
		var options = new DescribeTopicsOptions().includeAuthorizedOperations(true);
		Tap.that(admin.describeTopics(names, options).allTopicNames().get().containsKey(topic), "it is not among all topics");
		Collection<ConfigResource> all = names.stream().map(name -> new ConfigResource(ConfigResource.Type.TOPIC, name)).toList();
		for (var entry : admin.describeConfigs(all).all().get().entrySet()) {
			Tap.that(!entry.getValue().entries().isEmpty(), entry.getKey() + " has no configuration");
		}
		var specs = List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(0),
			OffsetSpec.earliestLocal(), OffsetSpec.latestTiered());
		for (var spec : specs) {
			var wanted = new HashMap<TopicPartition, OffsetSpec>();
			for (int p = 0; p < 3; p++) wanted.put(new TopicPartition(topic, p), spec);
			Tap.equal(admin.listOffsets(wanted).all().get().size(), 3, "offsets");
		}
	}

	private void all_groups(String group) throws Exception {
		var ids = new java.util.HashSet<String>();
		for (var one : admin.listConsumerGroups().all().get()) ids.add(one.groupId());
		Tap.that(ids.contains(group), "it is not among all groups");
		for (var state : EnumSet.complementOf(EnumSet.of(ConsumerGroupState.UNKNOWN))) {
			admin.listConsumerGroups(new ListConsumerGroupsOptions().inStates(Set.of(state))).all().get();
		}
		admin.describeConsumerGroups(List.of(group)).all().get();
		Tap.equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().size(), 3, "its offsets");
	}

	void transactions() throws Exception {
		String topic = client.topic("transactions", 1), id = client.name("transactions");
		var partition = new TopicPartition(topic, 0);
		try (var producer = client.producer("transactional.id", id)) {
			producer.initTransactions();
			producer.beginTransaction();
			producer.send(new ProducerRecord<>(topic, 0, null, Client.bytes("0"))).get();
			Tap.that(admin.listTransactions().all().get().stream().anyMatch(one -> one.transactionalId().equals(id)), "it is not listed");
			var described = admin.describeTransactions(List.of(id)).all().get().get(id);
			Tap.equal(described.state(), TransactionState.ONGOING, "its state");
			Tap.that(described.topicPartitions().contains(partition), "it has not its partition");
			var producers = admin.describeProducers(List.of(partition)).all().get().get(partition).activeProducers();
			Tap.that(producers.stream().anyMatch(one -> one.producerId() == described.producerId()), "its producer is not described");
			producer.commitTransaction();
		}
	}
}
