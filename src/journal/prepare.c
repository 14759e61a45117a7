/* The segment after the active one, made ahead on the io thread, so that an append that fills a segment finds the next one
 * ready. While it cannot be made the journal is `full`; journal_turn tries again once a second.
 *
 * A full disk is left by letting go of what is dead, and for that a checkpoint must be written first. So there is a file,
 * `reserve`, that holds room for one; it is given up when a checkpoint begins while the journal is full, and made again behind
 * the next segment. */
#include "journal/journal_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const char reserve_name[] = "reserve";

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

/* Without it things go on as well; it is tried again with the next segment. */
static void reserve_make(struct journal *journal)
{
	uint64_t bytes = journal->segment_bytes / 2;
	int fd;

	if (atomic_load(&journal->reserve_bytes) || atomic_load(&journal->closing))
		return;
	fd = openat(journal->dir_fd, reserve_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (fallocate(fd, 0, 0, (off_t)bytes) == 0)
		atomic_store(&journal->reserve_bytes, bytes);
	else
		unlinkat(journal->dir_fd, reserve_name, 0);
	close(fd);
}

void prepare_spend_reserve(struct journal *journal)
{
	if (atomic_exchange(&journal->reserve_bytes, 0))
		unlinkat(journal->dir_fd, reserve_name, 0);
}

static void prepare_run(struct io_job *job)
{
	struct journal *journal = container_of(job, struct journal, prepare_job);
	bool missing;

	pthread_mutex_lock(&journal->prepare_mutex);
	if (!atomic_load(&journal->next) && !atomic_load(&journal->closing))
		(void)prepare_make(journal);
	pthread_mutex_unlock(&journal->prepare_mutex);
	if (!atomic_load(&journal->full))
		reserve_make(journal);
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
