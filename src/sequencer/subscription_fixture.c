#include "sequencer/subscription_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

static const struct slice json_type = {"application/json", 16};

struct subscription_in hook_of(struct slice id)
{
	return (struct subscription_in){.id = id,
					.type = SUBSCRIPTION_WEBHOOK,
					.pattern = SLICE("events/*"),
					.url = SLICE("https://there/hook"),
					.origin = SLICE("http://here"),
					.lease_ttl_ms = 5000};
}

struct subscription_in pull_of(struct slice id)
{
	return (struct subscription_in){.id = id,
					.type = SUBSCRIPTION_PULL,
					.pattern = SLICE("events/*"),
					.wake_stream = SLICE("wake"),
					.lease_ttl_ms = 5000};
}

enum outcome sub_create(struct subscription_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_CREATE, .in.subscription = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

enum outcome sub_tell(enum command_kind kind, struct slice id)
{
	struct ask ask = {.c = {.kind = kind, .in.subscription.id = id}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

enum outcome sub_link(enum command_kind kind, struct slice id, struct slice path)
{
	struct ask ask = {.c = {.kind = kind, .in.subscription = {.id = id, .streams = &path, .stream_count = 1}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static struct subscription_view *take_view(struct ask *ask)
{
	struct subscription_view *view = ask->c.out.subscription;

	ask->c.out.subscription = NULL;
	ask_deinit(ask);
	return view;
}

struct subscription_view *sub_look(struct slice id)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_GET, .in.subscription.id = id}};

	fixture_ask(&f, &ask, 0);
	return take_view(&ask);
}

void sub_expect(struct slice id, const char *said)
{
	struct subscription_view *view = sub_look(id);

	assert_non_null(view);
	buf_clear(&mine);
	for (size_t i = 0; i < view->stream_count; i++) {
		const struct subscription_stream_view *stream = &view->streams[i];

		buf_append_slice(&mine, stream->path);
		buf_append_str(&mine, stream->is_explicit ? ":e" : ":g");
		if (stream->number)
			buf_printf(&mine, "%llu/%llu ", (unsigned long long)stream->acked_offset,
				   (unsigned long long)stream->tail_offset);
		else
			buf_append_str(&mine, "- ");
		assert_int_equal(stream->has_pending, stream->tail_offset > stream->acked_offset);
	}
	buf_append_char(&mine, '\0');
	assert_string_equal(mine.ptr, said);
	subscription_view_free(view);
}

enum outcome sub_claim(struct slice id, struct subscription_view **ret_view)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_CLAIM, .in.subscription_claim = {id, SLICE("w1")}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	*ret_view = take_view(&ask);
	return outcome;
}

struct subscription_ack_in ack_of(const struct subscription_view *view, const struct subscription_ack *ack, bool done)
{
	return (struct subscription_ack_in){
		.id = view->id,
		.token = slice_str(view->token),
		.wake_id = slice_str(view->wake_id),
		.generation = view->generation,
		.acks = ack,
		.ack_count = ack != NULL,
		.done = done,
		.callback = view->type == SUBSCRIPTION_WEBHOOK,
	};
}

enum outcome sub_ack(struct subscription_ack_in in, bool *ret_next_wake)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_ACK, .in.subscription_ack = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	if (ret_next_wake)
		*ret_next_wake = ask.c.out.next_wake;
	ask_deinit(&ask);
	return outcome;
}

enum outcome sub_release(struct subscription_ack_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_RELEASE, .in.subscription_ack = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

enum outcome sub_hooked(const struct subscription_view *view, enum hook_result result)
{
	struct ask ask = {.c = {.kind = COMMAND_SUB_HOOKED, .in.hooked = {view->number, view->generation, result}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

struct subscription_view *hook_take(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->sent_count; i++) {
		struct message *message = fixture->sent[i].message;
		struct subscription_view *view;

		if (!message || fixture->sent[i].kind != MESSAGE_HOOK)
			continue;
		view = container_of(message, struct hook, message)->view;
		container_of(message, struct hook, message)->view = NULL;
		message_free(message);
		fixture->sent[i].message = NULL;
		return view;
	}
	return NULL;
}

enum outcome make_stream(struct slice path)
{
	return create_as((struct stream_create_in){.path = path, .content_type = json_type, .json = true});
}

enum outcome add_to(struct slice path, uint32_t count)
{
	return append_as((struct stream_append_in){.path = path, .content_type = json_type, .records = records_of(count, "x")},
			 NULL);
}

uint64_t last_of(struct slice path, struct buf *out)
{
	struct stream_read_in in = {.path = path, .from = STREAM_FROM_START, .max_bytes = 1 << 20};
	const struct stream_chunk_view *chunk;
	struct batch_record record;
	struct batch_reader reader;
	uint64_t at, count;
	char bytes[1024];
	struct ask ask;

	buf_clear(out);
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OK);
	count = ask.c.out.stream->next_offset;
	if (ask.c.out.stream->chunk_count) {
		chunk = &ask.c.out.stream->chunks[ask.c.out.stream->chunk_count - 1];
		assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
		assert_int_equal(batch_open(&reader, slice_from(bytes, (size_t)chunk->ref.size_bytes)), 0);
		assert_int_equal(batch_next(&reader, &record, &at), 1);
		assert_true(at == count - 1);
		buf_append_slice(out, record.value);
	}
	buf_append_char(out, '\0');
	ask_deinit(&ask);
	return count;
}
