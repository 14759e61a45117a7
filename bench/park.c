/*
 * 15,000 parked waits on one server. Driven by lines on stdin, each answered by one JSON line, so that bench/run can put
 * several servers into the same state and let them be silent at the same time:
 *
 *   prepare N       make N handles (jobs submitted and claimed), measure memory
 *   park            connect the waiters, each polls its own handle; measure memory again
 *   silence MS      CPU of the server while nothing happens
 *   wake RATE N     complete N handles, one at a time, at RATE a second, in random order
 *   fanout ROUNDS   all waiters on one handle, completed once; a new handle each round
 */
#include "park.h"

#include "http.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_BATCH     256
#define SOURCES_COUNT     4
#define PARK_TIMEOUT_NS   60000000000ull
#define WAKE_TIMEOUT_NS   20000000000ull
#define FANOUT_ROUNDS_MAX 64
#define SETTLE_NS         2000000ull
#define IDLE_NS           10000000ull

static void waiter_input(struct conn *conn, uint64_t now_ns)
{
	struct park *park = conn->owner;
	enum park_answer answer;
	uint32_t handle = park->waiting_for[conn->index];
	if (handle == NOT_WAITING && !park->peer->events)
		loop_die("waiter %u was answered twice: %.*s", conn->index, (int)bytes_len(&conn->in), bytes_head(&conn->in));
	if (!park->peer->answer(conn, handle, &answer))
		return;
	if (answer == PARK_EXPIRED) {
		park->repolled_count++;
		park->peer->poll(park, conn, handle);
		return;
	}
	if (park->handles[handle].intended_ns == 0)
		loop_die("waiter %u was answered before its handle was completed", conn->index);
	hist_add(&park->wake_hist, now_ns - park->handles[handle].intended_ns);
	park->waiting_for[conn->index] = NOT_WAITING;
	park->last_ns = now_ns;
	park->answered_count++;
	park->phase_over = park->answered_count == park->wanted_count;
}

static void completer_input(struct conn *conn, uint64_t now_ns)
{
	struct park *park = conn->owner;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = park->peer->ack(conn)) > 0) {
		bytes_consume(&conn->in, len);
		park->acked_count++;
	}
}

/* Until the server says that all are parked; it must happen, or the run is worth nothing. */
static void park_await(struct park *park, uint32_t count)
{
	uint64_t deadline_ns = loop_now_ns() + PARK_TIMEOUT_NS;
	uint32_t parked;
	while ((parked = park->peer->parked(park)) < count) {
		bool never = false;
		if (loop_now_ns() > deadline_ns)
			loop_die("%u of %u waits parked after a minute", parked, count);
		loop_until(&park->loop, &never, loop_now_ns() + SETTLE_NS);
	}
}

static void command_prepare(struct park *park, uint32_t handles_count)
{
	struct proc_memory empty = proc_set_memory(&park->procs);
	park->handles = calloc(handles_count, sizeof(*park->handles));
	if (!park->handles)
		loop_die("out of memory");
	park->handles_count = handles_count;
	conn_open(&park->control, &park->loop, 0);
	for (uint32_t i = 0; park->peer->wakes && i < PARK_COMPLETERS_COUNT; i++) {
		park->completers[i] = (struct conn){.owner = park, .index = i, .on_input = completer_input};
		conn_open(&park->completers[i], &park->loop, 0);
	}
	park->peer->prepare(park, handles_count);
	park->peer->parked(park);
	struct proc_memory ready = proc_set_memory(&park->procs);
	report_begin();
	report_u64("empty_bytes", empty.anon_bytes + empty.shmem_bytes);
	report_u64("prepared_bytes", ready.anon_bytes + ready.shmem_bytes);
	report_end();
}

static void park_connect(struct park *park)
{
	for (uint32_t i = 0; i < park->waiters_count; i++) {
		struct conn *conn = &park->waiters[i];
		*conn = (struct conn){.owner = park, .index = i, .on_input = waiter_input};
		park->waiting_for[i] = NOT_WAITING;
		conn_open(conn, &park->loop, 1 + i % SOURCES_COUNT);
		/* A round trip now and then keeps the listener's backlog short: a dropped SYN would cost a second. */
		if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
			park->peer->parked(park);
	}
}

static void command_park(struct park *park)
{
	uint64_t start_ns = loop_now_ns();
	park_connect(park);
	for (uint32_t i = 0; i < park->waiters_count; i++) {
		park->waiting_for[i] = i;
		park->peer->poll(park, &park->waiters[i], i);
		if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
			loop_turn(&park->loop, 0);
	}
	park_await(park, park->waiters_count);
	uint64_t parked_ns = loop_now_ns();
	struct proc_memory memory = proc_set_memory(&park->procs);
	report_begin();
	report_u64("waiters", park->waiters_count);
	report_u64("parked_bytes", memory.anon_bytes + memory.shmem_bytes);
	report_f64("park_seconds", (double)(parked_ns - start_ns) / 1e9);
	report_end();
}

static void command_silence(struct park *park, uint32_t duration_ms)
{
	bool never = false;
	uint32_t repolled = park->repolled_count;
	uint64_t cpu_ns = proc_set_cpu_ns(&park->procs);
	loop_until(&park->loop, &never, loop_now_ns() + (uint64_t)duration_ms * 1000000);
	uint64_t used_ns = proc_set_cpu_ns(&park->procs) - cpu_ns;
	report_begin();
	report_f64("cpu_us", (double)used_ns / 1e3);
	report_u64("repolled", park->repolled_count - repolled);
	report_end();
}

/* ---- one job at a time, at a rate ---- */

struct wake_plan {
	struct park *park;
	uint32_t *order; /* owned: handles in the order of their completion */
	uint32_t count;
	uint32_t next;
	uint64_t start_ns;
	uint64_t interval_ns;
};

static void wake_fire(void *arg, uint64_t now_ns)
{
	struct wake_plan *plan = arg;
	struct park *park = plan->park;
	uint64_t due_ns;
	while (plan->next < plan->count && (due_ns = plan->start_ns + plan->next * plan->interval_ns) <= now_ns) {
		uint32_t handle = plan->order[plan->next];
		struct conn *conn = &park->completers[plan->next % PARK_COMPLETERS_COUNT];
		park->handles[handle].intended_ns = due_ns;
		park->peer->complete(park, conn, handle);
		conn_flush(conn);
		plan->next++;
	}
	if (plan->next < plan->count)
		loop_timer(&park->loop, (struct timer){plan->start_ns + plan->next * plan->interval_ns, wake_fire, plan});
}

/* A random order, the same in every run and for every server. */
static uint32_t *wake_order(uint32_t count)
{
	uint32_t *order = calloc(count, sizeof(*order));
	uint64_t random = 0x9e3779b97f4a7c15ull;
	if (!order)
		loop_die("out of memory");
	for (uint32_t i = 0; i < count; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		uint32_t other = (uint32_t)(random % (i + 1));
		order[i] = order[other];
		order[other] = i;
	}
	return order;
}

static void command_wake(struct park *park, uint32_t rate, uint32_t count)
{
	struct wake_plan plan = {.park = park,
				 .order = wake_order(park->handles_count),
				 .count = count < park->waiters_count ? count : park->waiters_count,
				 .interval_ns = 1000000000ull / rate};
	hist_reset(&park->wake_hist);
	park->answered_count = 0;
	park->acked_count = 0;
	park->wanted_count = plan.count;
	park->phase_over = false;
	uint64_t cpu_ns = proc_set_cpu_ns(&park->procs);
	plan.start_ns = loop_now_ns() + 10000000;
	loop_timer(&park->loop, (struct timer){plan.start_ns, wake_fire, &plan});
	if (!loop_until(&park->loop, &park->phase_over, plan.start_ns + plan.count * plan.interval_ns + WAKE_TIMEOUT_NS))
		loop_die("%u of %u waiters were answered", park->answered_count, plan.count);
	uint64_t used_ns = proc_set_cpu_ns(&park->procs) - cpu_ns;
	report_begin();
	report_hist("wake", &park->wake_hist);
	report_f64("cpu_us_per_wake", (double)used_ns / 1e3 / plan.count);
	report_u64("acked", park->acked_count);
	report_end();
	free(plan.order);
}

/* ---- all on one handle ---- */

static uint64_t fanout_bytes_in(const struct park *park)
{
	uint64_t total = 0;
	for (uint32_t i = 0; i < park->waiters_count; i++)
		total += park->waiters[i].bytes_in;
	return total;
}

/* Returns the bytes of all answers. What came before, such as the heads of answers that go on, is not counted. */
static uint64_t fanout_round(struct park *park, uint32_t handle, double *ret_last_us, double *ret_cpu_us)
{
	for (uint32_t i = 0; i < park->waiters_count; i++) {
		park->waiting_for[i] = handle;
		park->peer->poll(park, &park->waiters[i], handle);
		if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
			loop_turn(&park->loop, 0);
	}
	park_await(park, park->waiters_count);
	park->answered_count = 0;
	park->wanted_count = park->waiters_count;
	park->phase_over = false;
	uint64_t bytes_before = fanout_bytes_in(park);
	uint64_t cpu_ns = proc_set_cpu_ns(&park->procs);
	uint64_t start_ns = loop_now_ns();
	park->handles[handle].intended_ns = start_ns;
	park->peer->complete(park, &park->completers[0], handle);
	conn_flush(&park->completers[0]);
	if (!loop_until(&park->loop, &park->phase_over, start_ns + WAKE_TIMEOUT_NS))
		loop_die("%u of %u waiters were answered", park->answered_count, park->waiters_count);
	*ret_last_us = (double)(park->last_ns - start_ns) / 1e3;
	/* A running thread's CPU time is only known up to its last tick: let the server fall idle first. */
	bool never = false;
	loop_until(&park->loop, &never, loop_now_ns() + IDLE_NS);
	*ret_cpu_us = (double)(proc_set_cpu_ns(&park->procs) - cpu_ns) / 1e3 / park->waiters_count;
	return fanout_bytes_in(park) - bytes_before;
}

static void command_fanout(struct park *park, uint32_t rounds_count)
{
	double last_us[FANOUT_ROUNDS_MAX];
	double cpu_us[FANOUT_ROUNDS_MAX];
	uint64_t answer_bytes = 0;
	if (rounds_count > FANOUT_ROUNDS_MAX || rounds_count > park->handles_count)
		loop_die("too many rounds, or too few handles prepared");
	park_connect(park);
	hist_reset(&park->wake_hist);
	for (uint32_t round = 0; round < rounds_count; round++)
		answer_bytes += fanout_round(park, round, &last_us[round], &cpu_us[round]);
	report_begin();
	report_list("last_us", last_us, rounds_count);
	report_list("cpu_us_per_wake", cpu_us, rounds_count);
	report_hist("wake", &park->wake_hist);
	report_u64("answer_bytes", answer_bytes / park->waiters_count / rounds_count);
	report_end();
}

static bool command_run(struct park *park, const char *line)
{
	uint32_t first;
	uint32_t second;
	if (sscanf(line, "prepare %" SCNu32, &first) == 1)
		command_prepare(park, first);
	else if (strcmp(line, "park\n") == 0 && park->handles_count >= park->waiters_count)
		command_park(park);
	else if (sscanf(line, "silence %" SCNu32, &first) == 1)
		command_silence(park, first);
	else if (sscanf(line, "wake %" SCNu32 " %" SCNu32, &first, &second) == 2 && first > 0)
		command_wake(park, first, second);
	else if (sscanf(line, "fanout %" SCNu32, &first) == 1)
		command_fanout(park, first);
	else
		return false;
	return true;
}

int park_main(const struct options *options)
{
	static struct park park;
	char line[128];
	park.options = options;
	park.peer = park_peer_find(options->peer);
	if (!park.peer)
		loop_die("no peer called %s", options->peer);
	int r = proc_set_find((pid_t)options->pid, &park.procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	park.waiters_count = options->waiters_count;
	park.waiters = calloc(park.waiters_count, sizeof(*park.waiters));
	park.waiting_for = calloc(park.waiters_count, sizeof(*park.waiting_for));
	park.events = calloc(park.waiters_count, sizeof(*park.events));
	if (!park.waiters || !park.waiting_for || !park.events)
		loop_die("out of memory");
	loop_init(&park.loop, (uint16_t)options->port);
	while (fgets(line, sizeof(line), stdin))
		if (!command_run(&park, line))
			loop_die("bad command: %s", line);
	loop_deinit(&park.loop);
	free(park.waiters);
	free(park.waiting_for);
	free(park.events);
	free(park.handles);
	return 0;
}
