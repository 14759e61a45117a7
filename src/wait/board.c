/* The oldest wait of a key stands in the table; the others hang in its ring of peers, in the order in which they came. A wait
 * that hangs nowhere has peers.next == NULL; node.hash is 0 for those that are not in the table (a hash that happens to be 0 is
 * made 1, which costs nothing but a longer chain). */
#include "wait/board.h"

#include "base/panic.h"

#include <errno.h>

void board_init(struct board *board, const struct hash_key *secret)
{
	*board = (struct board){.secret = *secret};
	hash_init(&board->table);
}

void board_deinit(struct board *board)
{
	hash_deinit(&board->table);
	board->count = 0;
}

static uint64_t board_hash(const struct board *board, uint64_t key)
{
	uint64_t hash = hash_u64(&board->secret, key, 0);

	return hash ? hash : 1;
}

static struct wait *find_hashed(const struct board *board, uint64_t key, uint64_t hash)
{
	for (struct hash_node *node = hash_first(&board->table, hash); node; node = hash_next(&board->table, node)) {
		struct wait *wait = container_of(node, struct wait, node);

		if (node->hash == hash && wait->key == key)
			return wait;
	}
	return NULL;
}

int board_add(struct board *board, struct wait *wait, uint64_t key)
{
	uint64_t hash = board_hash(board, key);
	struct wait *first = find_hashed(board, key, hash);

	if (first) {
		list_push_back(&first->peers, &wait->peers);
		wait->node = (struct hash_node){0};
	} else {
		int error = hash_insert(&board->table, &wait->node, hash);

		if (error)
			return error;
		list_init(&wait->peers);
	}
	wait->key = key;
	board->count++;
	return 0;
}

void board_remove(struct board *board, struct wait *wait)
{
	if (!wait->peers.next)
		return;
	if (wait->node.hash) {
		uint64_t hash = wait->node.hash;

		hash_remove(&board->table, &wait->node);
		if (!list_empty(&wait->peers)) {
			struct wait *second = container_of(wait->peers.next, struct wait, peers);

			/* Only a table's very first insert can lack memory. */
			ENSURE(hash_insert(&board->table, &second->node, hash) == 0);
		}
		wait->node = (struct hash_node){0};
	}
	list_remove(&wait->peers);
	wait->peers = (struct list){NULL, NULL};
	board->count--;
}

struct wait *board_find(const struct board *board, uint64_t key)
{
	return find_hashed(board, key, board_hash(board, key));
}

struct wait *board_next(const struct wait *first, const struct wait *wait)
{
	return wait->peers.next == &first->peers ? NULL : container_of(wait->peers.next, struct wait, peers);
}
