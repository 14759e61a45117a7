#include "base/heap.h"
#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

struct item {
	struct heap_node node;
	unsigned key;
};

enum { ITEMS = 300 };

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct item, node)->key < container_of(b, const struct item, node)->key;
}

static unsigned top_key(const struct heap *heap)
{
	return container_of(heap_top(heap), struct item, node)->key;
}

static void check(const struct heap *heap, const struct item items[ITEMS])
{
	unsigned least = UINT32_MAX;
	uint32_t count = 0;

	for (size_t i = 0; i < ITEMS; i++) {
		if (!heap_holds(&items[i].node))
			continue;
		count++;
		least = items[i].key < least ? items[i].key : least;
		assert_ptr_equal(heap->nodes[items[i].node.place - 1], &items[i].node);
	}
	assert_int_equal(heap->count, count);
	assert_int_equal(heap_top(heap) != NULL, count != 0);
	if (count)
		assert_int_equal(top_key(heap), least);
	for (uint32_t i = 1; i < heap->count; i++)
		assert_false(before(heap->nodes[i], heap->nodes[(i - 1) / 2]));
}

static void model(void **state)
{
	struct test_random random = test_random_start("heap");
	struct item items[ITEMS] = {0};
	struct heap heap;

	(void)state;
	heap_init(&heap, before);
	assert_null(heap_top(&heap));
	for (int step = 0; step < 20000; step++) {
		/* It swells and shrinks in turn. */
		struct item *item = &items[test_random_below(&random, step / 1000 % 2 ? 20 : ITEMS)];

		if (!heap_holds(&item->node)) {
			item->key = (unsigned)test_random_below(&random, 50); /* many alike */
			assert_int_equal(heap_push(&heap, &item->node), 0);
		} else if (test_random_below(&random, 2)) {
			item->key = (unsigned)test_random_below(&random, 50);
			heap_moved(&heap, &item->node);
		} else {
			heap_remove(&heap, &item->node);
			heap_remove(&heap, &item->node); /* left alone */
			heap_moved(&heap, &item->node);  /* the same */
			assert_false(heap_holds(&item->node));
		}
		check(&heap, items);
	}
	for (unsigned last = 0; heap_top(&heap); last = top_key(&heap), heap_remove(&heap, heap_top(&heap)))
		assert_true(top_key(&heap) >= last);
	check(&heap, items);
	heap_deinit(&heap);
	heap_deinit(&heap);
}

static void push_without_memory(void **state)
{
	struct item items[ITEMS] = {0};
	struct heap heap;
	unsigned refused = 0;

	(void)state;
	heap_init(&heap, before);
	for (size_t i = 0; i < ITEMS; i++) {
		items[i].key = (unsigned)(ITEMS - i);
		mem_fail_nth(1);
		if (heap_push(&heap, &items[i].node)) {
			refused++;
			assert_false(heap_holds(&items[i].node));
			check(&heap, items);
			mem_fail_nth(0);
			assert_int_equal(heap_push(&heap, &items[i].node), 0);
		}
		mem_fail_nth(0);
		check(&heap, items);
	}
	assert_in_range(refused, 4, 10); /* by doubling */
	heap_deinit(&heap);
}

static void reserved_pushes_cannot_fail(void **state)
{
	struct item items[ITEMS] = {0};
	struct heap heap;

	(void)state;
	heap_init(&heap, before);
	mem_fail_nth(1);
	assert_int_equal(heap_reserve(&heap, ITEMS), -ENOMEM);
	assert_int_equal(heap.cap, 0);
	assert_int_equal(heap_reserve(&heap, UINT32_MAX), -ENOMEM);
	assert_int_equal(heap_reserve(&heap, 0), 0);
	assert_int_equal(heap_reserve(&heap, ITEMS), 0);
	for (size_t i = 0; i < ITEMS; i++) {
		mem_fail_nth(1);
		assert_int_equal(heap_push(&heap, &items[i].node), 0);
	}
	mem_fail_nth(0);
	check(&heap, items);
	heap_deinit(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(push_without_memory),
		cmocka_unit_test(reserved_pushes_cannot_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
