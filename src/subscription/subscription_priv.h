/* Inside src/subscription only. */
#pragma once

#include "subscription/subscription.h"

uint64_t id_hash(const struct subscriptions *subs, struct slice id);
uint64_t number_hash(const struct subscriptions *subs, uint64_t number);
void subscription_free(struct subscription *subscription); /* its links are gone */

/* Into all tables, as its subscription's youngest; into none of them, and freed. */
void link_enter(struct subscriptions *subs, struct subscription_link *link);
void link_leave(struct subscriptions *subs, struct subscription_link *link);
/* To another stream; 0: to none. */
void link_bind(struct subscriptions *subs, struct subscription_link *link, uint64_t stream, uint64_t acked);
void link_set_waked(struct subscription_link *link, uint64_t tail);
