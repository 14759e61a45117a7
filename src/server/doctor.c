/* Is this machine fit for bide? Each finding with what to do about it. */
#include "server/server_priv.h"

#include "base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum verdict { GOOD, WARN, BAD };

struct finding {
	const char *name;
	enum verdict verdict;
	char text[256];
	const char *remedy;
};

enum { FINDINGS_MAX = 16, SYNC_PROBES = 64, PROBE_BYTES = 4096 };

struct report {
	struct finding finding[FINDINGS_MAX];
	size_t count;
};

static struct finding *found(struct report *report, const char *name, enum verdict verdict, const char *remedy)
{
	struct finding *f = &report->finding[report->count++];

	*f = (struct finding){.name = name, .verdict = verdict, .remedy = verdict == GOOD ? NULL : remedy};
	return f;
}

/* The directory itself, or what will be its parent. */
static void existing_dir(const char *dir, char *out, size_t size)
{
	struct stat st;
	char *slash;

	snprintf(out, size, "%s", dir);
	if (stat(out, &st) == 0)
		return;
	slash = strrchr(out, '/');
	if (!slash)
		snprintf(out, size, ".");
	else
		*(slash == out ? slash + 1 : slash) = '\0';
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Times of writes of 4 KiB, each with its fdatasync, into a file that is there already, as the journal's are. */
static int probe_syncs(int fd, uint64_t times_ns[SYNC_PROBES])
{
	static const char zeros[PROBE_BYTES];

	for (int i = 0; i < SYNC_PROBES; i++) {
		if (pwrite(fd, zeros, PROBE_BYTES, (off_t)i * PROBE_BYTES) != PROBE_BYTES)
			return -errno;
	}
	if (fsync(fd))
		return -errno;
	for (int i = 0; i < SYNC_PROBES; i++) {
		uint64_t start_ns = now_ns();

		if (pwrite(fd, zeros, PROBE_BYTES, (off_t)i * PROBE_BYTES) != PROBE_BYTES || fdatasync(fd))
			return -errno;
		times_ns[i] = now_ns() - start_ns;
	}
	qsort(times_ns, SYNC_PROBES, sizeof(*times_ns), by_value);
	return 0;
}

static void check_disk(struct report *report, const char *dir)
{
	uint64_t times_ns[SYNC_PROBES];
	struct finding *f;
	char path[4200];
	int fd, r;

	snprintf(path, sizeof(path), "%s/.bide-doctor-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		f = found(report, "data directory", BAD,
			  "give the user who runs bide write permission, or choose another --data");
		snprintf(f->text, sizeof(f->text), "cannot write in %.150s: %s", dir, strerror(errno));
		return;
	}
	r = probe_syncs(fd, times_ns);
	unlink(path);
	close(fd);
	if (r) {
		f = found(report, "disk sync", BAD, "look at the disk and the kernel's messages");
		snprintf(f->text, sizeof(f->text), "writing and syncing failed: %s", strerror(-r));
		return;
	}
	f = found(report, "disk sync", times_ns[SYNC_PROBES / 2] > 5000000 ? WARN : GOOD,
		  "a disk with a power-safe cache syncs in well under 1 ms; --sync=10ms trades the last 10 ms for speed");
	snprintf(f->text, sizeof(f->text), "4 KiB write and fdatasync: median %.0f us, slowest of %d %.0f us",
		 (double)times_ns[SYNC_PROBES / 2] / 1e3, SYNC_PROBES, (double)times_ns[SYNC_PROBES - 1] / 1e3);
	if (times_ns[SYNC_PROBES / 2] < 5000) {
		f = found(report, "disk kind", WARN, "put --data on a real disk if jobs must survive a power cut");
		snprintf(f->text, sizeof(f->text), "syncs this fast mean memory (tmpfs) or a disk that does not sync");
	}
}

static void check_space(struct report *report, const char *dir, const struct config *config)
{
	struct statvfs fs;
	struct finding *f;
	uint64_t free_bytes;

	if (statvfs(dir, &fs))
		return;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	f = found(report, "disk space", free_bytes < 8 * config->segment_bytes ? WARN : GOOD,
		  "make room: below two segments new jobs are refused with 507 (workers can still finish)");
	snprintf(f->text, sizeof(f->text), "%.1f GiB free in %.150s", (double)free_bytes / (1 << 30), dir);
}

static void check_descriptors(struct report *report)
{
	struct rlimit limit = {0};
	struct finding *f;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	f = found(report, "file descriptors", limit.rlim_max < 65536 ? WARN : GOOD,
		  "every waiting client is one: raise it (ulimit -Hn, LimitNOFILE= in the unit, docker --ulimit nofile)");
	snprintf(f->text, sizeof(f->text), "up to %llu connections", (unsigned long long)limit.rlim_max);
}

static void check_backlog(struct report *report)
{
	FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
	struct finding *f;
	unsigned backlog = 0;

	if (!file)
		return;
	if (fscanf(file, "%u", &backlog) == 1) {
		f = found(report, "listen backlog", backlog < 1024 ? WARN : GOOD,
			  "sysctl net.core.somaxconn=4096, so that a crowd that comes back at once is not turned away");
		snprintf(f->text, sizeof(f->text), "%u", backlog);
	}
	fclose(file);
}

static void check_clock(struct report *report)
{
	struct finding *f;
	uint64_t year_2020_ms = 1577836800000ULL;
	bool sane = clock_unix_ms() > year_2020_ms;

	f = found(report, "clock", sane ? GOOD : BAD,
		  "set the clock (timedatectl set-ntp true); leases are counted by the monotonic one");
	snprintf(f->text, sizeof(f->text), sane ? "set" : "it is before 2020");
}

static int try_bind(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	char host[256];
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	int fd, r = 0, on = 1;

	if (!colon || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, address, len);
	host[len] = '\0';
	if (len > 1 && host[0] == '[') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	if (getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list))
		return -EINVAL;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen))
		r = -errno;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	return r;
}

/* What is said of one of the doors. */
struct door_words {
	const char *address, *exposure, *taken, *other;
};

static const struct door_words http_words = {
	.address = "address",
	.exposure = "exposure",
	.taken = "something listens there already (bide itself, perhaps); else choose another --http",
	.other = "choose another --http; ports below 1024 need CAP_NET_BIND_SERVICE",
};
static const struct door_words kafka_words = {
	.address = "kafka address",
	.exposure = "kafka exposure",
	.taken = "something listens there already (bide itself, perhaps); else choose another --kafka",
	.other = "choose another --kafka; ports below 1024 need CAP_NET_BIND_SERVICE",
};

static void check_door(struct report *report, const struct door_words *words, const char *address)
{
	bool loopback =
		strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 || strncmp(address, "localhost", 9) == 0;
	int r = try_bind(address);
	struct finding *f = found(report, words->address,
				  r == 0             ? GOOD
				  : r == -EADDRINUSE ? WARN
						     : BAD,
				  r == -EADDRINUSE ? words->taken : words->other);

	snprintf(f->text, sizeof(f->text), "%.150s: %s", address, r ? strerror(-r) : "free");
	f = found(report, words->exposure, loopback ? GOOD : WARN,
		  "there is no authentication yet: put a proxy that authenticates in front, or listen on loopback");
	snprintf(f->text, sizeof(f->text), loopback ? "loopback only" : "reachable from outside");
}

static void print_human(const struct report *report)
{
	static const char *const marks[] = {[GOOD] = "ok  ", [WARN] = "warn", [BAD] = "BAD "};

	for (size_t i = 0; i < report->count; i++) {
		const struct finding *f = &report->finding[i];

		printf("%s  %-18s %s\n", marks[f->verdict], f->name, f->text);
		if (f->remedy)
			printf("      -> %s\n", f->remedy);
	}
}

static void print_json(const struct report *report)
{
	static const char *const words[] = {[GOOD] = "ok", [WARN] = "warn", [BAD] = "bad"};
	struct buf out = {0};

	json_open(&out, '[');
	for (size_t i = 0; i < report->count; i++) {
		const struct finding *f = &report->finding[i];

		json_open(&out, '{');
		json_key(&out, "name");
		json_str(&out, slice_str(f->name));
		json_key(&out, "verdict");
		json_str(&out, slice_str(words[f->verdict]));
		json_key(&out, "text");
		json_str(&out, slice_str(f->text));
		if (f->remedy) {
			json_key(&out, "remedy");
			json_str(&out, slice_str(f->remedy));
		}
		json_close(&out, '}');
	}
	json_close(&out, ']');
	printf("%.*s\n", (int)out.len, out.ptr ? out.ptr : "");
	buf_deinit(&out);
}

int doctor_run(const struct config *config, bool json)
{
	struct report report = {0};
	char dir[4096];
	int bad = 0;

	existing_dir(config->data, dir, sizeof(dir));
	check_disk(&report, dir);
	check_space(&report, dir, config);
	check_descriptors(&report);
	check_backlog(&report);
	check_clock(&report);
	check_door(&report, &http_words, config->http);
	if (config->kafka[0])
		check_door(&report, &kafka_words, config->kafka);
	if (json)
		print_json(&report);
	else
		print_human(&report);
	for (size_t i = 0; i < report.count; i++)
		bad |= report.finding[i].verdict == BAD;
	return bad;
}
