/* Subscriptions: asked about by doors. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

struct subscription_view *subscription_view_free(struct subscription_view *view)
{
	mem_free(view);
	return NULL;
}

void command_subscription(struct sequencer *s, struct command *c)
{
	reply(s, c, OUTCOME_NOT_FOUND, s->appended_end);
}
