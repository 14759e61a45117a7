/* Where jobs and queues are found: by number, name, key, attempt id. */
#include "job/job_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static bool ready_before(const struct heap_node *a, const struct heap_node *b)
{
	const struct job *x = container_of(a, const struct job, ready);
	const struct job *y = container_of(b, const struct job, ready);

	if (x->priority != y->priority)
		return x->priority < y->priority;
	return x->ready_position < y->ready_position;
}

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct job, deadline)->deadline_ms <
	       container_of(b, const struct job, deadline)->deadline_ms;
}

int jobs_init(struct jobs *jobs, struct store *store, const struct hash_key *hash_key, uint64_t tombstone_ms)
{
	*jobs = (struct jobs){.store = store, .hash_key = *hash_key, .tombstone_ms = tombstone_ms, .next_number = 1};
	pool_init(&jobs->pool, sizeof(struct job));
	list_init(&jobs->queues);
	heap_init(&jobs->deadlines, deadline_before);
	if (hash_init_sure(&jobs->queue_table) || hash_init_sure(&jobs->atoms) || hash_init_sure(&jobs->names) ||
	    hash_init_sure(&jobs->keys) || hash_init_sure(&jobs->attempts)) {
		jobs_deinit(jobs);
		return -ENOMEM;
	}
	return 0;
}

/* Jobs are freed without telling the store: this is the end of the process or of a simulated one. */
static void job_free_strings(struct jobs *jobs, struct job *job)
{
	atom_give(jobs, job->content_type);
	atom_give(jobs, job->result_type);
	atom_give(jobs, job->worker);
	mem_free(job->message);
	mem_free(job->error);
	mem_free(job->name);
	mem_free(job->key);
	mem_free(job->attempt_id);
}

void jobs_deinit(struct jobs *jobs)
{
	for (size_t c = 0; c < jobs->chunk_count; c++) {
		for (size_t i = 0; jobs->chunks[c] && i < CHUNK_JOBS; i++) {
			if (jobs->chunks[c]->jobs[i])
				job_free_strings(jobs, jobs->chunks[c]->jobs[i]);
		}
		mem_free(jobs->chunks[c]);
	}
	mem_free(jobs->chunks);
	list_each_safe (node, &jobs->queues) {
		struct queue *queue = container_of(node, struct queue, peers);

		heap_deinit(&queue->ready);
		atom_give(jobs, queue->name);
		mem_free(queue);
	}
	hash_deinit(&jobs->queue_table);
	hash_deinit(&jobs->atoms);
	hash_deinit(&jobs->names);
	hash_deinit(&jobs->keys);
	hash_deinit(&jobs->attempts);
	heap_deinit(&jobs->deadlines);
	pool_deinit(&jobs->pool);
}

/* --- by number --- */

/* Lets go of the empty front of the directory, so that it does not grow with every number ever given. */
static void chunks_slide(struct jobs *jobs)
{
	size_t empty = 0;

	while (empty < jobs->chunk_count && !jobs->chunks[empty])
		empty++;
	if (empty < jobs->chunk_count / 2 || empty == 0)
		return;
	memmove(jobs->chunks, jobs->chunks + empty, (jobs->chunk_count - empty) * sizeof(*jobs->chunks));
	jobs->chunk_count -= empty;
	jobs->chunk_base += empty;
}

int number_reserve(struct jobs *jobs, uint64_t number)
{
	uint64_t chunk = number / CHUNK_JOBS;
	size_t at;

	if (jobs->chunk_count == 0)
		jobs->chunk_base = chunk;
	if (chunk < jobs->chunk_base || chunk - jobs->chunk_base > UINT32_MAX)
		return -EBADMSG;
	at = (size_t)(chunk - jobs->chunk_base);
	if (at >= jobs->chunk_cap) {
		chunks_slide(jobs);
		at = (size_t)(chunk - jobs->chunk_base);
	}
	if (at >= jobs->chunk_cap) {
		size_t cap = jobs->chunk_cap ? jobs->chunk_cap * 2 : 64;
		struct job_chunk **chunks;

		while (cap <= at)
			cap *= 2;
		chunks = mem_realloc(jobs->chunks, cap * sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		jobs->chunks = chunks;
		jobs->chunk_cap = cap;
	}
	while (jobs->chunk_count <= at)
		jobs->chunks[jobs->chunk_count++] = NULL;
	if (!jobs->chunks[at])
		jobs->chunks[at] = mem_zalloc(sizeof(struct job_chunk));
	return jobs->chunks[at] ? 0 : -ENOMEM;
}

static struct job_chunk **chunk_of(const struct jobs *jobs, uint64_t number)
{
	uint64_t chunk = number / CHUNK_JOBS;

	if (chunk < jobs->chunk_base || chunk - jobs->chunk_base >= jobs->chunk_count)
		return NULL;
	return &jobs->chunks[chunk - jobs->chunk_base];
}

void number_put(struct jobs *jobs, struct job *job)
{
	struct job_chunk **chunk = chunk_of(jobs, job->number);

	ENSURE(chunk && *chunk && !(*chunk)->jobs[job->number % CHUNK_JOBS]);
	(*chunk)->jobs[job->number % CHUNK_JOBS] = job;
	(*chunk)->used++;
	jobs->count++;
	if (job->number >= jobs->next_number)
		jobs->next_number = job->number + 1;
}

void number_remove(struct jobs *jobs, uint64_t number)
{
	struct job_chunk **chunk = chunk_of(jobs, number);

	ENSURE(chunk && *chunk && (*chunk)->jobs[number % CHUNK_JOBS]);
	(*chunk)->jobs[number % CHUNK_JOBS] = NULL;
	jobs->count--;
	/* The newest chunk stays, since the next job goes there. */
	if (--(*chunk)->used == 0 && number / CHUNK_JOBS != jobs->next_number / CHUNK_JOBS)
		*chunk = mem_free(*chunk);
}

struct job *jobs_find(const struct jobs *jobs, uint64_t number)
{
	struct job_chunk **chunk = chunk_of(jobs, number);

	return chunk && *chunk ? (*chunk)->jobs[number % CHUNK_JOBS] : NULL;
}

struct job *jobs_before(const struct jobs *jobs, uint64_t *number, uint64_t *limit)
{
	if (*number > jobs->next_number)
		*number = jobs->next_number;
	while (*number > jobs->chunk_base * CHUNK_JOBS && *limit > 0) {
		struct job_chunk **chunk = chunk_of(jobs, *number - 1);
		struct job *job;

		(*limit)--;
		if (!chunk || !*chunk) {
			*number = (*number - 1) / CHUNK_JOBS * CHUNK_JOBS;
			continue;
		}
		(*number)--;
		job = (*chunk)->jobs[*number % CHUNK_JOBS];
		if (job)
			return job;
	}
	return NULL;
}

struct job *jobs_from(const struct jobs *jobs, uint64_t number)
{
	if (number < jobs->chunk_base * CHUNK_JOBS)
		number = jobs->chunk_base * CHUNK_JOBS;
	for (;;) {
		struct job_chunk **chunk = chunk_of(jobs, number);

		if (!chunk)
			return NULL;
		if (!*chunk) {
			number = (number / CHUNK_JOBS + 1) * CHUNK_JOBS;
			continue;
		}
		if ((*chunk)->jobs[number % CHUNK_JOBS])
			return (*chunk)->jobs[number % CHUNK_JOBS];
		number++;
	}
}

/* --- by strings --- */

uint64_t queue_string_hash(const struct jobs *jobs, const struct queue *queue, struct slice s)
{
	return hash_u64(&jobs->hash_key, queue->node.hash, hash_bytes(&jobs->hash_key, s.ptr, s.len));
}

uint64_t attempt_hash(const struct jobs *jobs, struct slice s)
{
	return hash_bytes(&jobs->hash_key, s.ptr, s.len);
}

static struct job *find_string(const struct jobs *jobs, const struct hash *table, struct slice queue_name, struct slice s)
{
	struct queue *queue = queue_find(jobs, queue_name);

	if (!queue)
		return NULL;
	for (struct hash_node *n = hash_first(table, queue_string_hash(jobs, queue, s)); n; n = hash_next(table, n)) {
		struct job_index *index = container_of(n, struct job_index, node);

		if (index->job->queue == queue && slice_eq(index_slice(index), s))
			return index->job;
	}
	return NULL;
}

struct job *jobs_find_name(const struct jobs *jobs, struct slice queue, struct slice name)
{
	return find_string(jobs, &jobs->names, queue, name);
}

struct job *jobs_find_key(const struct jobs *jobs, struct slice queue, struct slice key)
{
	return find_string(jobs, &jobs->keys, queue, key);
}

struct job *jobs_find_attempt(const struct jobs *jobs, struct slice attempt_id, const struct job *after)
{
	struct hash_node *n = after ? hash_next(&jobs->attempts, &after->attempt_id->node)
				    : hash_first(&jobs->attempts, attempt_hash(jobs, attempt_id));

	for (; n; n = hash_next(&jobs->attempts, n)) {
		struct job_index *index = container_of(n, struct job_index, node);

		if (slice_eq(index_slice(index), attempt_id))
			return index->job;
	}
	return NULL;
}

struct queue *queue_find(const struct jobs *jobs, struct slice name)
{
	uint64_t hash = hash_bytes(&jobs->hash_key, name.ptr, name.len);

	for (struct hash_node *n = hash_first(&jobs->queue_table, hash); n; n = hash_next(&jobs->queue_table, n)) {
		struct queue *queue = container_of(n, struct queue, node);

		if (slice_eq(atom_slice(queue->name), name))
			return queue;
	}
	return NULL;
}

struct queue *queue_get(struct jobs *jobs, struct slice name)
{
	struct queue *queue = queue_find(jobs, name);

	if (queue)
		return queue;
	queue = mem_zalloc(sizeof(*queue));
	if (!queue || atom_take(jobs, name, &queue->name) ||
	    hash_insert(&jobs->queue_table, &queue->node, hash_bytes(&jobs->hash_key, name.ptr, name.len))) {
		if (queue)
			atom_give(jobs, queue->name);
		return mem_free(queue);
	}
	heap_init(&queue->ready, ready_before);
	queue->all_count = jobs->count_by_state;
	list_init(&queue->dirty);
	list_init(&queue->claims);
	list_init(&queue->waiting);
	list_init(&queue->dead);
	list_push_back(&jobs->queues, &queue->peers);
	jobs->queue_count++;
	return queue;
}

void queue_settle(struct jobs *jobs, struct queue *queue)
{
	uint64_t held = queue->expired_count + (queue->paused ? 1 : 0);

	for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
		held += queue->count[i];
	if (held)
		return;
	/* Claims are no events: what they alone keep alive must be what a replay, in which there are none, begins anew. */
	memset(queue->total, 0, sizeof(queue->total));
	if (queue->claim_count)
		return;
	hash_remove(&jobs->queue_table, &queue->node);
	list_remove(&queue->peers);
	list_remove(&queue->dirty);
	heap_deinit(&queue->ready);
	atom_give(jobs, queue->name);
	mem_free(queue);
	jobs->queue_count--;
}

/* --- strings --- */

int atom_take(struct jobs *jobs, struct slice s, struct atom **ret_atom)
{
	uint64_t hash = hash_bytes(&jobs->hash_key, s.ptr, s.len);
	struct atom *atom;

	if (s.len == 0) {
		*ret_atom = NULL;
		return 0;
	}
	for (struct hash_node *n = hash_first(&jobs->atoms, hash); n; n = hash_next(&jobs->atoms, n)) {
		atom = container_of(n, struct atom, node);
		if (slice_eq(atom_slice(atom), s)) {
			atom->refs++;
			*ret_atom = atom;
			return 0;
		}
	}
	atom = mem_alloc(sizeof(*atom) + s.len);
	if (!atom)
		return -ENOMEM;
	*atom = (struct atom){.refs = 1, .len = (uint32_t)s.len};
	memcpy(atom->bytes, s.ptr, s.len);
	if (hash_insert(&jobs->atoms, &atom->node, hash)) {
		mem_free(atom);
		return -ENOMEM;
	}
	*ret_atom = atom;
	return 0;
}

void atom_give(struct jobs *jobs, struct atom *atom)
{
	if (!atom || --atom->refs > 0)
		return;
	hash_remove(&jobs->atoms, &atom->node);
	mem_free(atom);
}

int text_new(struct slice s, struct text **ret_text)
{
	struct text *text = NULL;

	if (s.len > 0) {
		text = mem_alloc(sizeof(*text) + s.len);
		if (!text)
			return -ENOMEM;
		text->len = (uint32_t)s.len;
		memcpy(text->bytes, s.ptr, s.len);
	}
	*ret_text = text;
	return 0;
}

int index_new(struct slice s, struct job_index **ret_index)
{
	struct job_index *index = NULL;

	if (s.len > 0) {
		index = mem_alloc(sizeof(*index) + s.len);
		if (!index)
			return -ENOMEM;
		*index = (struct job_index){.len = (uint32_t)s.len};
		memcpy(index->bytes, s.ptr, s.len);
	}
	*ret_index = index;
	return 0;
}

int index_put(struct hash *table, struct job_index *index, struct job *job, uint64_t hash)
{
	index->job = job;
	return hash_insert(table, &index->node, hash);
}

struct job_index *index_drop(struct hash *table, struct job_index *index)
{
	if (index) {
		hash_remove(table, &index->node);
		mem_free(index);
	}
	return NULL;
}
