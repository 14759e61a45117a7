/* What became of a command, or of one of the things it was about. */
#pragma once

enum outcome {
	OUTCOME_OK = 0,
	OUTCOME_PARKED,  /* CLAIM: nothing now, an offer will come; JOBS: watched */
	OUTCOME_EMPTY,   /* CLAIM without waiting: nothing ready */
	OUTCOME_OFFERED, /* CLAIM_CANCEL: too late, an offer is under way */
	OUTCOME_SAME,    /* SUBMIT: repeated with the same key or name, `view` is the earlier job; DONE: repeated */
	OUTCOME_NOT_FOUND,
	OUTCOME_GONE,       /* past its retention */
	OUTCOME_FENCED,     /* the token is stale or foreign */
	OUTCOME_CONFLICT,   /* SUBMIT by name: a different request has the name; CANCEL: done or failed already */
	OUTCOME_MISMATCH,   /* SUBMIT: the same Idempotency-Key with a different request */
	OUTCOME_CANCELED,   /* DONE, FAIL, RELEASE: the job was canceled */
	OUTCOME_ALREADY,    /* DONE, FAIL: it ended already, differently */
	OUTCOME_QUEUE_FULL, /* limit jobs per queue */
	OUTCOME_FULL,       /* limit of jobs, queues or parked claims of the server */
	OUTCOME_NO_SPACE,
	OUTCOME_STORAGE, /* the journal failed; the server is about to stop */
	OUTCOME_NO_MEMORY,
	OUTCOME_DRAINING,
	OUTCOME_CLOSED,       /* APPEND: the stream takes no more; `stream` says where it ended */
	OUTCOME_TYPE,         /* APPEND: another content type than the stream's */
	OUTCOME_SEQ,          /* APPEND: Stream-Seq does not go up */
	OUTCOME_STALE,        /* APPEND: the producer's epoch is over; stream->producer_epoch holds */
	OUTCOME_EPOCH_START,  /* APPEND: a new epoch begins with 0 */
	OUTCOME_GAP,          /* APPEND: the producer left out a number; stream->producer_seq was the last */
	OUTCOME_RANGE,        /* CREATE: what it is to be forked at lies beyond the source */
	OUTCOME_NO_SOURCE,    /* CREATE: there is no stream to be forked */
	OUTCOME_OTHER,        /* READ: the cursor is of a stream that was here before; APPEND, READ: before the earliest */
	OUTCOME_TOKEN,        /* SUB_ACK, SUB_RELEASE: no token of this subscription's */
	OUTCOME_BUSY,         /* SUB_CLAIM: another worker holds it */
	OUTCOME_OUTPUT_FULL,  /* OUTPUT_APPEND: limit of bytes of one job's output */
	OUTCOME_TOPIC,        /* STREAM_…: not to be done with a topic's partition */
	OUTCOME_NAME,         /* TOPIC_…: no name of a topic */
	OUTCOME_PARTITIONS,   /* TOPIC_…: a number of partitions that cannot be */
	OUTCOME_SETTING,      /* TOPIC_…: a setting that there is not, or not with that value */
	OUTCOME_TOO_LARGE,    /* PRODUCE: longer than the topic takes; GROUP_…: than a member may say */
	OUTCOME_TIME,         /* PRODUCE: the records' time is too far from the server's for this topic */
	OUTCOME_PACKED,       /* PRODUCE: the topic is compacted, and what the batch holds has not been looked at */
	OUTCOME_RECORD,       /* PRODUCE: a record without a key, and the topic is compacted */
	OUTCOME_TXN,          /* PRODUCE, PRODUCER_ID, TXN_…: no such transaction, or not in that state */
	OUTCOME_TIMEOUT,      /* PRODUCER_ID: transactions may not take so long */
	OUTCOME_MEMBER_ID,    /* GROUP_JOIN: to be asked again with the id given */
	OUTCOME_NO_MEMBER,    /* GROUP_…: nobody of that id is in the group */
	OUTCOME_GENERATION,   /* GROUP_…: not the group's present generation */
	OUTCOME_REBALANCING,  /* GROUP_…: join again */
	OUTCOME_PROTOCOL,     /* GROUP_JOIN, GROUP_SYNC: nothing that all members know */
	OUTCOME_MEMBER_EPOCH, /* CONSUMER_BEAT: not the member's epoch: join again */
	OUTCOME_UNRELEASED,   /* CONSUMER_BEAT: another member has that instance, and has not left */
	OUTCOME_ASSIGNOR,     /* CONSUMER_BEAT: there is no such assignor */
	OUTCOME_REGEX,        /* CONSUMER_BEAT: no regular expression, or one that takes too long */
};
enum { OUTCOME_COUNT = OUTCOME_REGEX + 1 };
