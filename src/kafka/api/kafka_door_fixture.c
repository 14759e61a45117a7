#include "kafka/api/kafka_door_fixture.h"

#include "base/testing.h"
#include "kafka/codec/bytes.h"

#include <sys/socket.h>

struct door_fixture door;

static void send_message(void *ctx, struct message *message)
{
	(void)ctx;
	message->thread = 0;
	mail_push(&door.outgoing, &message->mail);
}

static void send_command(void *ctx, struct command *command)
{
	door.commands++;
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
	assert_int_equal(message->kind, MESSAGE_STREAM_GREW);
	kafka_thread_grew(door.thread, container_of(message, struct stream_growth, message));
}

void door_turn(void)
{
	struct mail_list back;
	struct mail *mail;

	assert_int_equal(loop_poll(door.loop, loop_now_ms(door.loop) + 1), 0);
	while ((mail = mail_pop(&door.outgoing)))
		sequencer_message(door.f.s, container_of(mail, struct message, mail));
	door.f.now_ms += 100; /* what a lack of memory put off is soon tried again */
	while (sequencer_turn(door.f.s, door.f.now_ms, 10))
		;
	sequencer_settle(door.f.s);
	door.f.durable = door.f.end;
	sequencer_release(door.f.s);
	back = sequencer_take(door.f.s, 0);
	while ((mail = mail_pop(&back)))
		deliver(container_of(mail, struct message, mail));
	kafka_thread_flush(door.thread);
}

void door_init(void)
{
	door.commands = 0;
	door.config = (struct kafka_config){
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
			   .sessions = 10,
			   .session_partitions = 1000,
			   .wait_items = 100,
			   .topic_partitions = 2,
			   .auto_create = true},
		.host = SLICE("here"),
		.port = 9092,
		.send = send_command,
		.send_message = send_message,
		.keys_count = keys_count,
		.unix_ms = unix_ms,
	};
	fixture_init(&door.f);
}

void door_begin(void)
{
	fixture_start(&door.f);
	fixture_drop_sent(&door.f);
	assert_int_equal(loop_new(&door.loop), 0);
	assert_int_equal(kafka_thread_new(door.loop, 0, &door.config, NULL, &door.thread), 0);
}

void door_end(void)
{
	sequencer_check(door.f.s);
	kafka_thread_free(door.thread);
	loop_free(door.loop);
	fixture_deinit(&door.f);
}

struct kafka_thread_stats door_stats(void)
{
	struct kafka_thread_stats stats;

	kafka_thread_stats(door.thread, &stats);
	return stats;
}

int door_connect(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	kafka_thread_accept(door.thread, ends[0]);
	return ends[1];
}

void request_put(struct buf *out, const struct request *request)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, (int)request->key);
	struct kafka_format format = kafka_api_format(api, request->version);
	size_t start = out->len;

	kafka_put_u32(out, 0);
	kafka_put_u16(out, (uint16_t)request->key);
	kafka_put_u16(out, (uint16_t)request->version);
	kafka_put_u32(out, 7);
	kafka_put_u16(out, UINT16_MAX); /* no client id */
	if (format.flexible)
		wire_put_u8(out, 0);
	kafka_encode(api->request, format, request->message, out, NULL);
	assert_false(out->failed);
	wire_store_u32(out->ptr + start, __builtin_bswap32((uint32_t)(out->len - start - 4)));
}
