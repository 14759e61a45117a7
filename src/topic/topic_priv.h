/* Inside src/topic only. */
#pragma once

#include "topic/topic.h"

/* --- topics.c --- */
void topic_add(struct topics *topics, struct topic *topic);    /* to the tables; all its names are set */
void topic_remove(struct topics *topics, struct topic *topic); /* from the tables, and its memory */
void topic_free(struct topic *topic);
