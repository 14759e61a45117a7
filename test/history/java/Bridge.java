// Kafka's own client for Java, for a process that speaks lines of text to it (client_java.py): fields between tabs, a number, what is
// to be done, and the client that is to do it. The answers begin with the same number; the last one is `ok` or `error`. Each client
// has a thread, since a call may take its time, or for ever. It ends when nobody speaks to it any more.
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

final class Bridge {
	private static final String HEADER = "value", NONE = "-";
	private static final Map<String, Client> clients = new ConcurrentHashMap<>();
	private static final PrintStream out = new PrintStream(System.out, false, UTF_8);

	public static void main(String[] args) throws Exception {
		var in = new BufferedReader(new InputStreamReader(System.in, UTF_8));
		for (String line; (line = in.readLine()) != null;) {
			String[] fields = line.split("\t");
			var client = clients.computeIfAbsent(fields[2], name -> new Client());
			client.thread.execute(() -> run(client, fields[0], fields[1], List.of(fields).subList(3, fields.length)));
		}
		Runtime.getRuntime().halt(0);
	}

	private static void run(Client client, String id, String verb, List<String> args) {
		try {
			client.id = id;
			client.run(verb, args);
			if (!verb.equals("send")) tell(id, "ok");
		} catch (Exception e) {
			tell(id, "error", kind(e), e.toString());
		}
	}

	// What an error means for who called: of the producer it may be that the transaction can only be aborted, and no more.
	private static String kind(Exception e) {
		if (e instanceof ProducerFencedException || e instanceof InvalidProducerEpochException) return "fenced";
		boolean over = e instanceof TimeoutException || e instanceof AuthorizationException || e instanceof OutOfOrderSequenceException;
		return e instanceof KafkaException && !over ? "abortable" : "broken";
	}

	private static synchronized void tell(String... fields) {
		out.print(Arrays.stream(fields).map(field -> field.replaceAll("\\s", " ")).collect(Collectors.joining("\t")) + "\n");
		out.flush();
	}

	private static TopicPartition partition(String key) {
		int at = key.lastIndexOf('/');
		return new TopicPartition(key.substring(0, at), Integer.parseInt(key.substring(at + 1)));
	}

	private static String key(TopicPartition partition) {
		return partition.topic() + "/" + partition.partition();
	}

	private static Map<TopicPartition, Long> offsets(List<String> args) {
		var offsets = new HashMap<TopicPartition, Long>();
		for (String arg : args) {
			String[] parts = arg.split("=");
			offsets.put(partition(parts[0]), Long.parseLong(parts[1]));
		}
		return offsets;
	}

	private static Map<TopicPartition, OffsetAndMetadata> commits(List<String> args) {
		return offsets(args).entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> new OffsetAndMetadata(e.getValue())));
	}

	private static final class Client implements ConsumerRebalanceListener {
		final ExecutorService thread = Executors.newSingleThreadExecutor();
		volatile String id;
		KafkaProducer<byte[], byte[]> producer;
		KafkaConsumer<byte[], byte[]> consumer;

		void run(String verb, List<String> args) {
			switch (verb) {
				case "producer" -> producer = new KafkaProducer<>(properties(args), new ByteArraySerializer(), new ByteArraySerializer());
				case "send" -> send(args);
				case "init" -> producer.initTransactions();
				case "begin" -> producer.beginTransaction();
				case "end" -> producer.commitTransaction();
				case "abort" -> producer.abortTransaction();
				case "offsets" -> {
					var group = clients.get(args.get(0)).consumer.groupMetadata();
					producer.sendOffsetsToTransaction(commits(args.subList(1, args.size())), group);
				}
				case "consumer" ->
					consumer = new KafkaConsumer<>(properties(args), new ByteArrayDeserializer(), new ByteArrayDeserializer());
				case "assign" -> {
					consumer.assign(offsets(args).keySet());
					offsets(args).forEach(consumer::seek);
				}
				case "seek" -> offsets(args).forEach(consumer::seek);
				case "subscribe" -> consumer.subscribe(args, this);
				case "poll" -> {
					consumer.poll(Duration.ofMillis(Long.parseLong(args.get(0)))).forEach(this::take);
					consumer.assignment().forEach(this::look_for_end);
				}
				case "commit" -> consumer.commitSync(commits(args));
				case "close" -> close();
				default -> throw new IllegalArgumentException(verb);
			}
		}

		private static Properties properties(List<String> args) {
			var properties = new Properties();
			for (String arg : args) {
				int at = arg.indexOf('=');
				properties.put(arg.substring(0, at), arg.substring(at + 1));
			}
			return properties;
		}

		private void send(List<String> args) {
			var to = partition(args.get(0));
			String sent = id, name = args.get(1), header = args.get(2), value = args.get(3);
			byte[] data = value.equals(NONE) ? null : Base64.getDecoder().decode(value);
			var record = new ProducerRecord<>(to.topic(), to.partition(), name.equals(NONE) ? null : name.getBytes(UTF_8), data);
			if (!header.equals(NONE)) record.headers().add(HEADER, header.getBytes(UTF_8));
			producer.send(record, (told, error) -> {
				if (error != null) tell(sent, "unknown", error.toString());
				else tell(sent, "sent", told.hasOffset() ? Long.toString(told.offset()) : NONE);
			});
		}

		private void take(ConsumerRecord<byte[], byte[]> record) {
			var header = record.headers().lastHeader(HEADER);
			String name = record.key() == null ? NONE : new String(record.key(), UTF_8);
			String value = record.value() == null ? NONE : Base64.getEncoder().encodeToString(record.value());
			String place = record.topic() + "/" + record.partition();
			tell(id, "record", place, Long.toString(record.offset()), name, header == null ? NONE : new String(header.value(), UTF_8), value);
		}

		// It is where the last answer said that there is no more.
		private void look_for_end(TopicPartition partition) {
			var lag = consumer.currentLag(partition);
			if (lag.isPresent() && lag.getAsLong() == 0) tell(id, "ended", key(partition), Long.toString(consumer.position(partition)));
		}

		private void changed(String kind, Collection<TopicPartition> partitions) {
			tell(id, kind, partitions.stream().map(Bridge::key).collect(Collectors.joining(",")));
		}

		@Override
		public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
			changed("assigned", partitions);
		}

		@Override
		public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
			changed("revoked", partitions);
		}

		private void close() {
			if (producer != null) producer.close(Duration.ofSeconds(1));
			if (consumer != null) consumer.close();
			thread.shutdown();
		}
	}
}
