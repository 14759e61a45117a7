/* Faults that a test asks for (doc/testing.md): one table of points, counted from the start of the process.
 *
 *     sync:fail@N         the N-th fdatasync that an acknowledgement rests on (commit, interval, blob) fails with EIO
 *     sync:delay=TIME     every such fdatasync takes that much longer
 *     write:enospc@A-B    the A-th to B-th request for space (new segment, piece of a blob or of a checkpoint) finds the disk
 *                         full; also @A
 *     write:short@N       the N-th write of a commit stops half way with an error
 *     alloc:fail@N        the N-th allocation from the start of the journal fails */
#pragma once

#include "base/slice.h"

#include <stdatomic.h>

struct faults {
	_Atomic uint64_t sync_count;
	_Atomic uint64_t space_count;
	_Atomic uint64_t write_count;
	uint64_t sync_fail_at; /* 0: never; so are the others */
	uint64_t sync_delay_ms;
	uint64_t space_from, space_to;
	uint64_t short_at;
	uint64_t alloc_fail_at;
};

/* Comma-separated; blanks around the items are fine. 0, or -EINVAL with the item that is not understood. */
int faults_parse(struct slice text, struct faults *faults, struct slice *ret_bad) MUST_USE;

/* Each is called once before the real thing: 0, or the error it is to have. */
int faults_sync(struct faults *faults) MUST_USE;  /* -EIO */
int faults_space(struct faults *faults) MUST_USE; /* -ENOSPC */
int faults_write(struct faults *faults) MUST_USE; /* -EIO: write half of it only */
