/*
 * What large groups cost the sequencer, which is one thread: the CPU time of each command, by itself and without a server, on a
 * journal that forgets. Printed are, for each step of a case, how many commands there were, how long all of them and the longest
 * took, how much was written to the journal, and what is allocated afterwards.
 *
 *     bide-bench-groups [CASE …]
 *
 * A command holds up everything else while it runs, so the longest is the figure to look at. It is CPU time, yet a busy machine
 * makes it longer: instructions are counted by `perf stat -e instructions:u bide-bench-groups CASE`.
 */
#include "groups.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* --- a journal that forgets --- */

struct journal {
	struct store store;
	uint64_t end;
};

static int op_append(struct store *store, const struct store_entry *entry, struct store_appended *ret)
{
	struct journal *journal = container_of(store, struct journal, store);
	uint64_t at = journal->end;

	journal->end += (40 + entry->fields.len + entry->body.len) & ~7ull;
	*ret = (struct store_appended){.position = at, .end = journal->end};
	return 0;
}

static uint64_t op_durable(const struct store *store)
{
	return container_of(store, struct journal, store)->end;
}

static void op_body(struct store *store, const struct body_ref *ref)
{
	(void)store;
	(void)ref;
}

static const struct store_ops journal_ops = {
	.append = op_append, .durable_position = op_durable, .body_retain = op_body, .body_release = op_body};

/* --- one sequencer, and the clock beside it --- */

static struct {
	struct journal journal;
	struct sequencer_config config;
	struct sequencer *s;
	uint64_t now_ms;
	/* Of the step that is under way. */
	uint64_t count, all_ns, longest_ns, begun_at;
} b;

static uint64_t cpu_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static void count(uint64_t since_ns)
{
	uint64_t took_ns = cpu_ns() - since_ns;

	b.count++;
	b.all_ns += took_ns;
	if (took_ns > b.longest_ns)
		b.longest_ns = took_ns;
}

void begin(const char *name, uint32_t partitions)
{
	b.journal = (struct journal){.store.ops = &journal_ops, .end = 64};
	b.config = sequencer_defaults;
	b.config.topics_max = b.config.streams_max = 1000000;
	b.config.topic_partitions_max = 10000;
	b.config.group_partitions_max = b.config.group_offsets_max = 1000000;
	b.config.group_members_max = 10000;
	b.config.consumer_beat_ms = BEAT_MS;
	b.now_ms = 1700000000000;
	b.s = sequencer_new(&b.config, &b.journal.store, (const uint8_t *)"sixteen bytes...");
	ENSURE(b.s && sequencer_start(b.s, b.now_ms) == 0);
	printf("\n%s: %u partitions\n  %-40s %8s %10s %12s %12s %10s\n", name, partitions, "", "commands", "all ms", "longest ms",
	       "journal KB", "memory MB");
}

void step(void)
{
	b.count = b.all_ns = b.longest_ns = 0;
	b.begun_at = b.journal.end;
}

void finish(void)
{
	b.s = sequencer_free(b.s);
}

void configure(void (*change)(struct sequencer_config *config))
{
	change(&b.config);
	sequencer_configure(b.s, &b.config);
}

void told(const char *what)
{
	printf("  %-40s %8llu %10.1f %12.2f %12.1f %10.1f\n", what, (unsigned long long)b.count, (double)b.all_ns / 1e6,
	       (double)b.longest_ns / 1e6, (double)(b.journal.end - b.begun_at) / 1e3, (double)mallinfo2().uordblks / 1e6);
	step();
}

static void take_all(void)
{
	struct mail_list list;
	struct mail *mail;

	sequencer_release(b.s);
	list = sequencer_take(b.s, 0);
	while ((mail = mail_pop(&list)))
		ENSURE(container_of(mail, struct message, mail)->kind == MESSAGE_COMMAND);
}

void ask(struct command *c)
{
	uint64_t since_ns = cpu_ns();

	c->message.kind = MESSAGE_COMMAND;
	c->outcome = OUTCOME_PARKED;
	sequencer_message(b.s, &c->message);
	sequencer_settle(b.s);
	count(since_ns);
	take_all();
}

void later(uint64_t ms)
{
	bool more = true;

	b.now_ms += ms;
	while (more) {
		uint64_t since_ns = cpu_ns();

		more = sequencer_turn(b.s, b.now_ms, 200);
		if (more)
			count(since_ns);
	}
	take_all();
}

/* --- topics --- */

struct slice name_of(struct name *name, uint32_t topic)
{
	return slice_from(name->text, (size_t)snprintf(name->text, sizeof(name->text), "topic-%05u", topic));
}

void topic_change(enum command_kind kind, uint32_t number, uint32_t partitions)
{
	struct name name;
	struct topic_change change = {.topic.name = name_of(&name, number), .partitions = partitions};
	struct command c = {.kind = kind, .in.topics_change = {.changes = &change, .count = 1}};

	ask(&c);
	ENSURE(c.outcome == OUTCOME_OK && change.outcome == OUTCOME_OK);
}

void topics_make(uint32_t topics, uint32_t partitions)
{
	step();
	for (uint32_t t = 0; t < topics; t++)
		topic_change(COMMAND_TOPIC_CREATE, t, partitions);
	told("topics are made");
}

void look_at_topics(void)
{
	struct command c = {.kind = COMMAND_TOPICS};

	ask(&c);
	ENSURE(c.outcome == OUTCOME_OK);
	command_answer_deinit(&c);
	told("all topics are looked at");
}

void look_at_group(bool offsets)
{
	struct command c = {.kind = COMMAND_GROUP_GET, .in.group = {.group = SLICE("group"), .offsets = offsets}};

	ask(&c);
	ENSURE(c.outcome == OUTCOME_OK);
	command_answer_deinit(&c);
}

static int sink_nothing(void *ctx, uint8_t type, struct slice fields)
{
	(void)type;
	*(uint64_t *)ctx += fields.len;
	return 0;
}

void checkpoint(void)
{
	uint64_t cursor = 0, bytes = 0;
	int r = 1;

	while (r == 1) {
		uint64_t since_ns = cpu_ns();

		r = sequencer_snapshot(b.s, &cursor, 200, sink_nothing, &bytes);
		count(since_ns);
	}
	ENSURE(r == 0);
	b.begun_at -= bytes;
	told("a checkpoint");
}

/* --- members of the classic protocol --- */

enum { MEMBERS = 1000, METADATA_BYTES = 32 * 1024 };

static struct classic {
	struct command join, sync;
	char id[GROUP_MEMBER_ID_MAX];
	size_t id_len;
} classic[MEMBERS];

static struct group_who classic_who(const struct classic *one, int32_t generation)
{
	return (struct group_who){.group = SLICE("group"), .member = slice_from(one->id, one->id_len), .generation = generation};
}

static void classic_join(struct classic *one, const struct group_protocol *protocols)
{
	command_answer_deinit(&one->join);
	one->join = (struct command){.kind = COMMAND_GROUP_JOIN,
				     .in.group_join.join = {.who = classic_who(one, -1),
							    .protocol_type = SLICE("consumer"),
							    .protocols = protocols,
							    .protocol_count = 2,
							    .client_id = SLICE("client"),
							    .client_host = SLICE("/127.0.0.1"),
							    .session_ms = 1800000,
							    .rebalance_ms = 60000}};
	ask(&one->join);
}

static int32_t classic_hear(void)
{
	int32_t generation = -1;

	for (uint32_t m = 0; m < MEMBERS; m++) {
		struct classic *one = &classic[m];

		ENSURE(one->join.outcome == OUTCOME_OK);
		generation = (int32_t)one->join.out.group->generation;
		one->id_len = one->join.out.group->member_id.len;
		memcpy(one->id, one->join.out.group->member_id.ptr, one->id_len);
	}
	return generation;
}

static void classic_sync(int32_t generation, struct slice assignment)
{
	static struct group_assignment assignments[MEMBERS];

	for (uint32_t m = 0; m < MEMBERS; m++)
		assignments[m] = (struct group_assignment){slice_from(classic[m].id, classic[m].id_len), assignment};
	for (uint32_t m = 0; m < MEMBERS; m++) {
		struct classic *one = &classic[(m + 1) % MEMBERS];
		bool leads = one->join.out.group->member_count > 0;

		command_answer_deinit(&one->sync);
		one->sync = (struct command){.kind = COMMAND_GROUP_SYNC,
					     .in.group_sync.sync = {.who = classic_who(one, generation),
								    .assignments = assignments,
								    .assignment_count = leads ? MEMBERS : 0}};
		ask(&one->sync);
	}
	for (uint32_t m = 0; m < MEMBERS; m++)
		ENSURE(classic[m].sync.outcome == OUTCOME_OK);
}

static void wait_for_all(struct sequencer_config *config)
{
	config->group_first_delay_ms = 3000;
}

static void case_classic(void)
{
	char *bytes = mem_zalloc(METADATA_BYTES);
	struct slice metadata = {bytes, METADATA_BYTES};
	const struct group_protocol protocols[] = {{SLICE("range"), metadata}, {SLICE("cooperative-sticky"), metadata}};
	int32_t generation;

	ENSURE(bytes);
	begin("classic: 1,000 members, twice 32 KiB of metadata each", 0);
	configure(wait_for_all);
	step();
	for (uint32_t m = 0; m < MEMBERS; m++)
		classic_join(&classic[m], protocols);
	told("all join");
	later(60000);
	generation = classic_hear();
	told("the generation begins");
	classic_sync(generation, metadata);
	told("all sync");
	for (uint32_t m = 0; m < MEMBERS; m++) {
		struct command c = {.kind = COMMAND_GROUP_BEAT, .in.group_who = classic_who(&classic[m], generation)};

		ask(&c);
		ENSURE(c.outcome == OUTCOME_OK);
	}
	told("all beat");
	look_at_group(false);
	told("the group is described");
	for (uint32_t m = 0; m < MEMBERS; m++)
		classic_join(&classic[m], protocols);
	told("all join again");
	classic_sync(classic_hear(), metadata);
	told("all sync");
	for (uint32_t m = 0; m < MEMBERS; m++) {
		command_answer_deinit(&classic[m].join);
		command_answer_deinit(&classic[m].sync);
	}
	finish();
	mem_free(bytes);
}

/* --- offsets --- */

/* Transactions that set offsets, four questions each, and stay open. */
static void transactions(struct group_place *places, uint32_t transactions)
{
	struct slice ids[] = {SLICE("a"), SLICE("b"), SLICE("c"), SLICE("d")};

	ENSURE(transactions <= sizeof(ids) / sizeof(ids[0]));
	for (uint32_t i = 0; i < transactions; i++) {
		struct command c = {
			.kind = COMMAND_PRODUCER_ID,
			.in.producer_id = {
				.transactional_id = ids[i], .timeout_ms = 60000, .producer_id = -1, .producer_epoch = -1}};
		struct txn_in txn = {.transactional_id = ids[i]};

		ask(&c);
		ENSURE(c.outcome == OUTCOME_OK);
		txn.producer_id = c.out.producer_id.producer_id;
		txn.producer_epoch = c.out.producer_id.producer_epoch;
		for (int n = 0; n < 4; n++) {
			struct group_commit_in commit = {
				{.group = SLICE("group"), .generation = -1}, places + (i * 1000) + n % 2 * 500, 1500};

			c = (struct command){.kind = COMMAND_TXN_OFFSETS, .in.txn_offsets = {txn, commit}};
			ask(&c);
			ENSURE(c.outcome == OUTCOME_OK);
		}
	}
}

static void case_offsets(void)
{
	const uint32_t topics = 100, partitions = 1000;
	struct name *names = mem_alloc(topics * sizeof(*names));
	struct group_place *places = mem_zalloc((size_t)topics * partitions * sizeof(*places));
	struct command c = {
		.kind = COMMAND_GROUP_COMMIT,
		.in.group_commit = {{.group = SLICE("group"), .generation = -1}, places, (size_t)topics * partitions}};

	ENSURE(names && places);
	begin("offsets: of one group", topics * partitions);
	topics_make(topics, partitions);
	for (uint32_t i = 0; i < topics * partitions; i++)
		places[i] = (struct group_place){.topic = name_of(&names[i / partitions], i / partitions),
						 .partition = i % partitions,
						 .offset = i,
						 .leader_epoch = -1};
	step();
	ask(&c);
	ENSURE(c.outcome == OUTCOME_OK);
	told("committed in one");
	ask(&c);
	told("and again");
	c = (struct command){.kind = COMMAND_GROUP_OFFSETS, .in.group_offsets = {.group = SLICE("group")}};
	ask(&c);
	ENSURE(c.out.offsets->count == topics * partitions);
	command_answer_deinit(&c);
	told("all are fetched");
	c = (struct command){
		.kind = COMMAND_GROUP_OFFSETS,
		.in.group_offsets = {.group = SLICE("group"), .places = places, .count = topics * partitions, .stable = true}};
	ask(&c);
	command_answer_deinit(&c);
	told("all are fetched by name");
	look_at_group(true);
	told("the group is described with them");
	transactions(places, 4);
	told("transactions are to set some");
	c = (struct command){.kind = COMMAND_GROUP_OFFSETS,
			     .in.group_offsets = {.group = SLICE("group"), .places = places, .count = 2000, .stable = true}};
	ask(&c);
	command_answer_deinit(&c);
	told("2,000 are fetched meanwhile");
	checkpoint();
	topic_change(COMMAND_TOPIC_DELETE, topics - 1, 0);
	told("a topic is deleted");
	look_at_topics();
	mem_free(places);
	mem_free(names);
	finish();
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"uniform", case_uniform}, {"range", case_range},     {"mixed", case_mixed},
	{"pattern", case_pattern}, {"classic", case_classic}, {"offsets", case_offsets},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool wanted = argc == 1;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], cases[i].name) == 0;
		if (wanted)
			cases[i].run();
	}
	return 0;
}
