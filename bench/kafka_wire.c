#include "kafka.h"

#include "base/wire.h"
#include "kafka/codec/bytes.h"
#include "kafka/codec/messages_topic.h"
#include "stream/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLIENT_ID       "bide-bench"
#define SIZE_BYTES      4
#define ID_BYTES        4
#define ROOM_BYTES      (256u << 20)
#define RETRY_NS        50000000ull
#define NAME_BYTES      64
#define ERROR_EXISTS    36
#define PARTITION_BYTES (1 << 20)
#define FETCH_BYTES     (50 << 20)
#define MAX_WAIT_MS     500

static const struct {
	enum kafka_key key;
	int16_t version;
} versions[] = {
	{KAFKA_PRODUCE, 7},
	{KAFKA_FETCH, 11},
	{KAFKA_LIST_OFFSETS, 1},
	{KAFKA_CREATE_TOPICS, 2},
};

static struct kafka_format format_of(const struct kafka_api *api)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if ((int16_t)versions[i].key == api->key)
			return kafka_api_format(api, versions[i].version);
	loop_die("no version of %s is known here", api->name);
}

static const struct kafka_api *api_of(enum kafka_key key)
{
	return kafka_api_find(KAFKA_OFFER_ALL, (int)key);
}

/* ---- requests ---- */

void kafka_frame(struct buf *out, enum kafka_key key, const void *request)
{
	const struct kafka_api *api = api_of(key);
	struct kafka_format format = format_of(api);
	size_t start = out->len;
	kafka_put_u32(out, 0);
	kafka_put_u16(out, (uint16_t)key);
	kafka_put_u16(out, (uint16_t)format.version);
	kafka_put_u32(out, 0);
	kafka_put_u16(out, sizeof(CLIENT_ID) - 1);
	buf_append_str(out, CLIENT_ID);
	kafka_encode(api->request, format, request, out, NULL);
	if (out->failed)
		loop_die("out of memory");
	wire_store_u32(out->ptr + start, __builtin_bswap32((uint32_t)(out->len - start - SIZE_BYTES)));
}

void kafka_send(struct conn *conn, enum kafka_key key, const void *request)
{
	struct buf out = {0};
	kafka_frame(&out, key, request);
	conn_write(conn, out.ptr, out.len);
	buf_deinit(&out);
}

size_t kafka_answer(struct conn *conn, enum kafka_key key, struct arena *arena, void *ret_response)
{
	const struct kafka_api *api = api_of(key);
	struct kafka_room room = {arena, ROOM_BYTES};
	if (bytes_len(&conn->in) < SIZE_BYTES)
		return 0;
	size_t len = __builtin_bswap32(wire_load_u32(bytes_head(&conn->in)));
	if (bytes_len(&conn->in) < SIZE_BYTES + len)
		return 0;
	struct slice message = slice_from(bytes_head(&conn->in) + SIZE_BYTES + ID_BYTES, len - ID_BYTES);
	if (len < ID_BYTES || kafka_decode(api->response, format_of(api), message, &room, ret_response))
		loop_die("an answer to %s that is none, of %zu bytes", api->name, len);
	return SIZE_BYTES + len;
}

/* ---- questions ---- */

static void control_input(struct conn *conn, uint64_t now_ns)
{
	(void)conn;
	(void)now_ns;
}

void kafka_control_open(struct conn *conn, struct loop *loop)
{
	*conn = (struct conn){.on_input = control_input};
	conn_open(conn, loop, 0);
}

void kafka_ask(struct conn *control, enum kafka_key key, const void *request, struct arena *arena, void *ret_response)
{
	uint64_t deadline_ns = loop_now_ns() + KAFKA_TIMEOUT_NS;
	size_t len;
	kafka_send(control, key, request);
	while ((len = kafka_answer(control, key, arena, ret_response)) == 0) {
		if (loop_now_ns() > deadline_ns)
			loop_die("no answer to %s", api_of(key)->name);
		loop_turn(control->loop, deadline_ns);
	}
	/* The bytes stay where they are until more come. */
	bytes_consume(&control->in, len);
}

/* ---- topics ---- */

uint32_t kafka_topics_count(uint32_t partitions_count)
{
	return (partitions_count + KAFKA_TOPIC_PARTITIONS - 1) / KAFKA_TOPIC_PARTITIONS;
}

struct slice kafka_topic_name(char *name, const char *prefix, uint32_t topic)
{
	int len = topic ? snprintf(name, NAME_BYTES, "%s-%u", prefix, topic) : snprintf(name, NAME_BYTES, "%s", prefix);
	if (len < 0 || len >= NAME_BYTES)
		loop_die("a prefix that is too long: %s", prefix);
	return slice_from(name, (size_t)len);
}

static uint32_t topic_partitions(uint32_t partitions_count, uint32_t topic)
{
	uint32_t before = topic * KAFKA_TOPIC_PARTITIONS;
	uint32_t left = partitions_count - before;
	return left < KAFKA_TOPIC_PARTITIONS ? left : KAFKA_TOPIC_PARTITIONS;
}

static void topic_make(struct conn *control, struct slice name, uint32_t partitions_count)
{
	struct kafka_new_topic topic = {.name = name, .num_partitions = (int32_t)partitions_count, .replication_factor = 1};
	struct kafka_create_topics_request request = {.topics = {&topic, 1}, .timeout_ms = 60000};
	struct kafka_create_topics_response response;
	struct arena arena = {0};
	/* Null and empty differ on the wire. */
	topic.assignments.at = (void *)&topic;
	topic.configs.at = (void *)&topic;
	kafka_ask(control, KAFKA_CREATE_TOPICS, &request, &arena, &response);
	if (response.topics.count != 1 || (response.topics.at[0].error_code && response.topics.at[0].error_code != ERROR_EXISTS))
		loop_die("topic %.*s was not made: error %d", (int)name.len, name.ptr,
			 response.topics.count ? response.topics.at[0].error_code : 0);
	arena_deinit(&arena);
}

/* What a topic's partitions hold, all together; *ret_error: of one whose end is not known, as long as it is being made. */
static uint64_t topic_ends(struct conn *control, struct slice name, uint32_t partitions_count, int64_t *ret_ends, int *ret_error)
{
	struct kafka_list_offsets_partition *partitions = calloc(partitions_count, sizeof(*partitions));
	struct kafka_list_offsets_topic topic = {.name = name, .partitions = {partitions, partitions_count}};
	struct kafka_list_offsets_request request = {.replica_id = -1, .topics = {&topic, 1}};
	struct kafka_list_offsets_response response;
	struct arena arena = {0};
	uint64_t sum = 0;
	*ret_error = 0;
	if (!partitions)
		loop_die("out of memory");
	for (uint32_t i = 0; i < partitions_count; i++)
		partitions[i] = (struct kafka_list_offsets_partition){.partition_index = (int32_t)i, .timestamp = -1};
	kafka_ask(control, KAFKA_LIST_OFFSETS, &request, &arena, &response);
	if (response.topics.count != 1 || response.topics.at[0].partitions.count != partitions_count)
		loop_die("an answer about other partitions");
	for (uint32_t i = 0; i < partitions_count; i++) {
		const struct kafka_listed_offsets_partition *listed = &response.topics.at[0].partitions.at[i];
		if (listed->partition_index < 0 || (uint32_t)listed->partition_index >= partitions_count)
			loop_die("an answer about partition %d", listed->partition_index);
		if (listed->error_code)
			*ret_error = listed->error_code;
		sum += (uint64_t)listed->offset;
		if (ret_ends)
			ret_ends[listed->partition_index] = listed->offset;
	}
	arena_deinit(&arena);
	free(partitions);
	return sum;
}

void kafka_topics_make(struct conn *control, const char *prefix, uint32_t partitions_count)
{
	char name[NAME_BYTES];
	bool never = false;
	uint64_t deadline_ns = loop_now_ns() + KAFKA_TIMEOUT_NS;
	for (uint32_t i = 0; i < kafka_topics_count(partitions_count); i++)
		topic_make(control, kafka_topic_name(name, prefix, i), topic_partitions(partitions_count, i));
	for (uint32_t i = 0; i < kafka_topics_count(partitions_count); i++) {
		struct slice topic = kafka_topic_name(name, prefix, i);
		int error;
		while (topic_ends(control, topic, topic_partitions(partitions_count, i), NULL, &error), error) {
			if (loop_now_ns() > deadline_ns)
				loop_die("a partition of %s was not made: error %d", name, error);
			loop_until(control->loop, &never, loop_now_ns() + RETRY_NS);
		}
	}
}

uint64_t kafka_ends(struct conn *control, const char *prefix, uint32_t partitions_count, int64_t *ret_ends)
{
	int error;
	uint64_t sum = topic_ends(control, slice_str(prefix), partitions_count, ret_ends, &error);
	if (error)
		loop_die("a partition of %s has no end: error %d", prefix, error);
	return sum;
}

/* ---- records ---- */

void kafka_batch(struct buf *out, uint64_t tag, uint32_t records_count, uint32_t body_bytes)
{
	struct batch_record *records = calloc(records_count, sizeof(*records));
	char *body = malloc(body_bytes);
	char *first = malloc(body_bytes);
	struct timespec now;
	if (!records || !body || !first || body_bytes < sizeof(tag))
		loop_die("out of memory, or bodies of less than %zu bytes", sizeof(tag));
	clock_gettime(CLOCK_REALTIME, &now);
	for (uint32_t i = 0; i < body_bytes; i++)
		first[i] = body[i] = (char)('a' + i % 26);
	memcpy(first, &tag, sizeof(tag));
	for (uint32_t i = 0; i < records_count; i++)
		records[i].value = slice_from(i ? body : first, body_bytes);
	batch_encode(out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, records, records_count);
	if (out->failed)
		loop_die("out of memory");
	free(records);
	free(body);
	free(first);
}

/* Behind the value is only the number of headers, which is one byte. */
uint64_t kafka_batch_tag(struct slice batch, uint32_t body_bytes)
{
	uint64_t tag;
	memcpy(&tag, batch.ptr + batch.len - 1 - body_bytes, sizeof(tag));
	return tag;
}

bool kafka_batch_next(struct slice *rest, struct slice *ret_batch, uint64_t *ret_offset, uint32_t *ret_count)
{
	if (rest->len < BATCH_HEAD_BYTES)
		return false;
	struct wire_reader r = wire_reader_of(*rest);
	*ret_offset = kafka_get_u64(&r);
	size_t len = 12 + (size_t)kafka_get_u32(&r);
	wire_bytes(&r, 11);
	*ret_count = kafka_get_u32(&r) + 1;
	if (len > rest->len)
		return false;
	*ret_batch = slice_from(rest->ptr, len);
	*rest = slice_from(rest->ptr + len, rest->len - len);
	return true;
}

/* ---- asking ---- */

void kafka_asking_init(struct kafka_asking *asking, const char *prefix, uint32_t partitions_count)
{
	uint32_t topics_count = kafka_topics_count(partitions_count);
	*asking = (struct kafka_asking){.partitions_count = partitions_count};
	asking->topics = calloc(topics_count, sizeof(*asking->topics));
	asking->partitions = calloc(partitions_count, sizeof(*asking->partitions));
	asking->names = calloc(topics_count, NAME_BYTES);
	if (!asking->topics || !asking->partitions || !asking->names)
		loop_die("out of memory");
	for (uint32_t i = 0; i < partitions_count; i++)
		asking->partitions[i] = (struct kafka_fetch_partition){.partition = (int32_t)(i % KAFKA_TOPIC_PARTITIONS),
								       .current_leader_epoch = -1,
								       .log_start_offset = -1,
								       .partition_max_bytes = PARTITION_BYTES};
	for (uint32_t i = 0; i < topics_count; i++) {
		asking->topics[i].topic = kafka_topic_name(asking->names + i * NAME_BYTES, prefix, i);
		asking->topics[i].partitions.at = &asking->partitions[i * KAFKA_TOPIC_PARTITIONS];
		asking->topics[i].partitions.count = topic_partitions(partitions_count, i);
	}
	asking->request = (struct kafka_fetch_request){.replica_id = -1,
						       .max_wait_ms = MAX_WAIT_MS,
						       .min_bytes = 1,
						       .max_bytes = FETCH_BYTES,
						       .session_epoch = -1,
						       .topics = {asking->topics, topics_count},
						       .forgotten_topics_data = {(void *)asking->topics, 0},
						       .rack_id = KAFKA_EMPTY};
}

void kafka_asking_free(struct kafka_asking *asking)
{
	free(asking->topics);
	free(asking->partitions);
	free(asking->names);
}

void kafka_asking_session(struct kafka_asking *asking, const struct kafka_fetch_response *response)
{
	struct kafka_fetch_request *request = &asking->request;
	if (response->session_id == 0)
		return;
	request->session_id = response->session_id;
	request->session_epoch = request->session_epoch == INT32_MAX ? 1 : request->session_epoch + 1;
	request->topics.count = 0;
}

void kafka_procs_find(struct proc_set *procs, const struct options *options)
{
	int r = proc_set_find((pid_t)options->pid, procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
}
