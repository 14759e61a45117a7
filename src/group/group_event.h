/* What can happen to groups, as the journal keeps it. The state is a fold of these; doc/journal-format.md lists their fields. The
 * frame's type tells them from other events: they begin at GROUP_EVENT_FIRST. Who is in a group of the classic protocol is not in
 * the journal: members come back by themselves when the server does. Of those to whom the server assigns partitions (consumer.h)
 * everything is, so that they go on as if nothing had been. */
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
	/* Consumers; in checkpoints, too, where they tell all there is to know. */
	GROUP_MEMBER = 80, /* somebody joins, says something new, or takes the place of a static member that is away */
	GROUP_LEFT = 81,
	GROUP_TARGET = 82, /* what some members are to have once all is settled */
	GROUP_EPOCH = 83,  /* the group's epoch, and that of what its members are to have */
	GROUP_HELD = 84,   /* what a member has now, and how far it has come */
};
enum { GROUP_EVENT_END = 85, GROUP_OFFSETS_BYTES = 1 << 16 };

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
	/* Consumers; `generation` is the group's epoch. */
	struct slice member, instance, rack, client_id, client_host, regex, assignor;
	struct slice topics; /* encoded: strings, by bytes, none twice */
	uint64_t rebalance_ms, assignment_epoch;
	uint64_t epoch, previous_epoch, state; /* of the member */
	struct slice assigned, revoking;       /* encoded: places_put */
	struct slice since;                    /* in checkpoints: so many epochs ago it got each, by place; bytes */
	struct slice targets;                  /* encoded: target_put */
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
