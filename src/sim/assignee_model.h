/* The oracle of consumers to whom the server assigns partitions (KIP-848), as far as the journal knows them: who is in, what each
 * is to have and has. What they were told, and what they made of it, is assignee_world.h's. Part of group_model.h. */
#pragma once

#include "group/consumer_ask.h"
#include "group/group_event.h"
#include "group/place.h"

enum { ASSIGNEE_PLACES_MAX = 24, MODEL_ASSIGNEES_MAX = 12, ASSIGNEE_ID_CHARS = 80, ASSIGNEE_TOPICS_BYTES = 64 };

struct place_set { /* in no order */
	struct place at[ASSIGNEE_PLACES_MAX];
	uint32_t since[ASSIGNEE_PLACES_MAX]; /* an epoch; where that is of interest */
	size_t count;
};

struct model_assignee {
	char id[ASSIGNEE_ID_CHARS], instance[8], regex[16], assignor[16];
	char topics[ASSIGNEE_TOPICS_BYTES]; /* as its event has them */
	size_t topics_len;
	uint64_t rest, rebalance_ms; /* rest: of whatever else it says of itself */
	struct place_set target, assigned, revoking;
	uint64_t epoch, previous_epoch, state;
};

bool place_set_has(const struct place_set *set, struct place place);
void place_set_add(struct place_set *set, struct place place, uint32_t since); /* unless it is there */
void place_set_drop(struct place_set *set, struct place place);
bool place_set_meets(const struct place_set *a, const struct place_set *b); /* something is in both */
bool place_set_holds(const struct place_set *all, const struct place_set *some);

struct model;
struct model_group;
struct model_topic;

/* GROUP_MEMBER and further: NULL, or what is wrong with it. */
const char *model_assignee_apply(struct model *model, struct model_group *group, const struct group_event *e) MUST_USE;
struct model_assignee *model_assignee(const struct model_group *group, struct slice id); /* NULL: it is not in */
struct model_assignee *model_assignee_instance(const struct model_group *group, struct slice instance);
bool model_assignee_names(const struct model_assignee *m, struct slice topic); /* subscribes to it by its name */
bool model_assignee_follows(const struct model_assignee *m, const struct model_topic *topic);

struct group_comparison;
void assignee_compare(struct group_comparison *c, const struct group_event *e);
