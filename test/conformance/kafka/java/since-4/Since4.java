// Checks of what the client for Java has from version 4 on: groups of the newer kind (KIP-848), whose members the server assigns.
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;

public final class Since4 {
	private final Client client;

	private Since4(Client client) {
		this.client = client;
	}

	public static void add(Tap tap, Client client, Groups groups) {
		var since_4 = new Since4(client);
		tap.check("consumer-resume", () -> groups.resumes("consumer-resume", "group.protocol", "consumer"));
		tap.check("consumer-group", () -> groups.rebalances("consumer-group", "group.protocol", "consumer"));
		tap.check("consumer-range", () -> groups.rebalances("consumer-range", "group.protocol", "consumer", "group.remote.assignor", "range"));
		tap.check("consumer-pattern", since_4::pattern);
		tap.check("consumer-groups", since_4::groups);
	}

	private KafkaConsumer<byte[], byte[]> member(String group) {
		return client.consumer("group.id", group, "group.protocol", "consumer", "client.id", "a client");
	}

	private void filled(String topic) throws Exception {
		try (var producer = client.producer()) {
			producer.send(new ProducerRecord<>(topic, Client.bytes("0"))).get();
		}
	}

	// The server says which topics a pattern means; one that is made later comes in, too.
	void pattern() throws Exception {
		var wanted = new HashSet<>(Set.of(client.topic("pattern-a", 1), client.topic("pattern-b", 1)));
		for (String topic : wanted) filled(topic);
		client.topic("other-pattern", 1);
		try (var consumer = member(client.name("consumer-pattern"))) {
			consumer.subscribe(new SubscriptionPattern(client.name("pattern-") + "[a-c]"));
			var seen = new HashSet<String>();
			while (!seen.equals(wanted)) consumer.poll(Duration.ofMillis(100)).forEach(record -> seen.add(record.topic()));
			String later = client.topic("pattern-c", 1);
			filled(later);
			wanted.add(later);
			while (!seen.equals(wanted)) consumer.poll(Duration.ofMillis(100)).forEach(record -> seen.add(record.topic()));
		}
	}

	void groups() throws Exception {
		String topic = client.topic("consumer-groups", 2), group = client.name("consumer-groups");
		filled(topic);
		try (var consumer = member(group)) {
			consumer.subscribe(List.of(topic));
			while (consumer.poll(Duration.ofMillis(100)).isEmpty()) continue;
			consumer.commitSync();
			Tap.that(listed(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).contains(group), "it is not listed by its type");
			Tap.that(!listed(new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC))).contains(group), "it is listed as classic");
			Tap.that(listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))).contains(group), "it is not listed as stable");
			var described = client.admin.describeConsumerGroups(List.of(group)).all().get().get(group);
			Tap.equal(described.type(), GroupType.CONSUMER, "its type");
			Tap.equal(described.groupState(), GroupState.STABLE, "its state");
			var member = described.members().iterator().next();
			Tap.equal(member.clientId(), "a client", "its client.id");
			Tap.equal(member.assignment().topicPartitions().size(), 2, "its partitions");
		}
		client.admin.deleteConsumerGroups(List.of(group)).all().get();
		Tap.that(!listed(new ListGroupsOptions()).contains(group), "it is still there");
	}

	private Set<String> listed(ListGroupsOptions which) throws Exception {
		return client.admin.listGroups(which).all().get().stream().map(one -> one.groupId()).collect(Collectors.toSet());
	}
}
