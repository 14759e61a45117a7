#include "jobs.h"

#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_TIMEOUT_NS 20000000000ull
#define SETTLE_NS        50000000ull

static const struct jobs_driver *const drivers[] = {&jobs_bide, &jobs_beanstalkd, &jobs_redis_list, &jobs_redis_stream,
						    &jobs_nats};

void *jobs_alloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory)
		loop_die("out of memory");
	return memory;
}

/* ---- tags ---- */

static const char hex_digits[] = "0123456789abcdef";

static void tag_write(char *tag, uint32_t slot, uint32_t sequence)
{
	for (int i = 7; i >= 0; i--, slot >>= 4, sequence >>= 4) {
		tag[i] = hex_digits[slot & 15];
		tag[8 + i] = hex_digits[sequence & 15];
	}
}

static uint32_t tag_number(const char *text)
{
	uint32_t number = 0;
	for (int i = 0; i < 8; i++) {
		char c = text[i];
		uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
				 : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
							: 16;
		if (digit > 15)
			loop_die("not a job of ours: %.16s", text);
		number = number << 4 | digit;
	}
	return number;
}

const char *jobs_body(struct jobs *jobs, uint32_t slot)
{
	tag_write(jobs->body, slot, jobs->slots[slot].sequence);
	return jobs->body;
}

const char *jobs_result(struct jobs *jobs, const char *tag)
{
	memmove(jobs->body, tag, JOBS_TAG_BYTES);
	return jobs->body;
}

uint32_t jobs_client(const struct jobs *jobs, const char *tag)
{
	return tag_number(tag) / jobs->depth;
}

/* ---- who submits when ---- */

static void jobs_start(struct jobs *jobs, uint32_t slot, uint64_t intended_ns)
{
	jobs->slots[slot].intended_ns = intended_ns;
	jobs->slots[slot].sequence++;
	jobs->slots[slot].busy = true;
	jobs->driver->submit(jobs, slot);
}

/* Open loop: jobs that are due go out as long as slots are free; the others wait, and their clock runs. */
static void jobs_start_due(struct jobs *jobs, uint64_t now_ns)
{
	while (jobs->idle_count > 0 && jobs->next_due_ns <= now_ns && jobs->next_due_ns < jobs->to_ns) {
		uint64_t due_ns = jobs->next_due_ns;
		jobs->next_due_ns += jobs->interval_ns;
		jobs_start(jobs, jobs->idle[--jobs->idle_count], due_ns);
	}
}

static void jobs_pace(void *arg, uint64_t now_ns)
{
	struct jobs *jobs = arg;
	jobs_start_due(jobs, now_ns);
	/* With no slot free the next look is at the next due time from now; a job that ends looks by itself. */
	uint64_t next_ns = jobs->next_due_ns > now_ns ? jobs->next_due_ns : now_ns + jobs->interval_ns;
	if (next_ns < jobs->to_ns)
		loop_timer(&jobs->loop, (struct timer){next_ns, jobs_pace, jobs});
}

static void jobs_check_drained(struct jobs *jobs)
{
	bool all_submitted = jobs->interval_ns == 0 || jobs->next_due_ns >= jobs->to_ns;
	jobs->drained = jobs->stopping && all_submitted && jobs->idle_count == jobs->slots_count;
}

void jobs_finish(struct jobs *jobs, const char *tag, size_t tag_len, uint64_t now_ns)
{
	if (tag_len < JOBS_TAG_BYTES)
		loop_die("a result without its tag: %.*s", (int)tag_len, tag);
	uint32_t index = tag_number(tag);
	if (index >= jobs->slots_count || !jobs->slots[index].busy || jobs->slots[index].sequence != tag_number(tag + 8))
		loop_die("a result that nobody waits for: %.16s", tag);
	struct jobs_slot *slot = &jobs->slots[index];
	slot->busy = false;
	jobs->idle[jobs->idle_count++] = index;
	if (now_ns >= jobs->from_ns && now_ns < jobs->to_ns)
		jobs->finished_count++;
	if (slot->intended_ns >= jobs->from_ns && slot->intended_ns < jobs->to_ns)
		hist_add(&jobs->latency_hist, now_ns - slot->intended_ns);
	if (jobs->interval_ns > 0)
		jobs_start_due(jobs, now_ns);
	else if (!jobs->stopping)
		jobs_start(jobs, jobs->idle[--jobs->idle_count], now_ns);
	jobs_check_drained(jobs);
}

/* ---- a run ---- */

static void jobs_measure_from(void *arg, uint64_t now_ns)
{
	struct jobs *jobs = arg;
	(void)now_ns;
	jobs->cpu_from_ns = proc_set_cpu_ns(&jobs->procs);
	jobs->own_cpu_from_ns = proc_self_cpu_ns();
}

static void jobs_measure_to(void *arg, uint64_t now_ns)
{
	struct jobs *jobs = arg;
	(void)now_ns;
	jobs->cpu_ns = proc_set_cpu_ns(&jobs->procs) - jobs->cpu_from_ns;
	jobs->own_cpu_ns = proc_self_cpu_ns() - jobs->own_cpu_from_ns;
	jobs->stopping = true;
	jobs_check_drained(jobs);
}

static void jobs_run(struct jobs *jobs)
{
	uint64_t start_ns = loop_now_ns() + 1000000;
	jobs->from_ns = start_ns + (uint64_t)jobs->options->warmup_ms * 1000000;
	jobs->to_ns = jobs->from_ns + (uint64_t)jobs->options->duration_ms * 1000000;
	jobs->next_due_ns = start_ns;
	loop_timer(&jobs->loop, (struct timer){jobs->from_ns, jobs_measure_from, jobs});
	loop_timer(&jobs->loop, (struct timer){jobs->to_ns, jobs_measure_to, jobs});
	if (jobs->interval_ns > 0)
		loop_timer(&jobs->loop, (struct timer){start_ns, jobs_pace, jobs});
	for (uint32_t slot = jobs->slots_count; jobs->interval_ns == 0 && slot-- > 0;)
		jobs_start(jobs, jobs->idle[--jobs->idle_count], start_ns);
	if (!loop_until(&jobs->loop, &jobs->drained, jobs->to_ns + DRAIN_TIMEOUT_NS))
		loop_die("%u jobs never came back", jobs->slots_count - jobs->idle_count);
}

static void jobs_init(struct jobs *jobs, const struct options *options)
{
	jobs->options = options;
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i]->name, options->peer) == 0)
			jobs->driver = drivers[i];
	if (!jobs->driver)
		loop_die("no peer called %s", options->peer);
	if (options->depth == 0 || options->depth > JOBS_DEPTH_MAX || options->clients_count == 0 || options->workers_count == 0)
		loop_die("depth is 1 to %d, clients and workers at least 1", JOBS_DEPTH_MAX);
	if (options->body_bytes < JOBS_TAG_BYTES || options->body_bytes > JOBS_BODY_MAX)
		loop_die("bodies have %d to %d bytes", JOBS_TAG_BYTES, JOBS_BODY_MAX);
	int r = proc_set_find((pid_t)options->pid, &jobs->procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	jobs->clients_count = options->clients_count;
	jobs->workers_count = options->workers_count;
	jobs->depth = options->depth;
	jobs->plain = options->plain != 0;
	jobs->body_bytes = options->body_bytes;
	memset(jobs->body, 'b', sizeof(jobs->body));
	jobs->interval_ns = options->rate > 0 ? 1000000000ull / options->rate : 0;
	jobs->slots_count = jobs->clients_count * jobs->depth;
	jobs->slots = jobs_alloc(jobs->slots_count, sizeof(*jobs->slots));
	jobs->idle = jobs_alloc(jobs->slots_count, sizeof(*jobs->idle));
	for (uint32_t i = jobs->slots_count; i-- > 0;)
		jobs->idle[jobs->idle_count++] = i;
	hist_reset(&jobs->latency_hist);
	loop_init(&jobs->loop, (uint16_t)options->port);
}

static void jobs_report(const struct jobs *jobs)
{
	double seconds = (double)jobs->options->duration_ms / 1e3;
	double finished = (double)jobs->finished_count;
	if (jobs->finished_count == 0)
		loop_die("no job was finished in the measured time");
	report_begin();
	report_f64("jobs_per_second", finished / seconds);
	report_f64("cpu_us_per_job", (double)jobs->cpu_ns / 1e3 / finished);
	report_f64("own_cpu_us_per_job", (double)jobs->own_cpu_ns / 1e3 / finished);
	report_hist("latency", &jobs->latency_hist);
	report_end();
}

int jobs_main(const struct options *options)
{
	static struct jobs jobs;
	bool never = false;
	jobs_init(&jobs, options);
	jobs.driver->setup(&jobs);
	loop_until(&jobs.loop, &never, loop_now_ns() + SETTLE_NS);
	jobs_run(&jobs);
	/* What acknowledges the last results is still on its way: closing now could undo it. */
	loop_until(&jobs.loop, &never, loop_now_ns() + SETTLE_NS);
	jobs_report(&jobs);
	loop_deinit(&jobs.loop);
	free(jobs.slots);
	free(jobs.idle);
	return 0;
}
