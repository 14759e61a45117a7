/* Intrusive binary min-heap: nodes carry their own place, so any of them can leave or move in O(log n). */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct heap_node {
	uint32_t place; /* 1-based; 0 = in no heap */
};

struct heap {
	struct heap_node **nodes;
	uint32_t count;
	uint32_t cap;
	bool (*before)(const struct heap_node *a, const struct heap_node *b); /* strict: a leaves before b */
};

void heap_init(struct heap *heap, bool (*before)(const struct heap_node *, const struct heap_node *));
void heap_deinit(struct heap *heap); /* nodes are not touched */

/* Room for `count` nodes in all, so that pushes up to there cannot fail. -ENOMEM. */
int heap_reserve(struct heap *heap, uint32_t count) MUST_USE;

/* -ENOMEM when it cannot grow; the node must be in no heap. */
int heap_push(struct heap *heap, struct heap_node *node) MUST_USE;
void heap_remove(struct heap *heap, struct heap_node *node); /* a node in no heap is left alone */
void heap_moved(struct heap *heap, struct heap_node *node);  /* call after its key changed */

static inline struct heap_node *heap_top(const struct heap *heap)
{
	return heap->count ? heap->nodes[0] : NULL;
}

static inline bool heap_holds(const struct heap_node *node)
{
	return node->place != 0;
}
