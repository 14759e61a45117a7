/* The oracle of groups, as far as the journal knows them: generations and offsets. Who is in a group no journal says; that is
 * held against what members were told (group_check.c). */
#pragma once

#include "group/group.h"
#include "sim/assignee_model.h"
#include "sim/stream_model.h"

enum { MODEL_OFFSETS_MAX = 64, MODEL_METADATA_CHARS = 48 };

struct model_offset {
	char topic[MODEL_STREAM_CHARS], metadata[MODEL_METADATA_CHARS];
	uint32_t partition;
	uint64_t offset, committed_ms;
	uint64_t end; /* of the event that committed it */
	int32_t leader_epoch;
};

struct model_group {
	uint64_t number, used_ms, changed_end, deleted_end, forgot_end;
	uint64_t generation, members, session_ms;
	uint64_t begun_end, begun_ms; /* of that generation */
	char id[MODEL_STREAM_CHARS], protocol_type[MODEL_STREAM_CHARS], protocol[MODEL_STREAM_CHARS];
	struct model_offset offsets[MODEL_OFFSETS_MAX];
	size_t offset_count;
	/* Of consumers to whom the server assigns; `generation` is the group's epoch then. */
	struct model_assignee *assignees[MODEL_ASSIGNEES_MAX]; /* the oldest first */
	size_t assignee_count;
	uint64_t assignment_epoch;
	char assignor[16];
	bool is_assigned; /* … or was */
};

struct model_groups {
	struct model_group **at; /* by number; NULL: never was */
	uint64_t cap, next_number, live;
	uint64_t deleted_end; /* of the last event with which a group went */
};

struct model;

void model_groups_deinit(struct model_groups *groups);
const char *model_group_apply(struct model *model, const struct store_replay *entry) MUST_USE;
void model_groups_forget(struct model_groups *groups, struct slice topic); /* it was deleted */

struct model_group *model_group(const struct model_groups *groups, struct slice id); /* NULL: there is none */
struct model_group *model_group_number(const struct model_groups *groups, uint64_t number);
struct model_offset *model_offset(const struct model_groups *groups, struct slice group, struct slice topic, uint32_t partition);

/* --- the sequencer's snapshot events, one by one --- */
struct group_comparison {
	const struct model_groups *model;
	const struct model_group *group; /* the last one */
	const struct model_assignee *assignee;
	size_t offsets, assignees, epochs;
	uint64_t groups;
	char wrong[256];
};
void group_compare(struct group_comparison *c, uint8_t type, struct slice fields);
void group_compare_end(struct group_comparison *c);
