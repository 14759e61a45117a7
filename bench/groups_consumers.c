/* Groups of consumers, to whom the server assigns partitions. */
#include "groups.h"

enum { ROUNDS_MAX = 400 };

struct consumer_of {
	char id[GROUP_MEMBER_ID_MAX];
	size_t id_len;
	int32_t epoch;
	struct consumers_view *has; /* as it was told last */
	struct slice *topics;
	struct name *names;
	size_t topic_count;
	struct slice regex, assignor;
};

static void subscribe(struct consumer_of *one, uint32_t from, uint32_t to, uint32_t every)
{
	one->names = mem_alloc((to - from) * sizeof(*one->names));
	one->topics = mem_alloc((to - from) * sizeof(*one->topics));
	ENSURE(one->names && one->topics);
	for (uint32_t t = from; t < to; t += every) {
		one->topics[one->topic_count] = name_of(&one->names[one->topic_count], t);
		one->topic_count++;
	}
}

static struct command beat_of(const struct consumer_of *one, int32_t epoch)
{
	return (struct command){.kind = COMMAND_CONSUMER_BEAT,
				.in.consumer_beat.beat = {.group = SLICE("group"),
							  .member = slice_from(one->id, one->id_len),
							  .epoch = epoch,
							  .client_id = SLICE("client"),
							  .client_host = SLICE("/127.0.0.1"),
							  .rebalance_ms = -1}};
}

/* What it was told last it has; whether it was told something new now. */
static bool hear(struct consumer_of *one, struct command *c)
{
	bool is_new = false;

	ENSURE(c->outcome == OUTCOME_OK);
	is_new = c->out.consumers->has_assigned || one->epoch != (int32_t)c->out.consumers->at[0].epoch;
	one->epoch = (int32_t)c->out.consumers->at[0].epoch;
	one->id_len = c->out.consumers->at[0].id.len;
	memcpy(one->id, c->out.consumers->at[0].id.ptr, one->id_len);
	if (c->out.consumers->has_assigned) {
		struct consumers_view *before = one->has;

		one->has = c->out.consumers;
		c->out.consumers = before;
	}
	command_answer_deinit(c);
	return is_new;
}

static void join(struct consumer_of *one)
{
	struct command c = beat_of(one, CONSUMER_JOINS);
	struct consumer_beat *beat = &c.in.consumer_beat.beat;

	beat->rebalance_ms = 300000;
	beat->topics = one->topics;
	beat->topic_count = one->topic_count;
	beat->has_topics = one->topics;
	beat->regex = one->regex;
	beat->assignor = one->assignor;
	beat->has_owned = true;
	ask(&c);
	hear(one, &c);
}

static bool beat(struct consumer_of *one, bool says_owned)
{
	const struct consumer_places_view *has = one->has ? &one->has->at[0].assigned : NULL;
	struct command c = beat_of(one, one->epoch);
	struct consumer_owned *owned = mem_alloc((has ? has->count + 1 : 1) * sizeof(*owned));
	bool is_new;

	ENSURE(owned);
	for (uint32_t t = 0; has && says_owned && t < has->count; t++) {
		owned[t] = (struct consumer_owned){has->topics[t].id, has->topics[t].partitions, has->topics[t].count};
		c.in.consumer_beat.owned_count++;
	}
	c.in.consumer_beat.owned = owned;
	c.in.consumer_beat.beat.has_owned = says_owned;
	ask(&c);
	is_new = hear(one, &c);
	mem_free(owned);
	return is_new;
}

static void leave(struct consumer_of *one)
{
	struct command c = beat_of(one, CONSUMER_LEAVES);

	ask(&c);
	command_answer_deinit(&c);
}

/* All beat, one after the other, with what they have whenever they were told something new, until nobody is. */
static void come_to_rest(struct consumer_of *all, uint32_t from, uint32_t to, const char *what)
{
	bool *says = mem_zalloc(to * sizeof(*says));
	bool moved = true;
	uint32_t still = 0, round = 0;

	ENSURE(says);
	for (; still < 2 && round < ROUNDS_MAX; round++) {
		moved = false;
		later(BEAT_MS);
		for (uint32_t m = from; m < to; m++) {
			says[m] = beat(&all[m], says[m]);
			moved |= says[m];
		}
		still = moved ? 0 : still + 1;
	}
	ENSURE(!moved);
	mem_free(says);
	told(what);
}

static void everybody_goes(struct consumer_of *all, uint32_t count)
{
	for (uint32_t m = 0; m < count; m++) {
		if (all[m].has) {
			struct command c = {.kind = COMMAND_CONSUMER_BEAT, .out.consumers = all[m].has};

			command_answer_deinit(&c);
		}
		mem_free(all[m].names);
		mem_free(all[m].topics);
	}
	mem_free(all);
	told("without what the members remember");
	finish();
}

/* What may happen to a group, once it is there. */
static void consumers_live(struct consumer_of *all, uint32_t count, uint32_t topics, uint32_t partitions)
{
	step();
	for (uint32_t m = 0; m + 1 < count; m++)
		join(&all[m]);
	told("all join, but one");
	come_to_rest(all, 0, count - 1, "until all have what they are to have");
	later(BEAT_MS);
	for (uint32_t m = 0; m + 1 < count; m++)
		beat(&all[m], false);
	told("all beat, nothing changes");
	later(BEAT_MS);
	join(&all[count - 1]);
	told("one more joins");
	come_to_rest(all, 0, count, "until all have what they are to have");
	topic_change(COMMAND_TOPIC_PARTITIONS, topics - 1, partitions + 1);
	beat(&all[1], false);
	told("a topic grows, and one beats");
	topic_change(COMMAND_TOPIC_CREATE, topics, 1);
	beat(&all[1], false);
	told("another topic is made, and one beats");
	come_to_rest(all, 0, count, "until all have what they are to have");
	leave(&all[0]);
	later(BEAT_MS);
	beat(&all[1], false);
	told("one leaves, and one beats");
	come_to_rest(all, 1, count, "until all have what they are to have");
	look_at_group(false);
	told("the group is described");
	checkpoint();
	look_at_topics();
	everybody_goes(all, count);
}

static struct consumer_of *consumers(uint32_t count)
{
	struct consumer_of *all = mem_zalloc(count * sizeof(*all));

	ENSURE(all);
	return all;
}

static void case_alike(const char *name, struct slice assignor)
{
	const uint32_t members = 1000, topics = 100, partitions = 1000;
	struct consumer_of *all = consumers(members);

	begin(name, topics * partitions);
	topics_make(topics, partitions);
	for (uint32_t m = 0; m < members; m++) {
		subscribe(&all[m], 0, topics, 1);
		all[m].assignor = assignor;
	}
	consumers_live(all, members, topics, partitions);
}

void case_uniform(void)
{
	case_alike("uniform: 1,000 members of 100 topics", SLICE("uniform"));
}

void case_range(void)
{
	case_alike("range: 1,000 members of 100 topics", SLICE("range"));
}

/* Nobody subscribes to what his neighbours do. */
void case_mixed(void)
{
	const uint32_t members = 1000, topics = 100, partitions = 1000;
	struct consumer_of *all = consumers(members);

	begin("mixed: 1,000 members, each of other topics out of 100", topics * partitions);
	topics_make(topics, partitions);
	for (uint32_t m = 0; m < members; m++)
		subscribe(&all[m], m % 50, topics - m % 3, 1 + m % 7);
	consumers_live(all, members, topics, partitions);
}

void case_pattern(void)
{
	const uint32_t members = 100, topics = 10000, partitions = 1;
	struct consumer_of *all = consumers(members);

	begin("pattern: 100 members under a pattern of 10,000 topics", topics * partitions);
	topics_make(topics, partitions);
	for (uint32_t m = 0; m < members; m++)
		all[m].regex = m % 2 ? SLICE("topic-.*") : SLICE("(topic|other)-[0-9]+");
	consumers_live(all, members, topics, partitions);
}
