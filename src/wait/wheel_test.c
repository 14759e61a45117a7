/* The oracle is a bare array that is looked through from end to end. At every call of `expired` the entry is in the wheel, and
 * the tick at or behind its deadline has begun. After every advance nothing more is due, or as many were called as were allowed.
 * With `next` never too late, that is all the wheel promises. */
#include "base/mem.h"
#include "base/testing.h"
#include "wait/wheel.h"

#include <string.h>

enum { ITEMS = 400, TICK = 4, ROTATION = 16384 * TICK };

struct model;

struct item {
	struct wheel_entry entry;
	struct model *model;
	bool in;
};

struct model {
	struct wheel *wheel;
	struct test_random random;
	uint64_t now; /* the greatest that the wheel was told */
	struct item items[ITEMS];
	unsigned called, limit, removals;
	bool meddle; /* callbacks add and remove */
};

/* The first millisecond at which it may be called, and should be: the wheel looks at whole ticks only. The last tick of all is
 * never. */
static uint64_t due_ms(const struct item *item)
{
	uint64_t deadline = item->entry.deadline_ms;

	return deadline > UINT64_MAX / TICK * TICK - TICK ? UINT64_MAX : (deadline + TICK - 1) / TICK * TICK;
}

static bool is_due(const struct model *model, const struct item *item)
{
	return item->in && due_ms(item) <= model->now;
}

static uint64_t first_due(const struct model *model)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < ITEMS; i++) {
		if (model->items[i].in && due_ms(&model->items[i]) < first)
			first = due_ms(&model->items[i]);
	}
	return first;
}

static size_t count_due(const struct model *model)
{
	size_t count = 0;

	for (size_t i = 0; i < ITEMS; i++)
		count += is_due(model, &model->items[i]);
	return count;
}

/* From the next tick to days away, with a liking for the edges of ticks and rotations. */
static uint64_t some_distance(struct test_random *random)
{
	static const uint64_t bounds[] = {2, 12, 300, 60000, 3 * ROTATION, 900000000};
	uint64_t distance = test_random_below(random, bounds[test_random_below(random, ARRAY_COUNT(bounds))]);

	if (test_random_below(random, 4) == 0)
		distance = distance / ROTATION * ROTATION + ROTATION - 8 + test_random_below(random, 16);
	return distance;
}

static void item_add(struct item *item)
{
	struct model *model = item->model;
	uint64_t distance = some_distance(&model->random);
	size_t what = test_random_below(&model->random, 100);

	item->entry.deadline_ms = model->now + distance;
	if (what < 10)
		item->entry.deadline_ms = model->now > distance ? model->now - distance : 0;
	else if (what == 10)
		item->entry.deadline_ms = UINT64_MAX - test_random_below(&model->random, 12);
	item->in = true;
	wheel_add(model->wheel, &item->entry);
}

static void item_remove(struct item *item)
{
	item->model->removals += item->in;
	item->in = false;
	wheel_remove(item->model->wheel, &item->entry); /* of one that is in no wheel, too */
}

static struct item *some_item(struct model *model)
{
	return &model->items[test_random_below(&model->random, ITEMS)];
}

static void item_expired(struct wheel_entry *entry)
{
	struct item *item = container_of(entry, struct item, entry);
	struct model *model = item->model;

	assert_true(item->in);
	assert_true(is_due(model, item)); /* never early */
	assert_true(model->called++ < model->limit);
	item->in = false;
	if (!model->meddle)
		return;
	if (test_random_below(&model->random, 3) == 0)
		item_add(item);
	for (int i = 0; i < 2; i++) {
		struct item *other = some_item(model);

		if (other->in)
			item_remove(other); /* perhaps the next one to be called */
		else if (test_random_below(&model->random, 2))
			item_add(other);
	}
}

static void model_start(struct model *model, const char *name, bool meddle)
{
	*model = (struct model){.random = test_random_start(name), .meddle = meddle};
	model->now = test_random_u64(&model->random) >> (24 + test_random_below(&model->random, 40));
	model->wheel = wheel_new(model->now);
	assert_non_null(model->wheel);
	for (size_t i = 0; i < ITEMS; i++) {
		model->items[i].model = model;
		model->items[i].entry.expired = item_expired;
	}
}

static void model_advance(struct model *model, uint64_t now, unsigned limit)
{
	bool more;

	if (now > model->now)
		model->now = now;
	model->called = 0;
	model->limit = limit;
	more = wheel_advance(model->wheel, now, limit);
	assert_int_equal(more, count_due(model) != 0); /* none is late */
	if (more)
		assert_int_equal(model->called, limit);
}

static void check_next(const struct model *model)
{
	uint64_t next = wheel_next_ms(model->wheel), first = first_due(model);

	if (first <= model->now)
		assert_true(next <= model->now);
	else
		assert_true(next <= first);
	if (!model->removals && !model->meddle && first > model->now)
		assert_true(next == first);
}

static uint64_t some_time(struct model *model)
{
	uint64_t next = wheel_next_ms(model->wheel);

	switch (test_random_below(&model->random, 5)) {
	case 0:
		return next < UINT64_MAX / 2 ? next : model->now; /* not to the end of the world */
	case 1:
		return next && next < UINT64_MAX / 2 ? next - 1 : model->now;
	case 2:
		return model->now > 5 ? model->now - 5 : 0; /* backwards is no harm */
	case 3:
		return model->now + test_random_below(&model->random, 200);
	default:
		return model->now + some_distance(&model->random) / 2;
	}
}

static void run_model(struct model *model, bool removing)
{
	static const unsigned limits[] = {0, 1, 3, 20, 100000};

	for (unsigned step = 0; step < 30000; step++) {
		struct item *item = some_item(model);
		size_t what = test_random_below(&model->random, 30);

		if (what < 2)
			model_advance(model, some_time(model), limits[test_random_below(&model->random, ARRAY_COUNT(limits))]);
		else if (!item->in)
			item_add(item);
		else if (removing && what < 12)
			item_remove(item);
		check_next(model);
	}
	wheel_free(model->wheel);
}

static void model_adding_only(void **state)
{
	struct model model;

	(void)state;
	model_start(&model, "wheel", false);
	run_model(&model, false);
}

static void model_with_removals(void **state)
{
	struct model model;

	(void)state;
	model_start(&model, "wheel, removals", false);
	run_model(&model, true);
	assert_true(model.removals > 1000);
}

static void model_of_meddling_callbacks(void **state)
{
	struct model model;

	(void)state;
	model_start(&model, "wheel, callbacks", true);
	run_model(&model, true);
}

/* Who sleeps until wheel_next_ms and then advances is woken in vain at most once for each removal, and comes to an end. */
static void sleepers_are_woken_for_something(void **state)
{
	struct model model;
	unsigned idle = 0, turns = 0;

	(void)state;
	model_start(&model, "wheel, sleeper", false);
	for (size_t i = 0; i < ITEMS; i++) {
		item_add(&model.items[i]);
		if (model.items[i].entry.deadline_ms > UINT64_MAX / 2)
			item_remove(&model.items[i]);
	}
	model.removals = 0;
	for (uint64_t next; (next = wheel_next_ms(model.wheel)) != UINT64_MAX; turns++) {
		assert_true(next <= model.now || first_due(&model) >= next);
		model_advance(&model, next, UINT32_MAX);
		idle += model.called == 0;
		if (turns % 3 == 0)
			item_remove(some_item(&model));
		assert_true(turns < 3 * ITEMS);
	}
	assert_true(first_due(&model) == UINT64_MAX);
	/* Those that adding and at once removing left behind come on top: one item in a hundred or so. */
	assert_true(idle <= model.removals + ITEMS / 4);
	wheel_free(model.wheel);
}

struct simple {
	struct wheel_entry entry;
	struct wheel *wheel;
	uint64_t again_ms; /* added once more inside the callback, with this deadline */
	unsigned again_count, called;
};

static void simple_expired(struct wheel_entry *entry)
{
	struct simple *simple = container_of(entry, struct simple, entry);

	simple->called++;
	if (simple->again_count) {
		simple->again_count--;
		entry->deadline_ms = simple->again_ms;
		wheel_add(simple->wheel, entry);
	}
}

static struct simple simple_at(struct wheel *wheel, uint64_t deadline_ms)
{
	return (struct simple){.entry = {.deadline_ms = deadline_ms, .expired = simple_expired}, .wheel = wheel};
}

/* Every deadline around every sort of edge, alone, watched millisecond by millisecond. */
static void alone_to_the_millisecond(void **state)
{
	static const uint64_t distances[] = {0, TICK, ROTATION - TICK, ROTATION, ROTATION + TICK, 3 * ROTATION, 86400000};

	(void)state;
	for (uint64_t start = 1000; start < 1000 + TICK; start++) {
		for (size_t i = 0; i < ARRAY_COUNT(distances) * 8; i++) {
			struct wheel *wheel = wheel_new(start);
			uint64_t deadline = start + distances[i / 8] + i % 8, due = (deadline + TICK - 1) / TICK * TICK;
			struct simple one = simple_at(wheel, deadline);

			wheel_add(wheel, &one.entry);
			assert_true(due <= start || wheel_next_ms(wheel) == due);
			for (uint64_t now = due > start + 2 * TICK ? due - 2 * TICK : start; now <= due; now++) {
				assert_false(wheel_advance(wheel, now, 1));
				assert_int_equal(one.called, now >= due && now >= start);
			}
			assert_false(wheel_advance(wheel, due + 1, 1)); /* for deadlines in the tick that had begun already */
			assert_int_equal(one.called, 1);
			assert_true(wheel_next_ms(wheel) == UINT64_MAX);
			wheel_free(wheel);
		}
	}
}

/* What stands behind the one that is called, above all in the slot that the hand has just left, a whole rotation away. */
static void next_behind_the_first(void **state)
{
	(void)state;
	for (uint64_t distance = TICK; distance < 3 * ROTATION;
	     distance += distance % ROTATION == 3 * TICK ? ROTATION - 6 * TICK : TICK) {
		struct wheel *wheel = wheel_new(0);
		struct simple first = simple_at(wheel, 400), second = simple_at(wheel, 400 + distance);

		wheel_add(wheel, &second.entry);
		wheel_add(wheel, &first.entry);
		assert_true(wheel_next_ms(wheel) == 400);
		assert_false(wheel_advance(wheel, 400, 10));
		assert_int_equal(first.called, 1);
		assert_int_equal(second.called, 0);
		assert_true(wheel_next_ms(wheel) == 400 + distance);
		wheel_free(wheel);
	}
}

/* Waits that were answered long before their deadlines leave nothing behind but one turn in vain, however many they were. */
static void the_removed_cost_one_turn(void **state)
{
	struct wheel *wheel = wheel_new(0);
	struct simple many[1000], last = simple_at(wheel, 50000);

	(void)state;
	wheel_add(wheel, &last.entry);
	for (size_t i = 0; i < ARRAY_COUNT(many); i++) {
		many[i] = simple_at(wheel, 30000 + i * TICK);
		wheel_add(wheel, &many[i].entry);
	}
	for (size_t i = 0; i < ARRAY_COUNT(many); i++)
		wheel_remove(wheel, &many[i].entry);
	assert_false(wheel_advance(wheel, wheel_next_ms(wheel), 10));
	assert_true(wheel_next_ms(wheel) == 50000);
	assert_false(wheel_advance(wheel, 50000, 10));
	assert_int_equal(last.called, 1);
	wheel_free(wheel);
}

/* An entry that wants to be called again at once does not hold up the turn, nor is it forgotten. */
static void again_inside_the_callback(void **state)
{
	struct wheel *wheel = wheel_new(0);
	struct simple one = simple_at(wheel, 10), later = simple_at(wheel, 10);

	(void)state;
	one.again_count = 100;
	wheel_add(wheel, &one.entry);
	assert_true(wheel_advance(wheel, 12, 30));
	assert_int_equal(one.called, 30);
	assert_true(wheel_next_ms(wheel) <= 12);
	assert_true(wheel_advance(wheel, 12, 70));
	assert_false(wheel_advance(wheel, 12, 70));
	assert_int_equal(one.called, 101);
	assert_true(wheel_next_ms(wheel) == UINT64_MAX);

	later.again_count = 1;
	later.again_ms = 12 + ROTATION; /* into the slot that is being emptied */
	later.entry.deadline_ms = 16;
	wheel_add(wheel, &later.entry);
	assert_false(wheel_advance(wheel, 16, 10));
	assert_int_equal(later.called, 1);
	assert_true(wheel_next_ms(wheel) == 12 + ROTATION);
	assert_false(wheel_advance(wheel, 11 + ROTATION, 10));
	assert_int_equal(later.called, 1);
	assert_false(wheel_advance(wheel, 12 + ROTATION, 10));
	assert_int_equal(later.called, 2);
	wheel_free(wheel);
}

/* A machine that slept for a thousand years: as many steps as there are slots, not as there are ticks. */
static void a_leap_in_time(void **state)
{
	const uint64_t leap = 1000ull * 365 * 86400 * 1000;
	struct wheel *wheel = wheel_new(5);
	struct simple near = simple_at(wheel, 100), far = simple_at(wheel, leap), beyond = simple_at(wheel, 2 * leap);

	(void)state;
	wheel_add(wheel, &near.entry);
	wheel_add(wheel, &far.entry);
	wheel_add(wheel, &beyond.entry);
	assert_false(wheel_advance(wheel, leap, 10));
	assert_int_equal(near.called, 1);
	assert_int_equal(far.called, 1);
	assert_int_equal(beyond.called, 0);
	assert_true(wheel_next_ms(wheel) == 2 * leap);
	wheel_remove(wheel, &near.entry);
	wheel_remove(wheel, &beyond.entry);
	assert_false(wheel_advance(wheel, 2 * leap, 10));
	assert_int_equal(beyond.called, 0);
	assert_true(wheel_next_ms(wheel) == UINT64_MAX);
	wheel_free(wheel);
}

/* Far entries are not looked at when the hand passes: a deadline that is changed behind the wheel's back tells who reads it. */
static void far_entries_are_passed_over(void **state)
{
	struct wheel *wheel = wheel_new(0);
	struct simple before = simple_at(wheel, 96), far = simple_at(wheel, 100 + 5 * ROTATION), after = simple_at(wheel, 104);

	(void)state;
	wheel_add(wheel, &before.entry);
	wheel_add(wheel, &far.entry);
	wheel_add(wheel, &after.entry);
	far.entry.deadline_ms = 0;
	assert_false(wheel_advance(wheel, 200, 10));
	assert_int_equal(before.called + after.called, 2);
	assert_int_equal(far.called, 0);
	assert_true(wheel_next_ms(wheel) == 100 + 5 * ROTATION);
	assert_false(wheel_advance(wheel, 100 + 5 * ROTATION, 10));
	assert_int_equal(far.called, 1);
	wheel_free(wheel);
}

static void without_memory(void **state)
{
	(void)state;
	mem_fail_nth(1);
	assert_null(wheel_new(1));
	mem_fail_nth(0);
	assert_null(wheel_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_adding_only),
		cmocka_unit_test(model_with_removals),
		cmocka_unit_test(model_of_meddling_callbacks),
		cmocka_unit_test(sleepers_are_woken_for_something),
		cmocka_unit_test(alone_to_the_millisecond),
		cmocka_unit_test(next_behind_the_first),
		cmocka_unit_test(the_removed_cost_one_turn),
		cmocka_unit_test(again_inside_the_callback),
		cmocka_unit_test(a_leap_in_time),
		cmocka_unit_test(far_entries_are_passed_over),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
