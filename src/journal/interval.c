/* Syncs in the background, for those modes in which a commit only writes. */
#include "journal/journal_priv.h"

#include "base/mem.h"

struct sync_request {
	struct io_job job;
	struct journal *journal;
	uint64_t target; /* everything before it is in the files */
	size_t count;
	struct segment *segments[];
};

static void sync_run(struct io_job *job)
{
	struct sync_request *request = container_of(job, struct sync_request, job);
	struct journal *journal = request->journal;
	int r = 0;

	for (size_t i = 0; i < request->count; i++) {
		if (r == 0)
			r = journal_fdatasync(journal, request->segments[i]->held.fd);
		held_unref(&request->segments[i]->held);
	}
	if (r == 0)
		atomic_store(&journal->synced, request->target);
	atomic_store(&journal->interval_done, true);
	mem_free(request);
}

bool interval_request(struct journal *journal)
{
	uint64_t first = journal_number(journal, atomic_load(&journal->synced));
	uint64_t last = journal_number(journal, journal->durable);
	struct sync_request *request;

	if (journal->interval_running)
		return false;
	request = mem_alloc(sizeof(*request) + (size_t)(last - first + 1) * sizeof(struct segment *));
	if (!request)
		return false;
	*request = (struct sync_request){.job = {.run = sync_run}, .journal = journal, .target = journal->durable};
	for (uint64_t number = first; number <= last; number++) {
		struct segment *segment = segment_find(journal, number);

		if (!segment || !atomic_load(&segment->published))
			continue;
		held_ref(&segment->held);
		request->segments[request->count++] = segment;
	}
	atomic_store(&journal->interval_done, false);
	journal->interval_running = true;
	io_post(&journal->io, &request->job);
	return true;
}
