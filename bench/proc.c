#include "proc.h"

#include "loop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The parent of `pid`, or 0 when it has gone. /proc/PID/stat: "pid (name, may hold anything) state ppid …". */
static pid_t proc_parent(pid_t pid)
{
	char path[64];
	char line[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	size_t len = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[len] = 0;
	const char *paren = strrchr(line, ')');
	int parent = 0;
	if (!paren || sscanf(paren + 1, " %*c %d", &parent) != 1)
		return 0;
	return (pid_t)parent;
}

static bool proc_set_has(const struct proc_set *set, pid_t pid)
{
	for (uint32_t i = 0; i < set->pids_count; i++)
		if (set->pids[i] == pid)
			return true;
	return false;
}

int proc_set_find(pid_t pid, struct proc_set *ret_set)
{
	struct proc_set set = {.pids = {pid}, .pids_count = 1};
	if (proc_parent(pid) == 0)
		return -ESRCH;
	DIR *dir = opendir("/proc");
	if (!dir)
		return -errno;
	/* Children have higher numbers than their parents except after a wrap: repeat until nothing is added. */
	uint32_t before;
	do {
		before = set.pids_count;
		rewinddir(dir);
		for (struct dirent *entry; (entry = readdir(dir));) {
			if (!isdigit((unsigned char)entry->d_name[0]))
				continue;
			pid_t child = (pid_t)strtol(entry->d_name, NULL, 10);
			if (proc_set_has(&set, child) || !proc_set_has(&set, proc_parent(child)))
				continue;
			if (set.pids_count < PROC_SET_MAX)
				set.pids[set.pids_count++] = child;
		}
	} while (set.pids_count != before);
	closedir(dir);
	*ret_set = set;
	return 0;
}

uint64_t proc_set_cpu_ns(const struct proc_set *set)
{
	uint64_t total_ns = 0;
	for (uint32_t i = 0; i < set->pids_count; i++) {
		clockid_t clock;
		struct timespec used;
		if (clock_getcpuclockid(set->pids[i], &clock) != 0 || clock_gettime(clock, &used) != 0)
			loop_die("the server's process %d has gone", (int)set->pids[i]);
		total_ns += (uint64_t)used.tv_sec * 1000000000ull + (uint64_t)used.tv_nsec;
	}
	return total_ns;
}

struct proc_memory proc_set_memory(const struct proc_set *set)
{
	struct proc_memory sum = {0};
	for (uint32_t i = 0; i < set->pids_count; i++) {
		char path[64];
		char line[256];
		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)set->pids[i]);
		FILE *file = fopen(path, "re");
		if (!file)
			loop_die("cannot read %s: %s", path, strerror(errno));
		bool found = false;
		while (fgets(line, sizeof(line), file)) {
			unsigned long kib;
			if (sscanf(line, "Pss_Anon: %lu kB", &kib) == 1) {
				sum.anon_bytes += (uint64_t)kib * 1024;
				found = true;
			} else if (sscanf(line, "Pss_Shmem: %lu kB", &kib) == 1) {
				sum.shmem_bytes += (uint64_t)kib * 1024;
			}
		}
		fclose(file);
		if (!found)
			loop_die("%s has no Pss_Anon line: kernel 5.4 or newer is needed", path);
	}
	return sum;
}

uint64_t proc_self_cpu_ns(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000ull + (uint64_t)used.tv_nsec;
}
