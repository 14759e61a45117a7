/* What can happen to groups, as the journal keeps it. The state is a fold of these; doc/journal-format.md lists their fields. The
 * frame's type tells them from other events: they begin at GROUP_EVENT_FIRST. Who is in a group is not in the journal: members
 * come back by themselves when the server does. */
#pragma once

#include "base/buf.h"

enum group_event_type {
	GROUP_EVENT_FIRST = 72,
	GROUP_CREATED = 72,
	GROUP_DELETED = 73,
	GROUP_BEGUN = 74,     /* a generation begins; without members: nobody is in it any more */
	GROUP_COMMITTED = 75, /* offsets, by members or by others while there are none */
	GROUP_FORGOT = 76,    /* offsets are let go */
	/* Only in checkpoints: */
	GROUP_SNAP_META = 77,
	GROUP_SNAP = 78,
	GROUP_SNAP_OFFSETS = 79, /* further offsets of the group before */
};
enum { GROUP_EVENT_END = 80, GROUP_OFFSETS_BYTES = 1 << 16 };

struct group_event {
	/* From the entry's frame. */
	enum group_event_type type;
	uint64_t time_ms, end;

	uint64_t number;
	struct slice id;
	uint64_t generation;
	uint64_t members;    /* how many began the generation */
	uint64_t session_ms; /* the longest session timeout among them */
	struct slice protocol_type, protocol;
	struct slice offsets; /* encoded: offset_put */
	/* Snapshots. */
	uint64_t used_ms, changed_end, next_number;
};

void group_event_encode(const struct group_event *event, struct buf *out);
int group_event_decode(struct group_event *event, struct slice fields) MUST_USE; /* 0 or -EBADMSG; type is set */

struct offset_item {
	struct slice topic;
	uint32_t partition;
	uint64_t offset;
	int32_t leader_epoch; /* -1: not known */
	struct slice metadata;
	uint64_t committed_ms; /* only in snapshots; else 0: the event's time */
};

/* Items one behind the other; where one has the topic of the item before, that is not repeated: `before` is it, and moves on. It
 * begins empty. */
void offset_put(struct buf *out, const struct offset_item *item, struct slice *before);
int offset_get(struct slice *items, struct slice *before, struct offset_item *ret_item) MUST_USE; /* 0 or -EBADMSG */
