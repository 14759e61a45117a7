/* Inside src/topic only. */
#pragma once

#include "topic/topic.h"

/* --- topics.c --- */
void topic_add(struct topics *topics, struct topic *topic);    /* to the tables; all its names are set */
void topic_remove(struct topics *topics, struct topic *topic); /* from the tables, and its memory */
void topic_free(struct topic *topic);

/* --- txn.c: a change in two steps, as all of them --- */
int txns_init(struct topics *topics) MUST_USE; /* 0 or -ENOMEM */
void txns_deinit(struct topics *topics);
int txn_prepare(struct topics *topics, const struct topic_event *e, struct topic_prepared *p) MUST_USE;
void txn_commit(struct topics *topics, const struct topic_event *e, struct topic_prepared *p);
void txn_unprepare(struct topic_prepared *p);
void txns_check(const struct topics *topics);
