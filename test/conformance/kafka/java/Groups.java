// Consumers of a group: one joins, one leaves, while a producer goes on; and who comes later goes on where a commit says.
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

final class Groups {
	private static final int PARTITIONS = 6, AHEAD = 1000, STAGE = 300;

	private final Client client;
	private final Tap tap;

	Groups(Client client, Tap tap) {
		this.client = client;
		this.tap = tap;
	}

	// Members say what they have read; who waits for something is told of every change.
	private static final class Seen {
		final Map<Integer, AtomicInteger> times = new ConcurrentHashMap<>();
		int count;
		boolean over;

		synchronized void add(int number) {
			times.computeIfAbsent(number, n -> new AtomicInteger()).incrementAndGet();
			count++;
			notifyAll();
		}

		synchronized void changed() {
			notifyAll();
		}

		synchronized void until(BooleanSupplier condition) throws InterruptedException {
			while (!condition.getAsBoolean()) wait();
		}
	}

	private static final class Member implements ConsumerRebalanceListener {
		final KafkaConsumer<byte[], byte[]> consumer;
		final Seen seen;
		final Set<TopicPartition> has = new HashSet<>();
		volatile int size, read;
		volatile boolean leave;
		Future<?> running;

		Member(KafkaConsumer<byte[], byte[]> consumer, Seen seen) {
			this.consumer = consumer;
			this.seen = seen;
		}

		Object run(String topic) {
			try (consumer) {
				consumer.subscribe(List.of(topic), this);
				while (!leave) {
					for (var record : consumer.poll(Duration.ofMillis(100))) {
						read++;
						seen.add(Client.number(record));
					}
					seen.changed(); // an assignment that came with the poll, too
				}
				consumer.commitSync();
			}
			return null;
		}

		public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
			if (!partitions.isEmpty()) consumer.commitSync();
			has.removeAll(partitions);
			size = has.size();
		}

		public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
			has.addAll(partitions);
			size = has.size();
		}
	}

	void rebalances(String what, Object... properties) throws Exception {
		String topic = client.topic(what, PARTITIONS);
		var seen = new Seen();
		var sent = new AtomicInteger();
		var producing = tap.beside(() -> produce(topic, seen, sent));
		Member first = member(what, topic, seen, properties);
		seen.until(() -> seen.count >= STAGE || failed(first));
		Member second = member(what, topic, seen, properties);
		seen.until(() -> second.size > 0 && first.size + second.size == PARTITIONS || failed(first, second));
		int reads = first.read, more = second.read;
		seen.until(() -> first.read > reads + STAGE && second.read > more + STAGE || failed(first, second));
		leave(first);
		seen.until(() -> second.size == PARTITIONS || failed(second));
		int alone = second.read;
		seen.until(() -> second.read > alone + STAGE || failed(second));
		synchronized (seen) {
			seen.over = true;
			seen.notifyAll();
		}
		producing.get();
		seen.until(() -> seen.times.size() == sent.get() || failed(second));
		leave(second);
		long twice = seen.times.values().stream().filter(times -> times.get() > 1).count();
		Tap.equal(seen.times.size(), sent.get(), "records read");
		Tap.equal(twice, 0L, "records read twice");
	}

	private Object produce(String topic, Seen seen, AtomicInteger sent) throws Exception {
		try (var producer = client.producer("linger.ms", 2)) {
			for (int i = 0; !seen.over; i++) {
				producer.send(new ProducerRecord<>(topic, i % PARTITIONS, null, Client.bytes("" + i)));
				sent.incrementAndGet();
				int here = i;
				seen.until(() -> here < seen.count + AHEAD || seen.over);
			}
			producer.flush();
		}
		return null;
	}

	private Member member(String what, String topic, Seen seen, Object... properties) {
		var all = new java.util.ArrayList<Object>(List.of("group.id", client.name(what), "max.poll.records", 50));
		all.addAll(List.of(properties));
		var member = new Member(client.consumer(all.toArray()), seen);
		member.running = tap.beside(() -> {
			try {
				return member.run(topic);
			} finally {
				seen.changed();
			}
		});
		return member;
	}

	private static boolean failed(Member... members) {
		for (Member member : members) {
			if (!member.running.isDone()) continue;
			try {
				member.running.get();
			} catch (Exception e) {
				throw new IllegalStateException(e.getCause());
			}
			throw new IllegalStateException("a member ended too early");
		}
		return false;
	}

	private static void leave(Member member) throws Exception {
		member.leave = true;
		member.running.get();
	}

	void resumes(String what, Object... properties) throws Exception {
		String topic = client.topic(what, 1);
		var partition = new TopicPartition(topic, 0);
		try (var producer = client.producer()) {
			for (int i = 0; i < 100; i++) producer.send(new ProducerRecord<>(topic, Client.bytes("" + i)));
		}
		var all = new java.util.ArrayList<Object>(List.of("group.id", client.name(what), "max.poll.records", 10));
		all.addAll(List.of(properties));
		try (var consumer = client.consumer(all.toArray())) {
			consumer.subscribe(List.of(topic));
			for (int next = 0; next < 60;) {
				for (var record : consumer.poll(Duration.ofSeconds(1))) Tap.equal(Client.number(record), next++, "read");
				if (next == 50) consumer.commitSync(Map.of(partition, new OffsetAndMetadata(50, "half of it")));
			}
			var committed = consumer.committed(Set.of(partition)).get(partition);
			Tap.equal(committed.offset() + committed.metadata(), "50half of it", "committed");
		}
		try (var consumer = client.consumer(all.toArray())) {
			consumer.subscribe(List.of(topic));
			for (int next = 50; next < 100;) {
				for (var record : consumer.poll(Duration.ofSeconds(1))) Tap.equal(Client.number(record), next++, "read");
			}
		}
	}
}
