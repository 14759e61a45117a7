/* Those who produce: some without an id, who say nothing twice; idempotent ones, who repeat what they are not sure of, and also
 * what they are sure of, leave numbers out and go on with an epoch that is over; and transactional ones, some of which share an
 * id and fence each other, who end their transactions, or vanish and let time end them. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

enum { SEQUENCE_LAST = INT32_MAX };

static void producer_forgets(struct topic_producer *producer)
{
	producer->producer_id = -1;
	producer->pending_count = producer->part_count = 0;
	producer->state = CLIENT_NONE;
	producer->txn = 0;
}

/* --- its id --- */

static void id_returned(struct world *world, struct ask *ask)
{
	struct topic_producer *producer = ask->who;
	const struct producer_id_out *out = &ask->command.out.producer_id;
	bool is_new = !ask->command.in.producer_id.transactional_id.len;

	if (!producer)
		return;
	producer->ask = NULL;
	if (ask->command.outcome == OUTCOME_FENCED)
		producer_forgets(producer);
	if (ask->command.outcome != OUTCOME_OK)
		return;
	producer_forgets(producer);
	producer->producer_id = out->producer_id;
	producer->epoch = out->producer_epoch;
	memset(producer->next, 0, sizeof(producer->next));
	if (!is_new || random_permille(&world->random, 500))
		return;
	/* Nobody says where one begins that is not known: here some records before the numbers begin anew. */
	for (unsigned t = 0; t < TOPIC_NAMES; t++) {
		for (unsigned p = 0; p < TOPIC_PARTITIONS_ASKED; p++)
			producer->next[t][p] = SEQUENCE_LAST - (uint32_t)random_below(&world->random, 12);
	}
}

static void asks_id(struct world *world, struct topic_producer *producer)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_PRODUCER_ID);
	struct producer_id_in *in = &ask->command.in.producer_id;

	*in = (struct producer_id_in){.producer_id = -1, .producer_epoch = -1};
	if (producer->kind == PRODUCER_TRANSACTIONAL) {
		in->transactional_id = ask_text(ask, "%s", producer->id);
		in->timeout_ms = (uint32_t)random_between(&world->random, 50, 1500);
		if (producer->producer_id >= 0 && random_permille(&world->random, 500)) {
			in->producer_id = producer->producer_id;
			in->producer_epoch = producer->epoch;
		}
		if (random_permille(&world->random, 30))
			in->timeout_ms = UINT32_MAX;
	}
	ask->who = producer;
	ask->returned = id_returned;
	producer->ask = ask;
	ask_send(world, ask);
}

/* --- producing --- */

static void acknowledged(struct topic_producer *producer, struct said said)
{
	if (said.again)
		return;
	said.again = true;
	producer->next[said.topic][said.partition] = (uint32_t)(((uint64_t)said.seq + said.count) % (1ULL << 31));
	if (producer->history_count == HISTORY_MAX)
		memmove(producer->history, producer->history + 1, --producer->history_count * sizeof(said));
	producer->history[producer->history_count++] = said;
}

/* Whether it may be said again; if not, it is dropped. */
static bool is_open(struct world *world, struct topic_producer *producer, const struct said *said,
		    const struct produce_partition *p)
{
	switch ((unsigned)p->outcome) {
	case OUTCOME_OK:
		acknowledged(producer, *said);
		return false;
	case OUTCOME_SAME:
		acknowledged(producer, *said);
		world->topics.same++;
		return false;
	case OUTCOME_GAP:
		world->topics.gaps++;
		return false;
	case OUTCOME_STALE:
		world->topics.stale++;
		return false;
	case OUTCOME_NO_MEMORY:
	case OUTCOME_NO_SPACE:
	case OUTCOME_STORAGE:
		return producer->kind != PRODUCER_PLAIN;
	default:
		world->topics.refused++;
		return false;
	}
}

/* Most begin anew; some raise their epoch by themselves (KIP-360), some do not care. */
static void goes_wrong(struct world *world, struct topic_producer *producer)
{
	uint64_t drawn = random_below(&world->random, 100);

	if (drawn < 60 || producer->kind == PRODUCER_TRANSACTIONAL) {
		producer_forgets(producer);
	} else if (drawn < 85) {
		producer->epoch++;
		producer->pending_count = 0;
		memset(producer->next, 0, sizeof(producer->next));
	}
}

static void produced(struct world *world, struct ask *ask)
{
	struct topic_producer *producer = ask->who;
	const struct question *q = question_of(ask);
	size_t count = ask->command.in.produce.count, kept = 0;
	bool lost = false, unsure = false;

	for (size_t i = 0; i < count && ask->command.outcome == OUTCOME_OK; i++) {
		if (q->produce[i].outcome == OUTCOME_OK || q->produce[i].outcome == OUTCOME_SAME)
			told_append(world, model_partition(&world->model.topics, q->streams[i])->stream,
				    q->produce[i].base_offset);
	}
	if (!producer)
		return;
	producer->ask = NULL;
	for (size_t i = 0; i < count && i < producer->pending_count && ask->command.outcome == OUTCOME_OK; i++) {
		enum outcome outcome = q->produce[i].outcome;
		bool again = is_open(world, producer, &producer->pending[i], &q->produce[i]);

		lost = lost || outcome == OUTCOME_GAP || outcome == OUTCOME_STALE;
		/* What is refused now may have been taken when it was said before: then its numbers are not free for another. */
		unsure = unsure || (producer->pending[i].tries > 1 && !again && outcome != OUTCOME_OK && outcome != OUTCOME_SAME);
		if (again)
			producer->pending[kept++] = producer->pending[i];
	}
	if (ask->command.outcome == OUTCOME_OK || producer->kind == PRODUCER_PLAIN)
		producer->pending_count = kept;
	if (unsure && producer->kind != PRODUCER_PLAIN)
		producer_forgets(producer);
	else if (lost)
		goes_wrong(world, producer);
}

static void says(struct world *world, struct topic_producer *producer)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_PRODUCE);
	struct question *q = question_of(ask);

	for (size_t i = 0; i < producer->pending_count; i++) {
		struct said *said = &producer->pending[i];

		said->tries++;
		q->produce[i] = (struct produce_partition){.topic = any_ref(world, ask, said->topic),
							   .partition = said->partition,
							   .batch = batch_of(said, q->bytes[i])};
	}
	ask->command.in.produce = (struct produce_in){.partitions = q->produce, .count = producer->pending_count};
	if (producer->id[0])
		ask->command.in.produce.transactional_id = ask_text(ask, "%s", producer->id);
	ask->who = producer;
	ask->returned = produced;
	producer->ask = ask;
	ask_send(world, ask);
}

static bool is_pending(const struct topic_producer *producer, unsigned topic, unsigned partition)
{
	for (size_t i = 0; i < producer->pending_count; i++) {
		if (producer->pending[i].topic == topic && producer->pending[i].partition == partition)
			return true;
	}
	return false;
}

static struct said new_message(struct world *world, const struct topic_producer *producer, unsigned topic, unsigned partition)
{
	struct random *random = &world->random;

	return (struct said){.topic = topic,
			     .partition = partition,
			     .serial = ++world->topics.serial,
			     .txn = producer->txn,
			     .producer_id = producer->producer_id,
			     .epoch = producer->producer_id < 0 ? (int16_t)-1 : producer->epoch,
			     .time_ms = world->now_ms - (random_permille(random, 200) ? random_below(random, 200) : 0),
			     .count = (uint32_t)random_between(random, 1, 3),
			     .seq = producer->next[topic][partition],
			     .keyed = random_permille(random, 700)};
}

/* Something that was acknowledged before. What was in a transaction that is over nobody says again: it would not be known. */
static bool says_again(struct world *world, const struct topic_producer *producer, struct said *said)
{
	const struct said *one = &producer->history[random_below(&world->random, producer->history_count)];

	if (!producer->history_count || one->txn != producer->txn || one->producer_id < 0 || !random_permille(&world->random, 60))
		return false;
	*said = *one;
	return true;
}

/* One to three new batches; now and then one that is wrong. */
static void has_something_to_say(struct world *world, struct topic_producer *producer)
{
	struct random *random = &world->random;
	uint64_t wanted = random_permille(random, 600) ? 1 : random_between(random, 2, 3);

	while (producer->pending_count < wanted) {
		unsigned topic = (unsigned)random_below(random, random_permille(random, 950) ? TOPIC_NAMES - 1 : TOPIC_NAMES);
		unsigned partition = (unsigned)random_below(random, random_permille(random, 850) ? 2 : TOPIC_PARTITIONS_ASKED);
		struct said *said = &producer->pending[producer->pending_count];

		if (producer->part_count && !random_permille(random, 30)) {
			size_t i = random_below(random, producer->part_count);

			topic = producer->parts[i].topic;
			partition = producer->parts[i].partition;
		}
		if (is_pending(producer, topic, partition)) {
			wanted--;
			continue;
		}
		*said = new_message(world, producer, topic, partition);
		if (says_again(world, producer, said))
			world_trace(world, "message %" PRIu64 " is said again", said->serial);
		else if (random_permille(random, 20))
			said->seq = (uint32_t)(said->seq + random_between(random, 1, 4)) & INT32_MAX;
		if (is_pending(producer, said->topic, said->partition))
			return;
		producer->pending_count++;
	}
}

/* --- transactions --- */

static struct txn_in txn_in(struct ask *ask, const struct topic_producer *producer)
{
	return (struct txn_in){.transactional_id = ask_text(ask, "%s", producer->id),
			       .producer_id = producer->producer_id,
			       .producer_epoch = producer->epoch};
}

static void lost_it(const struct world *world, struct topic_producer *producer, enum outcome outcome)
{
	(void)world;
	if (outcome == OUTCOME_FENCED || outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_TXN)
		producer_forgets(producer);
}

static void added(struct world *world, struct ask *ask)
{
	struct topic_producer *producer = ask->who;
	const struct txn_in *in = &ask->command.in.txn;

	if (!producer)
		return;
	producer->ask = NULL;
	lost_it(world, producer, ask->command.outcome);
	if (ask->command.outcome != OUTCOME_OK)
		return;
	producer->state = CLIENT_OPEN;
	for (size_t i = 0; i < in->partition_count && producer->part_count < PARTS_MAX; i++) {
		producer->parts[producer->part_count].topic = (unsigned)ask->numbers[i];
		producer->parts[producer->part_count++].partition = in->partitions[i].partition;
	}
}

static void adds(struct world *world, struct topic_producer *producer)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_TXN_ADD);
	struct question *q = question_of(ask);
	struct txn_in *in = &ask->command.in.txn;

	*in = txn_in(ask, producer);
	in->partitions = q->parts;
	in->partition_count = random_below(&world->random, 3);
	if (producer->state == CLIENT_NONE) {
		producer->txn = ++world->topics.txn;
		producer->part_count = 0;
		in->partition_count++;
	}
	for (size_t i = 0; i < in->partition_count; i++) {
		ask->numbers[i] =
			random_below(&world->random, random_permille(&world->random, 970) ? TOPIC_NAMES - 1 : TOPIC_NAMES);
		q->parts[i] = (struct txn_partition){
			.topic = any_ref(world, ask, (unsigned)ask->numbers[i]),
			.partition = (uint32_t)random_below(&world->random, random_permille(&world->random, 950) ? 2 : 4)};
	}
	q->txn = producer->txn;
	ask->who = producer;
	ask->returned = added;
	producer->ask = ask;
	ask_send(world, ask);
}

static void offsets_sent(struct world *world, struct ask *ask)
{
	struct topic_producer *producer = ask->who;

	if (!producer)
		return;
	producer->ask = NULL;
	if (ask->command.outcome == OUTCOME_FENCED || ask->command.outcome == OUTCOME_NOT_FOUND)
		lost_it(world, producer, ask->command.outcome);
}

static void sends_offsets(struct world *world, struct topic_producer *producer)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_TXN_OFFSETS);

	ask->command.in.txn_offsets.txn = txn_in(ask, producer);
	offsets_in_transaction(world, ask, producer->txn);
	ask->who = producer;
	ask->returned = offsets_sent;
	producer->ask = ask;
	ask_send(world, ask);
}

static void ended(struct world *world, struct ask *ask)
{
	struct topic_producer *producer = ask->who;
	const struct question *q = question_of(ask);

	if (ask->command.outcome == OUTCOME_OK)
		fate_told(world, q->txn, ask->command.in.txn.commit ? FATE_COMMITTED : FATE_ABORTED);
	if (!producer)
		return;
	producer->ask = NULL;
	lost_it(world, producer, ask->command.outcome);
	if (ask->command.outcome != OUTCOME_OK)
		return;
	producer->state = CLIENT_NONE;
	producer->part_count = 0;
	producer->txn = 0;
}

static void ends(struct world *world, struct topic_producer *producer)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_TXN_END);

	if (producer->state == CLIENT_OPEN)
		producer->commits = random_permille(&world->random, 600);
	producer->state = CLIENT_ENDING;
	question_of(ask)->txn = producer->txn;
	ask->command.in.txn = txn_in(ask, producer);
	ask->command.in.txn.commit = producer->commits;
	ask->who = producer;
	ask->returned = ended;
	producer->ask = ask;
	ask_send(world, ask);
}

static void transaction_goes_on(struct world *world, struct topic_producer *producer)
{
	struct random *random = &world->random;

	if (producer->state == CLIENT_ENDING) {
		ends(world, producer);
	} else if (producer->pending_count) {
		says(world, producer);
	} else if (producer->state == CLIENT_NONE || random_permille(random, 100)) {
		adds(world, producer);
	} else if (world->theme->group && random_permille(random, 200)) {
		sends_offsets(world, producer);
	} else if (random_permille(random, 250)) {
		if (random_permille(random, 50)) /* time will end it */
			producer->rests_until_ms = world->now_ms + random_below(random, 3000);
		else
			ends(world, producer);
	} else {
		has_something_to_say(world, producer);
		says(world, producer);
	}
}

void producer_acts(struct world *world)
{
	struct random *random = &world->random;
	struct topic_producer *producer = &world->topics.producers[random_below(random, TOPIC_PRODUCERS)];

	if (producer->ask || producer->rests_until_ms > world->now_ms)
		return;
	if (random_permille(random, 2)) /* who comes in his place has heard of nothing */
		producer_forgets(producer);
	if (producer->kind != PRODUCER_PLAIN && (producer->producer_id < 0 || random_permille(random, 1))) {
		asks_id(world, producer);
		return;
	}
	if (producer->kind == PRODUCER_TRANSACTIONAL) {
		transaction_goes_on(world, producer);
		return;
	}
	has_something_to_say(world, producer);
	says(world, producer);
}
