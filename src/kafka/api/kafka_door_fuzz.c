/* Whatever bytes come on a connection, before a real sequencer: the door stands, the connection ends when its client leaves, and
 * nothing of it is left behind. There is a topic "t" with a record in it. */
#include "base/mem.h"
#include "base/panic.h"
#include "kafka/api/kafka_thread.h"
#include "sequencer/sequencer_fixture.h"
#include "stream/batch.h"

#include <sys/socket.h>
#include <unistd.h>

#define MUST(condition) ((condition) ? (void)0 : panic_at(__FILE__, __LINE__, #condition))

enum { TURNS_MAX = 10000, INPUT_MAX = 100 * 1024 };

static struct {
	struct loop *loop;
	struct kafka_thread *thread;
	struct fixture f;
	struct mail_list outgoing;
} door;

static void send_message(void *ctx, struct message *message)
{
	(void)ctx;
	message->thread = 0;
	mail_push(&door.outgoing, &message->mail);
}

static void send_command(void *ctx, struct command *command)
{
	command->message.kind = MESSAGE_COMMAND;
	send_message(ctx, &command->message);
}

static bool keys_count(void *ctx, struct slice topic)
{
	(void)ctx;
	(void)topic;
	return true;
}

static uint64_t unix_ms(void *ctx)
{
	(void)ctx;
	return door.f.now_ms;
}

static void deliver(struct message *message)
{
	if (message->kind == MESSAGE_COMMAND) {
		kafka_thread_message(door.thread, message);
		return;
	}
	MUST(message->kind == MESSAGE_STREAM_GREW);
	kafka_thread_grew(door.thread, container_of(message, struct stream_growth, message));
}

static void turn(void)
{
	struct mail_list back;
	struct mail *mail;

	MUST(loop_poll(door.loop, 0) == 0);
	while ((mail = mail_pop(&door.outgoing)))
		sequencer_message(door.f.s, container_of(mail, struct message, mail));
	sequencer_settle(door.f.s);
	door.f.durable = door.f.end;
	sequencer_release(door.f.s);
	back = sequencer_take(door.f.s, 0);
	while ((mail = mail_pop(&back)))
		deliver(container_of(mail, struct message, mail));
	kafka_thread_flush(door.thread);
}

static void scene(void)
{
	struct topic_change change = {.topic.name = SLICE("t"), .partitions = 1};
	struct ask make = {.c = {.kind = COMMAND_TOPIC_CREATE, .in.topics_change = {.changes = &change, .count = 1}}};
	struct batch_record record = {.value = SLICE("record")};
	struct produce_partition partition = {.topic.name = SLICE("t")};
	struct ask write = {.c = {.kind = COMMAND_PRODUCE, .in.produce = {.partitions = &partition, .count = 1}}};
	struct buf batch = {0};

	fixture_init(&door.f);
	fixture_start(&door.f);
	MUST(fixture_ask(&door.f, &make, 0) == OUTCOME_OK);
	batch_encode(&batch, door.f.now_ms, &record, 1);
	partition.batch = (struct produce_batch){.bytes = batch.ptr,
						 .size_bytes = batch.len,
						 .count = 1,
						 .max_time_ms = (int64_t)door.f.now_ms,
						 .producer_id = -1,
						 .producer_epoch = -1,
						 .base_sequence = -1};
	MUST(fixture_ask(&door.f, &write, 0) == OUTCOME_OK && partition.outcome == OUTCOME_OK);
	ask_deinit(&make);
	ask_deinit(&write);
	buf_deinit(&batch);
	fixture_drop_sent(&door.f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kafka_thread_stats stats(void)
{
	struct kafka_thread_stats stats;

	kafka_thread_stats(door.thread, &stats);
	return stats;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kafka_config config = {
		.limits = {.frame_bytes = 1 << 20,
			   .memory_bytes = 1 << 20,
			   .fetch_bytes = 1 << 20,
			   .answer_bytes = 64 << 20,
			   .pipeline = 16,
			   .read_timeout_ms = 60000,
			   .idle_timeout_ms = 60000,
			   .write_timeout_ms = 60000,
			   .output_bytes = 1 << 16,
			   .max_wait_ms = 60000,
			   .topic_partitions = 2,
			   .auto_create = true},
		.host = SLICE_INIT("here"),
		.port = 9092,
		.send = send_command,
		.send_message = send_message,
		.keys_count = keys_count,
		.unix_ms = unix_ms,
	};
	static char answers[64 * 1024];
	int ends[2], turns = 0;

	if (size > INPUT_MAX)
		return 0;
	scene();
	MUST(loop_new(&door.loop) == 0);
	MUST(kafka_thread_new(door.loop, 0, &config, NULL, &door.thread) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	kafka_thread_accept(door.thread, ends[0]);
	(void)!send(ends[1], data, size, MSG_NOSIGNAL);
	for (; turns < 8; turns++) /* what it can be done with while the client is there */
		turn();
	shutdown(ends[1], SHUT_WR);
	for (; stats().connections_open; turns++) {
		MUST(turns < TURNS_MAX);
		(void)!recv(ends[1], answers, sizeof(answers), 0);
		turn();
	}
	turn(); /* what was under way */
	close(ends[1]);
	MUST(stats().parked == 0 && stats().held == 0 && door.f.pins == 0);
	sequencer_check(door.f.s);
	kafka_thread_free(door.thread);
	loop_free(door.loop);
	fixture_deinit(&door.f);
	return 0;
}
