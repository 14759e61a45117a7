#include "http/api/door_fixture.h"

#include "http/api/hook.h"
#include "http/api/hook_sign.h"
#include "sequencer/sequencer_fixture.h"

#include <string.h>

static struct {
	struct api_thread *api;
	struct fixture f;
	struct mail_list outgoing;
	struct api_config config;
	struct job_ref job;
	struct door_hook hook;
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

/* Nobody is called: the test says what came of it. */
static void hook(void *ctx, struct hook *hook)
{
	const struct subscription_view *view = hook->view;

	(void)ctx;
	door.hook = (struct door_hook){.count = door.hook.count + 1, .number = view->number, .generation = view->generation};
	memcpy(door.hook.wake_id, view->wake_id, sizeof(view->wake_id));
	memcpy(door.hook.token, view->token, sizeof(view->token));
	message_free(&hook->message);
}

static void tell_nothing(void *ctx, struct buf *out)
{
	(void)ctx;
	(void)out;
}

static bool yes(void *ctx)
{
	(void)ctx;
	return true;
}

static bool no(void *ctx)
{
	(void)ctx;
	return false;
}

static uint64_t unix_ms(void *ctx)
{
	(void)ctx;
	return door.f.now_ms;
}

/* The sequencer's share of a turn. */
static bool turn(struct stage *stage)
{
	struct mail_list back;
	struct mail *mail;

	(void)stage;
	while ((mail = mail_pop(&door.outgoing)))
		sequencer_message(door.f.s, container_of(mail, struct message, mail));
	sequencer_settle(door.f.s);
	door.f.durable = door.f.end;
	sequencer_release(door.f.s);
	sequencer_check(door.f.s);
	back = sequencer_take(door.f.s, 0);
	while ((mail = mail_pop(&back)))
		api_thread_message(door.api, container_of(mail, struct message, mail));
	return door.outgoing.first != NULL;
}

static void begin(struct stage *stage)
{
	door.hook = (struct door_hook){0};
	fixture_init(&door.f);
	fixture_start(&door.f);
	fixture_drop_sent(&door.f);
	door.api = api_thread_new(0, &door.config, NULL);
	assert_non_null(door.api);
	assert_int_equal(http_thread_new(stage->loop, 0, &stage->config, door.api, &stage->http), 0);
}

static void end(struct stage *stage)
{
	struct mail *mail;

	http_thread_free(stage->http);
	while ((mail = mail_pop(&door.outgoing)))
		api_message_drop(container_of(mail, struct message, mail));
	door.api = api_thread_free(door.api);
	fixture_deinit(&door.f);
}

int door_setup(void **state)
{
	struct stage *stage;

	if (stage_setup(state))
		return -1;
	stage = *state;
	http_thread_free(stage->http);
	stage->turn = turn;
	stage->config.handler = api_handler();
	stage->config.ctx = stage;
	door.config = (struct api_config){
		.default_wait_ms = 1000,
		.max_wait_ms = 60000,
		.many_items = 1000,
		.body_bytes = 1 << 30,
		.output_bytes = 1 << 20,
		.topic_partitions = 2,
		.delivery_lease_ms = 5000,
		.version = "test",
		.send = send_command,
		.send_message = send_message,
		.hook_signer = hook_signer_new((const uint8_t[HOOK_SECRET_BYTES]){0}),
		.hook_allow = HOOK_ALLOW_LOOPBACK,
		.hook = hook,
		.metrics = tell_nothing,
		.info = tell_nothing,
		.ready = yes,
		.draining = no,
		.unix_ms = unix_ms,
	};
	begin(stage);
	return 0;
}

int door_teardown(void **state)
{
	struct stage *stage = *state;

	end(stage);
	hook_signer_free(door.config.hook_signer);
	assert_int_equal(http_thread_new(stage->loop, 0, &stage->config, NULL, &stage->http), 0); /* for the stage to free */
	return stage_teardown(state);
}

void door_reset(struct stage *stage, uint64_t many_items)
{
	end(stage);
	door.config.many_items = many_items;
	begin(stage);
}

struct slice door_job(void)
{
	door.job = fixture_job(&door.f, SLICE("q"));
	fixture_drop_sent(&door.f);
	return handle_of(&door.job);
}

const struct door_hook *door_hook(void)
{
	return &door.hook;
}

void door_hooked(enum hook_result result)
{
	api_thread_hooked(door.api, &(struct hooked_in){door.hook.number, door.hook.generation, result});
}

void door_later(uint64_t ms)
{
	door.f.now_ms += ms;
	(void)sequencer_turn(door.f.s, door.f.now_ms, 1000);
}

uint64_t door_parked(void)
{
	struct api_stats stats;

	api_thread_stats(door.api, &stats);
	return stats.parked_job + stats.parked_result + stats.parked_submit + stats.parked_claim + stats.parked_many +
	       stats.parked_stream;
}

size_t door_pins(void)
{
	return door.f.pins;
}
