// Transactions: what is committed is read, what is aborted or open is not; offsets go along; who is taken over from is fenced.
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;

final class Transactions {
	private final Client client;

	Transactions(Client client) {
		this.client = client;
	}

	private KafkaProducer<byte[], byte[]> producer(String id) {
		var producer = client.producer("transactional.id", client.name(id));
		producer.initTransactions();
		return producer;
	}

	// Numbers from..to in turns to the two partitions.
	private static void send(KafkaProducer<byte[], byte[]> producer, String topic, int from, int to) throws Exception {
		var sent = new ArrayList<java.util.concurrent.Future<org.apache.kafka.clients.producer.RecordMetadata>>();
		for (int i = from; i < to; i++) sent.add(producer.send(new ProducerRecord<>(topic, i % 2, null, Client.bytes("" + i))));
		producer.flush();
		Client.wait_for(sent);
	}

	void commits() throws Exception {
		String topic = client.topic("commit", 2);
		try (var producer = producer("commit")) {
			producer.beginTransaction();
			send(producer, topic, 0, 4);
			Tap.equal(client.read_all(topic, 2, "read_committed"), List.of(List.of(), List.of()), "read of an open one");
			producer.commitTransaction();
			Tap.equal(client.read_all(topic, 2, "read_committed"), List.of(List.of(0, 2), List.of(1, 3)), "read");
		}
	}

	void aborts() throws Exception {
		String topic = client.topic("abort", 2);
		try (var producer = producer("abort")) {
			producer.beginTransaction();
			send(producer, topic, 0, 4);
			producer.commitTransaction();
			producer.beginTransaction();
			send(producer, topic, 4, 8);
			producer.abortTransaction();
			producer.beginTransaction();
			send(producer, topic, 8, 10);
			producer.commitTransaction();
		}
		Tap.equal(client.read_all(topic, 2, "read_committed"), List.of(List.of(0, 2, 8), List.of(1, 3, 9)), "read_committed");
		var all = List.of(List.of(0, 2, 4, 6, 8), List.of(1, 3, 5, 7, 9));
		Tap.equal(client.read_all(topic, 2, "read_uncommitted"), all, "read_uncommitted");
	}

	// Reads, writes and commits what it read, all or nothing.
	void offsets() throws Exception {
		String topic = client.topic("txn-offsets", 2);
		var partition = new TopicPartition(topic, 0);
		try (var producer = producer("txn-offsets"); var consumer = client.consumer("group.id", client.name("txn-offsets"))) {
			producer.beginTransaction();
			send(producer, topic, 0, 10);
			producer.commitTransaction();
			consumer.subscribe(List.of(topic));
			while (consumer.poll(Duration.ofSeconds(1)).isEmpty()) continue;
			for (boolean commit : new boolean[] {false, true}) {
				producer.beginTransaction();
				send(producer, topic, 10, 12);
				producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(3)), consumer.groupMetadata());
				if (commit) {
					producer.commitTransaction();
				} else {
					producer.abortTransaction();
				}
				var committed = consumer.committed(Set.of(partition)).get(partition);
				Tap.equal(committed == null ? -1L : committed.offset(), commit ? 3L : -1L, "committed");
			}
		}
	}

	void fences() throws Exception {
		String topic = client.topic("fence", 2);
		try (var before = producer("fence")) {
			before.beginTransaction();
			send(before, topic, 0, 2);
			try (var after = producer("fence")) {
				try {
					before.commitTransaction();
					Tap.that(false, "who was taken over from commits");
				} catch (ProducerFencedException e) {
					// as it should be
				}
				after.beginTransaction();
				send(after, topic, 2, 4);
				after.commitTransaction();
			}
		}
		Tap.equal(client.read_all(topic, 2, "read_committed"), List.of(List.of(2), List.of(3)), "read");
	}
}
