/* GET and POST /v1/jobs/{id}/output: a job's output is a stream at a path of the server's own, so it is read as streams are, and
 * appended to by whoever holds the job's lease. */
#include "http/api/stream_priv.h"

/* False: that can be no handle, and it has been answered. */
static bool output_path(struct exchange *ex, struct slice handle, struct slice *ret_path)
{
	const struct slice root = SLICE(OUTPUT_ROOT);
	char *path;

	if (!input_handle(ex, handle))
		return false;
	path = arena_alloc(&ex->arena, root.len + handle.len);
	if (!path) {
		call_no_memory(ex);
		return false;
	}
	memcpy(path, root.ptr, root.len);
	memcpy(path + root.len, handle.ptr, handle.len);
	*ret_path = slice_from(path, root.len + handle.len);
	return true;
}

void output_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct slice path;

	if (output_path(ex, params[0], &path))
		stream_tell(ex, path);
}

void output_append_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	uint64_t most_bytes = api_of(ex)->config.output_bytes, length = ex->request->content_length;
	struct stream_append_in *in;
	struct slice path, token;
	struct ask *ask;

	if (!output_path(ex, params[0], &path) || !input_token(ex, &token))
		return;
	ask = ask_new(ex, COMMAND_OUTPUT_APPEND, stream_appended);
	if (!ask)
		return;
	in = &ask->command.in.stream_append;
	*in = (struct stream_append_in){.path = path, .token = token};
	if (!input_content_type(ex, SLICE(OUTPUT_TYPE), &in->content_type) || !input_stream_producer(ex, &in->producer))
		return;
	if (input_closes(ex)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "A job's output closes by itself when the job is over.");
		return;
	}
	if (length != UINT64_MAX && length > most_bytes) {
		stream_outcome(ex, OUTCOME_OUTPUT_FULL, NULL);
		return;
	}
	in->json = type_is_json(in->content_type);
	stream_take_body(ex, ask, in->json, most_bytes);
}
