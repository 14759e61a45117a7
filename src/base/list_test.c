#include "base/list.h"
#include "base/mail.h"
#include "base/testing.h"

struct item {
	struct list node;
	int value;
};

enum { ITEMS = 40, LISTS = 3 };

/* The oracle: arrays of values in order. */
struct oracle {
	int values[ITEMS];
	size_t count;
};

static void oracle_insert(struct oracle *o, size_t at, int value)
{
	for (size_t i = o->count++; i > at; i--)
		o->values[i] = o->values[i - 1];
	o->values[at] = value;
}

static void oracle_remove(struct oracle *o, int value)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->count; i++) {
		if (o->values[i] != value)
			o->values[kept++] = o->values[i];
	}
	o->count = kept;
}

static void expect(struct list *head, const struct oracle *o)
{
	size_t i = 0;

	list_each (at, head) {
		assert_true(i < o->count);
		assert_int_equal(container_of(at, struct item, node)->value, o->values[i++]);
		assert_ptr_equal(at->next->prev, at);
	}
	assert_int_equal(i, o->count);
	assert_int_equal(list_empty(head), o->count == 0);
	if (o->count)
		assert_int_equal(list_first(head, struct item, node)->value, o->values[0]);
}

static void step(struct test_random *random, struct list heads[LISTS], struct oracle oracles[LISTS], struct item *item)
{
	size_t to = test_random_below(random, LISTS), from = (to + 1) % LISTS;

	switch (test_random_below(random, 8)) {
	case 0:
		list_splice(&heads[to], &heads[from]);
		for (size_t i = 0; i < oracles[from].count; i++)
			oracle_insert(&oracles[to], oracles[to].count, oracles[from].values[i]);
		oracles[from].count = 0;
		return;
	case 1:
	case 2:
	case 3:
		break; /* only out */
	default:
		list_remove(&item->node);
		for (size_t i = 0; i < LISTS; i++)
			oracle_remove(&oracles[i], item->value);
		if (test_random_below(random, 2)) {
			list_push_front(&heads[to], &item->node);
			oracle_insert(&oracles[to], 0, item->value);
		} else {
			list_push_back(&heads[to], &item->node);
			oracle_insert(&oracles[to], oracles[to].count, item->value);
		}
		return;
	}
	list_remove(&item->node);
	list_remove(&item->node); /* harmless */
	assert_true(list_empty(&item->node));
	for (size_t i = 0; i < LISTS; i++)
		oracle_remove(&oracles[i], item->value);
}

static void model(void **state)
{
	struct test_random random = test_random_start("list");
	struct list heads[LISTS];
	struct oracle oracles[LISTS] = {0};
	struct item items[ITEMS];

	(void)state;
	for (size_t i = 0; i < LISTS; i++)
		list_init(&heads[i]);
	for (int i = 0; i < ITEMS; i++) {
		items[i].value = i;
		list_init(&items[i].node);
	}
	for (int n = 0; n < 20000; n++) {
		step(&random, heads, oracles, &items[test_random_below(&random, ITEMS)]);
		for (size_t i = 0; i < LISTS; i++)
			expect(&heads[i], &oracles[i]);
	}
}

static void removal_while_walking(void **state)
{
	struct list head;
	struct item items[10];
	int sum = 0;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 10; i++) {
		items[i].value = i;
		list_push_back(&head, &items[i].node);
	}
	list_each_safe (at, &head) {
		if (container_of(at, struct item, node)->value % 2)
			list_remove(at);
	}
	list_each (at, &head)
		sum += container_of(at, struct item, node)->value;
	assert_int_equal(sum, 0 + 2 + 4 + 6 + 8);
}

static void mail_keeps_order(void **state)
{
	struct mail_list box = {0};
	struct mail mails[5];

	(void)state;
	assert_null(mail_pop(&box));
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 5; i++)
			mail_push(&box, &mails[i]);
		assert_ptr_equal(mail_pop(&box), &mails[0]);
		mail_push(&box, &mails[0]);
		for (size_t i = 1; i < 6; i++)
			assert_ptr_equal(mail_pop(&box), &mails[i % 5]);
		assert_null(mail_pop(&box));
		assert_null(box.last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(removal_while_walking),
		cmocka_unit_test(mail_keeps_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
