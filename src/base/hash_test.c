#include "base/hash.h"
#include "base/mem.h"
#include "base/testing.h"

#include <endian.h>
#include <errno.h>

struct item {
	struct hash_node node;
	unsigned key;
	bool in;
};

enum { ITEMS = 6000, HASHES = 3000 }; /* every hash has two keys or so */

/* Nothing like a hash: keys that are alike in all the bits a small table looks at. */
static uint64_t hash_of(unsigned key)
{
	uint64_t group = key % HASHES;

	return group % 3 ? group * 0x9e3779b97f4a7c15u : group << 32 | (group & 7);
}

static struct item *find(const struct hash *table, unsigned key)
{
	for (struct hash_node *at = hash_first(table, hash_of(key)); at; at = hash_next(table, at)) {
		struct item *item = container_of(at, struct item, node);

		assert_true(at->hash == hash_of(key));
		if (item->key == key)
			return item;
	}
	return NULL;
}

/* All of one hash, each once. */
static size_t count_of_hash(const struct hash *table, uint64_t hash)
{
	size_t count = 0;

	for (struct hash_node *at = hash_first(table, hash); at; at = hash_next(table, at)) {
		assert_true(at->hash == hash);
		assert_true(++count <= ITEMS);
	}
	return count;
}

static void check_all(const struct hash *table, struct item *items)
{
	size_t count = 0;
	static unsigned of_hash[HASHES];

	memset(of_hash, 0, sizeof(of_hash));
	for (unsigned i = 0; i < ITEMS; i++) {
		assert_ptr_equal(find(table, i), items[i].in ? &items[i] : NULL);
		count += items[i].in;
		of_hash[i % HASHES] += items[i].in;
	}
	assert_int_equal(table->count, count);
	for (unsigned i = 0; i < HASHES; i++)
		assert_int_equal(count_of_hash(table, hash_of(i)), of_hash[i]);
}

static struct item *items_new(void)
{
	struct item *items = mem_zalloc(ITEMS * sizeof(*items));

	assert_non_null(items);
	for (unsigned i = 0; i < ITEMS; i++)
		items[i].key = i;
	return items;
}

static void toggle(struct hash *table, struct item *item)
{
	if (item->in)
		hash_remove(table, &item->node);
	else
		assert_int_equal(hash_insert(table, &item->node, hash_of(item->key)), 0);
	item->in = !item->in;
}

static void model(void **state)
{
	struct test_random random = test_random_start("hash");
	struct item *items = items_new();
	struct hash table;
	unsigned growing = 0;

	(void)state;
	hash_init(&table);
	assert_null(hash_first(&table, 1));
	for (unsigned step = 0; step < 60000; step++) {
		struct item *item = &items[test_random_below(&random, ITEMS)];

		/* At first mostly in, later as often out. */
		if (item->in && step < 20000 && test_random_below(&random, 4))
			continue;
		toggle(&table, item);
		growing += table.old != NULL;
		assert_ptr_equal(find(&table, item->key), item->in ? item : NULL);
		assert_int_equal(table.count <= ITEMS, 1);
		if (step % 2000 == 0)
			check_all(&table, items);
	}
	assert_true(growing > 500); /* else it has not been watched while growing */
	check_all(&table, items);
	for (unsigned i = 0; i < ITEMS; i++) {
		if (items[i].in)
			toggle(&table, &items[i]);
	}
	check_all(&table, items);
	hash_deinit(&table);
	mem_free(items);
}

/* In the middle of each growth: every node is found, and can leave, from whichever of the two tables it is in. */
static void removal_while_growing(void **state)
{
	struct item *items = items_new();

	(void)state;
	for (unsigned n = 65; n < 300; n += 3) {
		struct hash table;

		hash_init(&table);
		for (unsigned i = 0; i < n; i++)
			toggle(&table, &items[i]);
		for (unsigned i = 0; i < n; i++) {
			assert_ptr_equal(find(&table, i), &items[i]);
			toggle(&table, &items[i]);
			assert_null(find(&table, i));
		}
		assert_int_equal(table.count, 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(count_of_hash(&table, hash_of(i)), 0);
		hash_deinit(&table);
	}
	mem_free(items);
}

/* Each insert moves a bounded number of buckets, and the growth is over before the next one is due. */
static void growth_is_gradual(void **state)
{
	struct item *items = items_new();
	struct hash table;
	size_t growths = 0;

	(void)state;
	hash_init(&table);
	for (unsigned i = 0; i < ITEMS; i++) {
		size_t moved = table.moved, mask = table.mask;
		bool grew = table.old != NULL;

		items[i].in = true;
		assert_int_equal(hash_insert(&table, &items[i].node, test_random_u64(&(struct test_random){i})), 0);
		if (table.mask != mask) {
			growths++;
			assert_true(i == 0 || table.mask == 2 * mask + 1);
			assert_false(grew && table.moved != 0);
		} else if (grew && table.old) {
			assert_in_range(table.moved - moved, 1, 4);
		}
		assert_true(table.count <= table.mask + 1);
	}
	assert_int_equal(growths, 8); /* 64 … 8192 */
	hash_deinit(&table);
	mem_free(items);
}

static void insert_without_memory(void **state)
{
	struct item *items = items_new();
	struct hash table;

	(void)state;
	hash_init(&table);
	mem_fail_nth(1);
	assert_int_equal(hash_insert(&table, &items[0].node, 1), -ENOMEM);
	assert_int_equal(table.count, 0);
	assert_null(hash_first(&table, 1));
	toggle(&table, &items[0]);
	for (unsigned i = 1; i < 2000; i++) {
		mem_fail_nth(1); /* it never grows */
		toggle(&table, &items[i]);
	}
	assert_int_equal(table.mask, 63);
	mem_fail_nth(0);
	check_all(&table, items);
	for (unsigned i = 2000; i < ITEMS; i++) /* now it may */
		toggle(&table, &items[i]);
	assert_true(table.mask > 63);
	check_all(&table, items);
	hash_deinit(&table);
	mem_free(items);
}

/* SipHash-c-d as the paper writes it, step by step, for any c and d. */
static uint64_t sip_rotated(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], unsigned rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[1] = sip_rotated(v[1], 13);
		v[1] ^= v[0];
		v[0] = sip_rotated(v[0], 32);
		v[2] += v[3];
		v[3] = sip_rotated(v[3], 16);
		v[3] ^= v[2];
		v[0] += v[3];
		v[3] = sip_rotated(v[3], 21);
		v[3] ^= v[0];
		v[2] += v[1];
		v[1] = sip_rotated(v[1], 17);
		v[1] ^= v[2];
		v[2] = sip_rotated(v[2], 32);
	}
}

static uint64_t sip_reference(const unsigned cd[2], struct hash_key key, const uint8_t *in, size_t len)
{
	uint64_t v[4] = {0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573};
	size_t padded = len / 8 * 8 + 8;

	v[0] ^= key.k0;
	v[1] ^= key.k1;
	v[2] ^= key.k0;
	v[3] ^= key.k1;
	for (size_t word = 0; word < padded; word += 8) {
		uint64_t m = 0;

		for (size_t i = 0; i < 8; i++) {
			uint64_t byte = word + i < len ? in[word + i] : word + i == padded - 1 ? len & 0xff : 0;

			m += byte << (8 * i);
		}
		v[3] ^= m;
		sip_rounds(v, cd[0]);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	sip_rounds(v, cd[1]);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void sip_vectors(void **state)
{
	/* Key 0, bytes 00 01 02 …: what CPython 3.11 (sys.hash_info.algorithm siphash13, PYTHONHASHSEED=0) gives. */
	static const struct {
		size_t len;
		uint64_t hash;
	} vectors[] = {
		{1, 0x68a914128e01e473},  {2, 0x010bac45c41e3669},   {3, 0x4d4c9a4a8ef6e0ad},   {4, 0x7cc43f98813e4dbd},
		{5, 0x5abe2169dff36275},  {6, 0xe3c25f87624f1cdb},   {7, 0x2f098ab0c751325a},   {8, 0xead411e67ebe2eea},
		{9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea},  {16, 0x8972188433a5c5b7},  {17, 0x4883c49a2c009c1d},
		{63, 0x385d3e39e5f37359}, {255, 0x5dc1f93ea135eb43}, {256, 0x31ae646afba70308}, {257, 0xef7cec81c6f56af4},
	};
	/* The example of the paper's appendix A, for SipHash-2-4: so the reference below is no echo of our own reading. */
	static const struct hash_key counting = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	static const unsigned two_four[2] = {2, 4};
	uint8_t bytes[257];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_true(sip_reference(two_four, counting, bytes, 15) == 0xa129ca6149be45e5);
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++)
		assert_true(hash_bytes(&(struct hash_key){0, 0}, bytes, vectors[i].len) == vectors[i].hash);
}

static void sip_against_reference(void **state)
{
	struct test_random random = test_random_start("siphash");
	static const unsigned one_three[2] = {1, 3};
	uint8_t bytes[600 + 8];

	(void)state;
	for (size_t len = 0; len <= 600; len++) {
		struct hash_key key;
		uint8_t *at = bytes + len % 8; /* any alignment */
		uint64_t words[2];

		test_random_bytes(&random, &key, sizeof(key));
		test_random_bytes(&random, bytes, sizeof(bytes));
		assert_true(hash_bytes(&key, at, len) == sip_reference(one_three, key, at, len));
		memcpy(words, bytes, sizeof(words));
		assert_true(hash_u64(&key, le64toh(words[0]), le64toh(words[1])) == hash_bytes(&key, bytes, 16));
	}
	assert_true(hash_bytes(&(struct hash_key){1, 2}, NULL, 0) == sip_reference(one_three, (struct hash_key){1, 2}, bytes, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(removal_while_growing),
		cmocka_unit_test(growth_is_gradual),
		cmocka_unit_test(insert_without_memory),
		cmocka_unit_test(sip_vectors),
		cmocka_unit_test(sip_against_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
