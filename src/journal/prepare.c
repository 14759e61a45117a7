/* The segment after the active one, made ahead on the io thread, so that an append that fills a segment finds the next one
 * ready. While it cannot be made the journal is `full`; journal_turn tries again once a second. */
#include "journal/journal_priv.h"

#include <errno.h>

/* Under prepare_mutex. */
static int prepare_make(struct journal *journal)
{
	struct segment *segment;
	int r = segment_make(journal, journal->made_number + 1, &segment);

	if (r < 0) {
		atomic_store(&journal->full_error, -r);
		atomic_store(&journal->full, true);
		return r;
	}
	journal->made_number++;
	segment_zero_post(segment);
	atomic_store(&journal->next, segment);
	atomic_store(&journal->full, false);
	return 0;
}

static void prepare_run(struct io_job *job)
{
	struct journal *journal = container_of(job, struct journal, prepare_job);
	bool missing;

	pthread_mutex_lock(&journal->prepare_mutex);
	if (!atomic_load(&journal->next) && !atomic_load(&journal->closing))
		(void)prepare_make(journal);
	pthread_mutex_unlock(&journal->prepare_mutex);
	atomic_store(&journal->prepare_posted, false);
	/* Taken before the line above: whoever took it saw the flag still up and did not post. */
	missing = !atomic_load(&journal->next) && !atomic_load(&journal->full) && !atomic_load(&journal->closing);
	if (missing)
		prepare_post(journal);
}

void prepare_init(struct journal *journal)
{
	journal->prepare_job.run = prepare_run;
}

void prepare_post(struct journal *journal)
{
	if (!atomic_exchange(&journal->prepare_posted, true))
		io_post(&journal->io, &journal->prepare_job);
}

int prepare_now(struct journal *journal)
{
	int r = 0;

	pthread_mutex_lock(&journal->prepare_mutex);
	if (!atomic_load(&journal->next)) {
		if (atomic_load(&journal->full))
			r = STORE_NO_SPACE;
		else
			r = prepare_make(journal);
	}
	pthread_mutex_unlock(&journal->prepare_mutex);
	return r < 0 && r != -ENOMEM ? STORE_NO_SPACE : r;
}

struct segment *prepare_take(struct journal *journal)
{
	struct segment *segment;

	pthread_mutex_lock(&journal->prepare_mutex);
	segment = atomic_exchange(&journal->next, NULL);
	pthread_mutex_unlock(&journal->prepare_mutex);
	prepare_post(journal);
	return segment;
}

bool prepare_publish(struct segment *segment)
{
	struct journal *journal = segment->held.journal;
	int r = segment_publish(segment);

	if (r == 0)
		return true;
	pthread_mutex_lock(&journal->prepare_mutex);
	if ((r == -ENOSPC || r == -EDQUOT) && atomic_load(&journal->next) == segment) {
		/* Nobody has it yet. */
		atomic_store(&journal->next, NULL);
		journal->made_number--;
		atomic_store(&journal->full_error, -r);
		atomic_store(&journal->full, true);
		segment_discard(segment);
	} else {
		journal_fail(journal, r);
	}
	pthread_mutex_unlock(&journal->prepare_mutex);
	return false;
}
