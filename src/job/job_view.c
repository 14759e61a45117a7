#include "job/job_view.h"

#include "base/mem.h"

#include <errno.h>

static const char *const state_names[JOB_STATE_COUNT] = {
	[JOB_DELAYED] = "delayed", [JOB_READY] = "ready",   [JOB_OFFERED] = "offered",   [JOB_RUNNING] = "running",
	[JOB_DONE] = "done",       [JOB_FAILED] = "failed", [JOB_CANCELED] = "canceled",
};

const char *job_state_name(enum job_state state)
{
	return state_names[state];
}

int job_state_from(struct slice name, enum job_state *ret_state)
{
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++) {
		if (slice_eq(name, slice_str(state_names[i]))) {
			*ret_state = (enum job_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct job_view *job_view_ref(struct job_view *view)
{
	view->refs++;
	return view;
}

struct job_view *job_view_unref(struct job_view *view)
{
	if (view && --view->refs == 0) {
		if (view->pin)
			view->pin->ops->unpin(view->pin);
		mem_free(view);
	}
	return NULL;
}
