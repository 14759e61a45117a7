/* Claiming: one request at a time, parked at the server while there is nothing to do and a slot is free. */
#include "cli/fmt.h"
#include "cli/work.h"

#include <string.h>

static uint64_t claim_room(const struct worker *worker)
{
	uint64_t room = worker->slots - worker->job_count;
	uint64_t left = worker->max_jobs - worker->claimed_count;

	return room < left ? room : left;
}

static json_t *claim_body(const struct worker *worker, uint64_t wait_ms)
{
	json_t *queues = json_array();
	json_t *body;
	char wait[32];

	for (size_t i = 0; i < worker->queue_count; i++)
		if (json_array_append_new(queues, json_pack("s", worker->queues[i])))
			cli_out_of_memory();
	snprintf(wait, sizeof(wait), "%llums", (unsigned long long)wait_ms);
	body = json_pack("{s:o, s:I, s:s, s:s, s:s}", "queues", queues, "max", (json_int_t)claim_room(worker), "wait", wait,
			 "worker", worker->name, "attempt_id", worker->attempt_id);
	if (body && worker->lease && json_object_set_new(body, "lease", json_pack("s", worker->lease)))
		cli_out_of_memory();
	return body;
}

static void claim_take(struct worker *worker, struct http_call *call)
{
	json_t *answer = http_answer_json(call);
	const json_t *jobs = json_object_get(answer, "jobs");
	const json_t *claimed;
	size_t i;

	json_array_foreach(jobs, i, claimed)
	{
		uint64_t lease_ms = work_lease_ms(call, job_string(claimed, "deadline"), worker->lease_ms);

		worker->claimed_count++;
		work_job_new(worker, claimed, lease_ms);
	}
	json_decref(answer);
}

static void claim_failed(struct worker *worker, struct http_call *call)
{
	int64_t delay_ms = -1;

	if (http_worth_retrying(call))
		delay_ms = retry_next_ms(&worker->claim.retry, http_answer_retry_after_ms(call));
	if (delay_ms >= 0) {
		session_notice_away(worker->session, call, &worker->claim.retry);
		worker->claim.due_ns = cli_now_ns() + (uint64_t)delay_ms * 1000000;
		return;
	}
	worker->attempt_id[0] = '\0';
	if (worker->claim_last)
		return;
	worker->exit_code = session_report(worker->session, call, "claim jobs");
	worker->stopping = 1;
}

static void claim_answered(struct http_call *call)
{
	struct worker *worker = call->owner;

	if (call->outcome != HTTP_ANSWERED || (call->status != 200 && call->status != 204)) {
		claim_failed(worker, call);
		return;
	}
	if (worker->claim.retry.count && !worker->session->quiet)
		cli_say("the server is back");
	retry_reset(&worker->claim.retry);
	worker->claim.due_ns = 0;
	worker->attempt_id[0] = '\0';
	if (call->status == 200)
		claim_take(worker, call);
}

static void claim_send(struct worker *worker, uint64_t wait_ms)
{
	struct http_call *call = &worker->claim.call;

	if (!worker->attempt_id[0])
		snprintf(worker->attempt_id, sizeof(worker->attempt_id), "%016llx%016llx", (unsigned long long)cli_random(),
			 (unsigned long long)cli_random());
	if (worker->claim.made)
		http_call_deinit(call);
	worker->claim.made = true;
	http_call_init(call, "POST", worker->session->server);
	http_call_path(call, "/v1/claim");
	http_call_json(call, claim_body(worker, wait_ms));
	call->patience_ms = wait_ms + 15000;
	call->owner = worker;
	call->done = claim_answered;
	http_start(&worker->session->client, call);
}

bool work_claim_busy(const struct worker *worker)
{
	return worker->claim.made && http_under_way(&worker->claim.call);
}

/* Is there to be a claim, now or after the pause that the last failure asked for? */
static bool claim_wanted(const struct worker *worker)
{
	if (work_claim_busy(worker))
		return false;
	if (worker->stopping)
		return worker->claim_last && worker->attempt_id[0];
	return claim_room(worker) > 0;
}

void work_claim_step(struct worker *worker, uint64_t now_ns)
{
	if (!claim_wanted(worker) || worker->claim.due_ns > now_ns)
		return;
	if (worker->claim_last)
		claim_send(worker, 0);
	else
		claim_send(worker, SESSION_WAIT_MS);
}

uint64_t work_claim_due_ns(const struct worker *worker)
{
	return claim_wanted(worker) ? worker->claim.due_ns : UINT64_MAX;
}

void work_claim_stop(struct worker *worker)
{
	bool unknown = worker->attempt_id[0] != '\0';

	if (worker->claim.made)
		http_stop(&worker->claim.call);
	/* The answer may have been on its way: the same claim once more tells, and does not wait. */
	worker->claim_last = unknown;
	worker->claim.due_ns = 0;
	worker->claim.retry.budget_ms = 2000;
	retry_reset(&worker->claim.retry);
}
