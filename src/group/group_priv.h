/* Inside src/group only. */
#pragma once

#include "group/group.h"

uint64_t group_hash(const struct groups *groups, uint64_t number, struct slice name, uint64_t more);

/* --- members.c --- */
/* A member that is in the group's tables; NULL: no memory, and nothing has changed. */
struct member *member_new(struct groups *groups, struct group *group, const struct group_join *join, struct slice id) MUST_USE;
void member_free(struct member *member);
void member_leave(struct groups *groups, struct member *member); /* out of all tables, and freed; its waits are over before */
bool member_says_same(const struct member *member, const struct group_join *join);
/* What it says now counts. false: no memory, and nothing has changed. */
bool member_update(struct member *member, const struct group_join *join) MUST_USE;
/* Whether the group could go on with somebody who says that, besides `but`. */
bool group_supports(const struct group *group, const struct group_join *join, const struct member *but);
/* One that is in no table yet; NULL: no memory. */
struct member *member_alloc(const struct group_join *join, struct slice id) MUST_USE;
/* It takes the place of another one, which nobody waits for; that is freed. */
void member_replace(struct groups *groups, struct member *old, struct member *member);
void slice_drop(struct slice *owned); /* frees it; empty then */
