/* Asking a sequencer about groups of consumers, in short: readers of one group, as the tests see them. What a reader is told to
 * have it has at once; what it is told no longer it goes on having until it gives it up (reader_obey). */
#pragma once

#include "sequencer/group_fixture.h"

enum { READER_TOPICS = 4, READER_PARTITIONS = 16 };

/* Partitions of the topics "t", "u", "v" and "w", a bit each. */
typedef uint64_t places_mask;

static inline places_mask place_bit(unsigned topic, unsigned partition)
{
	return (places_mask)1 << (topic * READER_PARTITIONS + partition);
}

struct reader {
	const char *name;
	struct slice instance, regex, assignor; /* without: none */
	const char *topics;                     /* with commas; NULL: none by name */
	char id[GROUP_MEMBER_ID_MAX + 1];       /* empty: the server gives one */
	int32_t epoch;
	uint32_t rebalance_ms;
	places_mask told, has;
	bool moved; /* the last beat said what it has */
};

extern struct reader a, b, c; /* of topic "t", which has four partitions */
int readers_setup(void **state);
int readers_teardown(void **state);
void two_in(void);         /* a and b, two partitions each */
void expect_replays(void); /* the journal, replayed, is the state; and so is a checkpoint */
void ok(enum outcome outcome);

struct reader reader_of(const char *name, const char *topics);
enum outcome reader_join(struct reader *reader);   /* anew, having given up all */
enum outcome reader_beat(struct reader *reader);   /* a word that it is alive */
enum outcome reader_obey(struct reader *reader);   /* gives up what it is no longer told to have, and says what it has */
enum outcome reader_repeat(struct reader *reader); /* the same with all else, as when an answer was lost */
enum outcome reader_leave(struct reader *reader);  /* a static one comes back */
enum outcome reader_quit(struct reader *reader);
enum outcome reader_commit(struct reader *reader, uint64_t offset); /* of t/0 */
enum outcome reader_say(struct reader *reader, struct consumer_beat beat, bool says_owned);
struct consumer_beat beat_of(const struct reader *reader);

enum outcome topic_make(const char *name, uint32_t partitions); /* or grow */
enum outcome topic_drop(const char *name);
places_mask all_of(unsigned topic, uint32_t partitions);
unsigned count_of(places_mask mask);
void expect_group(enum group_state state, uint32_t epoch); /* 0: any */
