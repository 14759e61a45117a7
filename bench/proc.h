#pragma once
/*
 * What the server under test costs, read from the kernel: CPU time of all its threads and user memory. A server is a set of
 * processes (nginx has a master and workers); figures are sums over it.
 */
#include <stdint.h>
#include <sys/types.h>

#define PROC_SET_MAX 64

struct proc_set {
	pid_t pids[PROC_SET_MAX];
	uint32_t pids_count;
};

struct proc_memory {
	uint64_t anon_bytes;  /* heap, stacks, private written pages, by proportional share */
	uint64_t shmem_bytes; /* shared memory such as nchan's zone, by proportional share */
};

/* The process `pid` and all its present descendants. 0, or -errno when /proc cannot be read or `pid` is not there. */
int proc_set_find(pid_t pid, struct proc_set *ret_set);

/* CPU nanoseconds used so far by every thread that is or was in the set: the scheduler's own sum, not sampled ticks. */
uint64_t proc_set_cpu_ns(const struct proc_set *set);

/* User memory now, from smaps_rollup. Memory mapped from files is not counted: it is the kernel's to drop. */
struct proc_memory proc_set_memory(const struct proc_set *set);

/* CPU nanoseconds used so far by this process, to see when the generator itself is the limit. */
uint64_t proc_self_cpu_ns(void);
