/* What a command writes, on its way to the job's output: gathered, and sent in pieces that end where lines do.
 *
 *  1. One piece is on its way at a time. It has a number and is sent until the server has taken it; one whose answer was lost is
 *     known by its number, so everything is there once and in order.
 *  2. No more than WORK_OUTPUT_BYTES wait. When they are full the command is not read from and so waits for the server, but not
 * for longer than STALL_MS: then what it writes is left out, and a line in the output says how much.
 *  3. Whatever goes wrong here, the job goes on, and it is told once. */
#include "cli/work.h"

#include <string.h>

enum {
	GATHER_MS = 100, /* a piece of a line waits so long for the rest */
	STALL_MS = 5000,
	END_MS = 5000, /* the verdict waits so long for the last of it */
	CALL_MS = 30000,
};

#define OUTPUT_TYPE "text/plain; charset=utf-8"

static uint64_t ms(uint64_t count)
{
	return count * 1000000;
}

static bool is_full(const struct work_output *output)
{
	return output->pending.len + WORK_CHUNK_BYTES > WORK_OUTPUT_BYTES;
}

bool work_output_room(const struct work_job *job)
{
	return !job->output.on || job->output.dropping || !is_full(&job->output);
}

void work_output_feed(struct work_job *job, const char *ptr, size_t len)
{
	struct work_output *output = &job->output;

	if (!output->on || !len)
		return;
	if (output->dropping || is_full(output)) {
		output->lost_bytes += len;
		return;
	}
	if (!output->pending.len)
		output->since_ns = cli_now_ns();
	buf_append(&output->pending, ptr, len);
	if (output->pending.failed)
		cli_out_of_memory();
}

void work_output_begin(struct work_job *job)
{
	struct work_output *output = &job->output;
	char mark[64];

	output->on = job->worker->outputs != 0;
	output->call.retry.budget_ms = SESSION_FOREVER_MS;
	snprintf(output->producer, sizeof(output->producer), "%016llx", (unsigned long long)cli_random());
	/* The attempts of a job share one output; whoever reads it sees where another begins. */
	snprintf(mark, sizeof(mark), "\n--- attempt %u ---\n", job->attempt);
	if (job->attempt > 1)
		work_output_feed(job, mark, strlen(mark));
}

void work_output_stop(struct work_job *job)
{
	struct work_output *output = &job->output;

	if (output->call.made)
		http_stop(&output->call.call);
	output->on = false;
	buf_deinit(&output->pending);
	buf_deinit(&output->piece);
}

void work_output_free(struct work_job *job)
{
	work_output_stop(job);
	if (job->output.call.made)
		http_call_deinit(&job->output.call.call);
}

/* --- pieces ----------------------------------------------------------------------------------------------------------------- */

static bool ends_line(char c)
{
	return c == '\n' || c == '\r'; /* so that a line which is drawn over and over goes out each time, too */
}

/* Takes from what waits the next piece, if one is due. */
static bool piece_cut(struct work_job *job, uint64_t now_ns)
{
	struct work_output *output = &job->output;
	size_t len = output->pending.len;

	if (len && !is_full(output) && !job->exited && now_ns < output->since_ns + ms(GATHER_MS)) {
		while (len && !ends_line(output->pending.ptr[len - 1]))
			len--;
	}
	if (!len)
		return false;
	buf_append(&output->piece, output->pending.ptr, len);
	memmove(output->pending.ptr, output->pending.ptr + len, output->pending.len - len);
	output->pending.len -= len;
	if (output->piece.failed)
		cli_out_of_memory();
	return true;
}

static void piece_taken(struct work_job *job)
{
	struct work_output *output = &job->output;
	char mark[80];

	retry_reset(&output->call.retry);
	buf_clear(&output->piece);
	output->seq++;
	output->full_ns = 0;
	output->dropping = output->refused = false;
	if (output->lost_bytes) {
		if (!output->pending.len)
			output->since_ns = cli_now_ns();
		snprintf(mark, sizeof(mark), "\n--- %llu bytes left out ---\n", (unsigned long long)output->lost_bytes);
		buf_append_str(&output->pending, mark);
		output->lost_bytes = 0;
	}
}

static void output_tell(struct work_job *job, const char *what)
{
	if (!job->output.told)
		work_tell(job, "output", "%s; the job goes on", what);
	job->output.told = true;
}

static void piece_answered(struct http_call *call)
{
	struct work_job *job = call->owner;

	if (call->outcome == HTTP_ANSWERED && (call->status == 200 || call->status == 204)) {
		piece_taken(job);
	} else if (http_worth_retrying(call)) {
		job->output.refused = http_answer_is(call, "server-full") || http_answer_is(call, "no-space");
		work_call_retry(job, &job->output.call);
	} else if (!(http_answer_is(call, "fenced") || http_answer_is(call, "canceled") ||
		     http_answer_is(call, "already-done")) ||
		   !work_job_refused(job, call)) {
		output_tell(job, http_answer_is(call, "output-full") ? "the server takes no more output of it"
								     : "the server does not take its output");
		work_output_stop(job);
	}
}

static void piece_send(struct work_job *job)
{
	struct work_output *output = &job->output;
	struct http_call *call = &output->call.call;

	work_job_call(job, &output->call, "POST", "/output");
	http_call_header(call, "Content-Type: %s", OUTPUT_TYPE);
	http_call_header(call, "Producer-Id: %s", output->producer);
	http_call_header(call, "Producer-Epoch: 0");
	http_call_header(call, "Producer-Seq: %llu", (unsigned long long)output->seq);
	buf_append_slice(&call->text, buf_slice(&output->piece));
	call->has_text = true;
	call->timeout_ms = CALL_MS;
	call->done = piece_answered;
	output->call.due_ns = UINT64_MAX;
	http_start(&job->worker->session->client, call);
}

/* --- moving on ---------------------------------------------------------------------------------------------------------------
 */

static bool is_under_way(const struct work_output *output)
{
	return output->call.made && http_under_way(&output->call.call);
}

void work_output_step(struct work_job *job, uint64_t now_ns)
{
	struct work_output *output = &job->output;

	if (!output->on)
		return;
	if (!is_under_way(output) && (output->piece.len ? output->call.due_ns <= now_ns : piece_cut(job, now_ns)))
		piece_send(job);
	if (!is_full(output))
		return;
	if (!output->full_ns)
		output->full_ns = now_ns;
	if (now_ns >= output->full_ns + ms(STALL_MS) && !output->dropping) {
		output->dropping = true;
		output_tell(job, "the server does not take its output, and some is left out");
	}
}

bool work_output_waits(const struct work_job *job)
{
	return job->output.on && (job->output.pending.len || job->output.piece.len);
}

bool work_output_busy(struct work_job *job, uint64_t now_ns)
{
	if (!work_output_waits(job))
		return false;
	/* A server without room for it is not asked again. */
	if (now_ns < job->exited_ns + ms(END_MS) && !(job->output.refused && !is_under_way(&job->output)))
		return true;
	output_tell(job, "the server did not take the last of its output");
	work_output_stop(job);
	return false;
}

uint64_t work_output_due_ns(const struct work_job *job)
{
	const struct work_output *output = &job->output;
	uint64_t due_ns = UINT64_MAX;

	if (!output->on)
		return UINT64_MAX;
	if (!is_under_way(output) && output->piece.len)
		due_ns = output->call.due_ns;
	else if (!is_under_way(output) && output->pending.len)
		due_ns = job->exited ? 0 : output->since_ns + ms(GATHER_MS);
	if (output->full_ns && !output->dropping && output->full_ns + ms(STALL_MS) < due_ns)
		due_ns = output->full_ns + ms(STALL_MS);
	if (job->exited && work_output_waits(job) && job->exited_ns + ms(END_MS) < due_ns)
		due_ns = job->exited_ns + ms(END_MS);
	return due_ns;
}
