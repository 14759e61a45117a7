#include "http/api/hook.h"

#include "base/json.h"
#include "base/mem.h"
#include "http/api/subscription_priv.h"

void hook_body(struct buf *out, const struct subscription_view *view)
{
	json_open(out, '{');
	json_key(out, "subscription_id");
	json_str(out, view->id);
	json_key(out, "wake_id");
	json_str(out, slice_str(view->wake_id));
	json_key(out, "generation");
	json_u64(out, view->generation);
	subscription_streams_json(out, view, true);
	json_key(out, "callback_url");
	subscription_url(out, view->origin, view->id, "callback");
	json_key(out, "callback_token");
	json_str(out, slice_str(view->token));
	json_close(out, '}');
}

static void heard(struct api_thread *api, struct ask *ask)
{
	(void)api;
	command_answer_deinit(&ask->command);
	mem_free(ask);
}

void api_thread_hooked(struct api_thread *api, const struct hooked_in *hooked)
{
	struct ask *ask = ask_own(sizeof(*ask), COMMAND_SUB_HOOKED, heard);

	if (!ask)
		return;
	ask->command.in.hooked = *hooked;
	ask_send_own(api, ask);
}
