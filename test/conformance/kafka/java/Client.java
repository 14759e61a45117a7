// What the checks share: clients of one server with the properties they differ in, topics by name, and records that are not alike.
import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

final class Client {
	static final long TIME = 1_700_000_000_000L;

	final String server, prefix;
	final Admin admin;

	Client(String server, String prefix) {
		this.server = server;
		this.prefix = prefix;
		this.admin = Admin.create(Map.of("bootstrap.servers", server, "request.timeout.ms", 20_000, "default.api.timeout.ms", 20_000));
	}

	String name(String what) {
		return prefix + "-" + what;
	}

	String topic(String what, int partitions) throws Exception {
		String topic = name(what);
		admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
		return topic;
	}

	// `more`: names and values by turns.
	KafkaProducer<byte[], byte[]> producer(Object... more) {
		return new KafkaProducer<>(properties(more), new ByteArraySerializer(), new ByteArraySerializer());
	}

	KafkaConsumer<byte[], byte[]> consumer(Object... more) {
		var properties = properties("auto.offset.reset", "earliest", "enable.auto.commit", false);
		properties.putAll(properties(more));
		return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	private Map<String, Object> properties(Object... more) {
		var properties = new HashMap<String, Object>(Map.of("bootstrap.servers", server));
		for (int i = 0; i < more.length; i += 2) properties.put((String) more[i], more[i + 1]);
		return properties;
	}

	static byte[] bytes(String text) {
		return text.getBytes(UTF_8);
	}

	static int number(ConsumerRecord<byte[], byte[]> record) {
		return Integer.parseInt(new String(record.value(), UTF_8));
	}

	// --- records ------------------------------------------------------------------------------------------------------
	// The i-th of a topic of three partitions: without a key, without a value, with many headers or none, short and long.
	static ProducerRecord<byte[], byte[]> record(String topic, int i) {
		byte[] key = i % 7 == 0 ? null : bytes("key " + i);
		byte[] value = i % 11 == 1 && key != null ? null : new byte[i == 50 ? 200_000 : i * 37 % 1500];
		if (value != null) {
			new Random(i).nextBytes(value);
			Arrays.fill(value, 0, value.length / 2, (byte) i); // something to compress
		}
		var record = new ProducerRecord<>(topic, i % 3, TIME + i, key, value);
		for (int h = 0; h < i % 4; h++) record.headers().add("same name", bytes("header " + h + " of " + i));
		if (i % 5 == 0) record.headers().add("empty", new byte[0]).add("none", null);
		return record;
	}

	// The same of a record that is sent and of one that came.
	static List<Object> contents(ProducerRecord<byte[], byte[]> record) {
		return contents(record.timestamp(), record.key(), record.value(), record.headers());
	}

	static List<Object> contents(ConsumerRecord<byte[], byte[]> record) {
		return contents(record.timestamp(), record.key(), record.value(), record.headers());
	}

	private static List<Object> contents(long time, byte[] key, byte[] value, org.apache.kafka.common.header.Headers headers) {
		var all = new ArrayList<Object>(List.of(time, Arrays.toString(key), Arrays.toString(value)));
		for (var header : headers) all.add(new RecordHeader(header.key(), header.value()));
		return all;
	}

	static void wait_for(Collection<Future<RecordMetadata>> sent) throws Exception {
		for (var one : sent) one.get();
	}

	// Values, as numbers, of all there is of a topic up to what is its end for such a consumer, partition by partition.
	List<List<Integer>> read_all(String topic, int partitions, String isolation) {
		var all = new ArrayList<List<Integer>>();
		try (var consumer = consumer("isolation.level", isolation)) {
			for (int p = 0; p < partitions; p++) {
				var partition = new TopicPartition(topic, p);
				consumer.assign(Set.of(partition));
				consumer.seekToBeginning(Set.of(partition));
				long end = consumer.endOffsets(Set.of(partition)).get(partition);
				var numbers = new ArrayList<Integer>();
				while (consumer.position(partition) < end) {
					consumer.poll(Duration.ofSeconds(1)).forEach(record -> numbers.add(number(record)));
				}
				all.add(numbers);
			}
		}
		return all;
	}
}
