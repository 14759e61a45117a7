/*
 * librdkafka as client: what programs that use it get. --style produce sends --total records as fast as the library takes them,
 * acks=all, all else at its defaults; --style consume reads --streams partitions of a topic from their start to their end.
 */
#include "kafka.h"
#include "report.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#define POLL_MS       100
#define FLUSH_MS      60000
#define TEXT_BYTES    512
#define QUEUED_COUNT  "1000000"
#define BATCH_COUNT   1000
#define POLL_INTERVAL 1000 /* records between looks at what was delivered */

struct client {
	const struct options *options;
	struct proc_set procs;
	uint64_t delivered_count, consumed_count, bytes_count;
};

static void conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[TEXT_BYTES];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		loop_die("%s=%s: %s", name, value, text);
}

static rd_kafka_conf_t *conf_make(struct client *client)
{
	char server[64];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	snprintf(server, sizeof(server), "127.0.0.1:%u", client->options->port);
	conf_set(conf, "bootstrap.servers", server);
	conf_set(conf, "broker.address.family", "v4");
	rd_kafka_conf_set_opaque(conf, client);
	return conf;
}

static rd_kafka_t *handle_make(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char text[TEXT_BYTES];
	rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof(text));
	if (!handle)
		loop_die("librdkafka: %s", text);
	return handle;
}

/* Its topic, made, and how many records are in it. */
static uint64_t topic_ready(const struct options *options, int64_t *ret_ends)
{
	struct loop loop;
	struct conn control;
	loop_init(&loop, (uint16_t)options->port);
	kafka_control_open(&control, &loop);
	kafka_topics_make(&control, options->prefix, options->streams_count);
	uint64_t sum = kafka_ends(&control, options->prefix, options->streams_count, ret_ends);
	conn_close(&control);
	loop_deinit(&loop);
	return sum;
}

/* ---- produce ---- */

static void delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	struct client *client = opaque;
	(void)handle;
	if (message->err)
		loop_die("a record was not delivered: %s", rd_kafka_err2str(message->err));
	client->delivered_count++;
}

static void client_produce(struct client *client)
{
	const struct options *options = client->options;
	rd_kafka_conf_t *conf = conf_make(client);
	conf_set(conf, "acks", "all");
	conf_set(conf, "queue.buffering.max.messages", QUEUED_COUNT);
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	rd_kafka_t *handle = handle_make(RD_KAFKA_PRODUCER, conf);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, options->prefix, NULL);
	char *body = malloc(options->body_bytes);
	if (!topic || !body)
		loop_die("out of memory");
	memset(body, 'r', options->body_bytes);
	for (uint32_t i = 0; i < options->total_count; i++) {
		while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, body, options->body_bytes, NULL, 0,
					NULL)) {
			if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
				loop_die("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
			rd_kafka_poll(handle, POLL_MS);
		}
		if (i % POLL_INTERVAL == 0)
			rd_kafka_poll(handle, 0);
	}
	rd_kafka_flush(handle, FLUSH_MS);
	if (client->delivered_count != options->total_count)
		loop_die("%llu of %u records were delivered", (unsigned long long)client->delivered_count, options->total_count);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(handle);
	free(body);
}

/* ---- consume ---- */

static void client_take(struct client *client, rd_kafka_message_t **messages, ssize_t count)
{
	for (ssize_t i = 0; i < count; i++) {
		if (messages[i]->err)
			loop_die("consume: %s", rd_kafka_message_errstr(messages[i]));
		client->consumed_count++;
		client->bytes_count += messages[i]->len;
		rd_kafka_message_destroy(messages[i]);
	}
}

static void client_consume(struct client *client, uint64_t wanted_count)
{
	const struct options *options = client->options;
	rd_kafka_message_t *messages[BATCH_COUNT];
	rd_kafka_conf_t *conf = conf_make(client);
	conf_set(conf, "group.id", options->prefix);
	conf_set(conf, "enable.auto.commit", "false");
	rd_kafka_t *handle = handle_make(RD_KAFKA_CONSUMER, conf);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)options->streams_count);
	for (uint32_t i = 0; i < options->streams_count; i++)
		rd_kafka_topic_partition_list_add(list, options->prefix, (int32_t)i)->offset = 0;
	rd_kafka_poll_set_consumer(handle);
	if (rd_kafka_assign(handle, list))
		loop_die("partitions were not taken");
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(handle);
	uint64_t deadline_ns = loop_now_ns() + KAFKA_TIMEOUT_NS;
	while (client->consumed_count < wanted_count) {
		if (loop_now_ns() > deadline_ns)
			loop_die("%llu of %llu records came", (unsigned long long)client->consumed_count,
				 (unsigned long long)wanted_count);
		client_take(client, messages, rd_kafka_consume_batch_queue(queue, POLL_MS, messages, BATCH_COUNT));
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(handle);
}

int kafka_client_main(const struct options *options)
{
	struct client client = {.options = options};
	bool produces = strcmp(options->style, "produce") == 0;
	if (options->streams_count == 0 || options->streams_count > KAFKA_TOPIC_PARTITIONS ||
	    (produces && options->total_count == 0))
		loop_die("kafka-client wants --style produce|consume, --streams up to %d, and --total", KAFKA_TOPIC_PARTITIONS);
	kafka_procs_find(&client.procs, options);
	uint64_t before = topic_ready(options, NULL);
	uint64_t cpu_ns = proc_set_cpu_ns(&client.procs);
	uint64_t own_cpu_ns = proc_self_cpu_ns();
	uint64_t from_ns = loop_now_ns();
	if (produces)
		client_produce(&client);
	else
		client_consume(&client, before);
	double seconds = (double)(loop_now_ns() - from_ns) / 1e9;
	double records = (double)(client.delivered_count + client.consumed_count);
	double bytes = produces ? records * options->body_bytes : (double)client.bytes_count;
	cpu_ns = proc_set_cpu_ns(&client.procs) - cpu_ns;
	own_cpu_ns = proc_self_cpu_ns() - own_cpu_ns;
	if (produces && topic_ready(options, NULL) - before != client.delivered_count)
		loop_die("records were delivered and are not there");
	report_begin();
	report_f64("per_second", records / seconds);
	report_f64("mb_per_second", bytes / 1e6 / seconds);
	report_f64("cpu_s_per_million", (double)cpu_ns / 1e9 / (records / 1e6));
	report_f64("own_cpu_s_per_million", (double)own_cpu_ns / 1e9 / (records / 1e6));
	report_u64("checked", (uint64_t)records);
	report_end();
	return 0;
}
