#include "base/heap.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

void heap_init(struct heap *heap, bool (*before)(const struct heap_node *, const struct heap_node *))
{
	*heap = (struct heap){.before = before};
}

void heap_deinit(struct heap *heap)
{
	heap->nodes = mem_free(heap->nodes);
	heap->count = heap->cap = 0;
}

int heap_reserve(struct heap *heap, uint32_t count)
{
	uint32_t cap = heap->cap ? heap->cap : 16;
	struct heap_node **nodes;

	if (count <= heap->cap)
		return 0;
	while (cap < count) {
		if (cap > UINT32_MAX / 2)
			return -ENOMEM;
		cap *= 2;
	}
	nodes = mem_realloc(heap->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	heap->nodes = nodes;
	heap->cap = cap;
	return 0;
}

static void heap_set(struct heap *heap, uint32_t index, struct heap_node *node)
{
	heap->nodes[index] = node;
	node->place = index + 1;
}

static void heap_up(struct heap *heap, uint32_t index)
{
	struct heap_node *node = heap->nodes[index];

	while (index > 0) {
		uint32_t parent = (index - 1) / 2;

		if (!heap->before(node, heap->nodes[parent]))
			break;
		heap_set(heap, index, heap->nodes[parent]);
		index = parent;
	}
	heap_set(heap, index, node);
}

static void heap_down(struct heap *heap, uint32_t index)
{
	struct heap_node *node = heap->nodes[index];

	for (;;) {
		uint32_t child = 2 * index + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count && heap->before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (!heap->before(heap->nodes[child], node))
			break;
		heap_set(heap, index, heap->nodes[child]);
		index = child;
	}
	heap_set(heap, index, node);
}

int heap_push(struct heap *heap, struct heap_node *node)
{
	int r;

	ENSURE(node->place == 0);
	r = heap_reserve(heap, heap->count + 1);
	if (r)
		return r;
	heap_set(heap, heap->count++, node);
	heap_up(heap, heap->count - 1);
	return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	uint32_t index;
	struct heap_node *last;

	if (node->place == 0)
		return;
	index = node->place - 1;
	ENSURE(index < heap->count && heap->nodes[index] == node);
	node->place = 0;
	last = heap->nodes[--heap->count];
	if (last == node)
		return;
	heap_set(heap, index, last);
	heap_moved(heap, last);
}

void heap_moved(struct heap *heap, struct heap_node *node)
{
	if (node->place == 0)
		return;
	heap_up(heap, node->place - 1);
	heap_down(heap, node->place - 1);
}
