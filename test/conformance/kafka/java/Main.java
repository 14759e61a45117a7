// java -cp … Main HOST:PORT PREFIX [CHECK…]: the published client for Java against the server there; topics and groups are called
// PREFIX-…. What it prints: see Tap.
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

public final class Main {
	private static final int RECORDS = 120;

	// What was sent comes back as it was, and stands where the producer was told.
	private static void there_and_back(Client client, String what, Object... properties) throws Exception {
		String topic = client.topic(what, 3);
		var sent = new ArrayList<Future<RecordMetadata>>();
		try (var producer = client.producer(properties)) {
			for (int i = 0; i < RECORDS; i++) sent.add(producer.send(Client.record(topic, i)));
		}
		var partitions = List.of(0, 1, 2).stream().map(p -> new TopicPartition(topic, p)).toList();
		int[] next = {0, 1, 2};
		try (var consumer = client.consumer()) {
			consumer.assign(partitions);
			consumer.seekToBeginning(partitions);
			while (Arrays.stream(next).sum() < 3 * RECORDS + 3) {
				for (var record : consumer.poll(Duration.ofSeconds(1))) {
					int i = next[record.partition()];
					next[record.partition()] += 3;
					Tap.equal(Client.contents(record), Client.contents(Client.record(topic, i)), "record " + i);
					Tap.equal(record.offset(), sent.get(i).get().offset(), "offset of record " + i);
				}
			}
		}
	}

	private static void since_4(Tap tap, Client client, Groups groups) throws ReflectiveOperationException {
		Class<?> more;
		try {
			more = Class.forName("Since4");
		} catch (ClassNotFoundException e) {
			return; // not made for this version
		}
		more.getMethod("add", Tap.class, Client.class, Groups.class).invoke(null, tap, client, groups);
	}

	public static void main(String[] args) throws Exception {
		var about = new Properties();
		about.load(Main.class.getResourceAsStream("/kafka/kafka-version.properties"));
		System.out.println("version " + about.getProperty("version"));
		var tap = new Tap();
		var client = new Client(args[0], args[1]);
		var admins = new Admins(client);
		var groups = new Groups(client, tap);
		var transactions = new Transactions(client);
		tap.check("topic", admins::topics);
		for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
			tap.check(codec, () -> there_and_back(client, codec, "compression.type", codec, "linger.ms", 50));
		}
		tap.check("idempotent", () -> there_and_back(client, "idempotent", "enable.idempotence", true, "retries", 5));
		tap.check("acks=1", () -> there_and_back(client, "acks", "enable.idempotence", false, "acks", "1"));
		tap.check("resume", () -> groups.resumes("resume"));
		tap.check("group", () -> groups.rebalances("group"));
		String sticky = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
		tap.check("cooperative", () -> groups.rebalances("cooperative", "partition.assignment.strategy", sticky));
		since_4(tap, client, groups);
		tap.check("commit", transactions::commits);
		tap.check("abort", transactions::aborts);
		tap.check("txn-offsets", transactions::offsets);
		tap.check("fence", transactions::fences);
		tap.check("configs", admins::configs);
		tap.check("offsets", admins::offsets);
		tap.check("groups", admins::groups);
		tap.check("log-dirs", admins::log_dirs);
		tap.check("partitions", admins::partitions);
		tap.check("delete-records", admins::delete_records);
		tap.check("delete-topic", admins::delete_topic);
		tap.check("everything", admins::everything);
		tap.check("transactions", admins::transactions);
		boolean good = tap.run(Arrays.asList(args).subList(2, args.length));
		client.admin.close(Duration.ofSeconds(1));
		System.exit(good ? 0 : 1);
	}
}
