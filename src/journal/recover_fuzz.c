/* Recovery from any directory. Random bytes would never get past a checksum, so an input is a script that makes the files, sound
 * in places and damaged in others:
 *
 *     byte 0        bit 0 = salvage, bit 1 = entries of type 99 do not decode
 *     then          operations of enum op: a byte (low 4 bits: which; high bits: variants), and its operands
 *
 * Whatever recovery makes of it: it replays only entries whose checksums agree with what lies on the disk, in rising order; a
 * body is served as it was written or not at all; and when it succeeds, an entry that is appended then is replayed behind the
 * very same ones by a second start. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/wire.h"
#include "journal/entry.h"
#include "journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum {
	SEGMENT_BYTES = 2 << 20,
	OPS_MAX = 48,
	PAGES_MAX = 2500, /* 10 MB */
	SEGMENTS = 6,
	FAR_SEGMENT = 1000, /* the variant: so many later */
	SEEN_MAX = 256,
	BODIES_MAX = 3 << 20,
	TYPE_BLOB = 7,
	TYPE_BAD = 99,
	TYPE_OURS = 200,
	HIGH = 0x80, /* variants of an operation */
	MIDDLE = 0x40,
	LOW = 0x20,
};

enum op {
	OP_SEGMENT,    /* number (1): a sound header; HIGH: far away */
	OP_CHECKPOINT, /* position (4): its header; HIGH: near the end of the 64 bits */
	OP_ENTRY,      /* type, fields, body (1 each), durable (4): a sound entry; MIDDLE: durable = its position; HIGH: = 0 */
	OP_LARGE,      /* length / 37 (2): an entry with a long body; LOW: with long fields */
	OP_CLOSE,      /* durable (4): a closing entry; MIDDLE, HIGH as above */
	OP_COMPLETE,   /* entries (1), position (4): a checkpoint's closing entry; MIDDLE: the count is right */
	OP_RAW,        /* count (1) and bytes */
	OP_SEEK,       /* offset (3) */
	OP_SEEK_BACK,  /* bytes (1): from the end of a segment; LOW: from here */
	OP_FLIP,       /* bytes back (1): one of its bits */
	OP_HEADER,     /* position (4), pages (2): a header that is sound but says something else; HIGH: of version 2 */
	OP_TRUNCATE,   /* length (3) */
	OP_BLOB,       /* number, length (1 each) */
	OP_NAME,       /* number (1): an empty file; LOW: .seg.new, MIDDLE: .bad, else .seg at an odd position */
	OP_NONE_1,
	OP_NONE_2,
};

struct seen {
	uint64_t position;
	uint32_t crc; /* of the fields */
	uint32_t body_crc;
	uint64_t body_bytes;
	uint8_t type;
};

struct world {
	struct wire_reader script;
	bool salvage, bad_fields;
	int fd;        /* the file being made; -1: none */
	uint64_t at;   /* offset in it */
	uint64_t base; /* position of its first byte; 0 in a checkpoint */
	uint64_t salt;
	uint64_t count; /* entries written to it */
	struct journal *journal;
	struct body_ref body; /* of the entry that was replayed last and has one */
	struct seen seen[SEEN_MAX];
	size_t seen_count;
	uint64_t last; /* position replayed */
	unsigned said;
};

static char dir[64];
static char bodies[BODIES_MAX];

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

/* --- the directory --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level > 0 ? remove(path) : 0;
}

static void dir_empty(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void dir_remove(void)
{
	dir_empty();
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *tmp = getenv("TMPDIR");

	(void)argc;
	(void)argv;
	snprintf(dir, sizeof(dir), "%.30s/bide-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm"
		 : tmp && *tmp                 ? tmp
					       : "/tmp");
	MUST(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(bodies); i++)
		bodies[i] = (char)(i * 7 + i / 251);
	atexit(dir_remove);
	return 0;
}

static int file_open(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static void dir_make(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	MUST(mkdir(path, 0700) == 0 || errno == EEXIST);
}

/* --- the script --- */

static void file_begin(struct world *w, const char *name)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = file_open(name, O_RDWR | O_CREAT);
	MUST(w->fd >= 0);
	w->at = FILE_HEADER_BYTES;
	w->count = 0;
}

static void file_put(struct world *w, const void *bytes, size_t len, uint64_t at)
{
	if (w->fd >= 0)
		MUST(pwrite(w->fd, bytes, len, (off_t)at) == (ssize_t)len);
}

static void put_header(struct world *w, enum file_magic magic, uint64_t position, uint64_t segment_bytes)
{
	char bytes[FILE_HEADER_BYTES];

	file_header_encode(
		&(struct file_header){.magic = magic, .position = position, .segment_bytes = segment_bytes, .salt = w->salt},
		bytes);
	file_put(w, bytes, sizeof(bytes), 0);
}

static void op_segment(struct world *w, uint8_t op)
{
	uint64_t number = (uint64_t)(wire_u8(&w->script) % SEGMENTS + (op & HIGH ? FAR_SEGMENT : 0));
	char name[64];

	snprintf(name, sizeof(name), "journal/%016llx.seg", (unsigned long long)(number * SEGMENT_BYTES));
	file_begin(w, name);
	w->base = number * SEGMENT_BYTES;
	w->salt = number + 1;
	put_header(w, FILE_SEGMENT, w->base, SEGMENT_BYTES);
	if (!(op & LOW))
		MUST(ftruncate(w->fd, SEGMENT_BYTES) == 0);
}

static void op_checkpoint(struct world *w, uint8_t op)
{
	uint64_t position = wire_u32(&w->script);

	file_begin(w, "checkpoint");
	w->base = 0;
	w->salt = 77;
	put_header(w, FILE_CHECKPOINT, op & HIGH ? UINT64_MAX - position : position, 0);
}

static void put_entry(struct world *w, struct entry *entry, uint64_t durable)
{
	size_t total = ENTRY_HEADER_BYTES + entry->fields.len + entry->body.len + ENTRY_ALIGN_BYTES;
	char *bytes = malloc(total);

	MUST(bytes);
	entry->body_crc = crc32c(0, entry->body.ptr, entry->body.len);
	entry->time_ms = w->count;
	total = entry_encode(entry, bytes);
	entry_seal(bytes, w->salt, w->base + w->at, durable);
	file_put(w, bytes, total, w->at);
	w->at += total;
	w->count++;
	free(bytes);
}

static uint64_t durable_of(struct world *w, uint8_t op)
{
	uint64_t given = wire_u32(&w->script);

	return op & HIGH ? 0 : op & MIDDLE ? w->base + w->at : given;
}

static void op_entry(struct world *w, uint8_t op)
{
	struct entry entry = {.type = wire_u8(&w->script)};
	size_t fields = wire_u8(&w->script), body = wire_u8(&w->script);

	if (entry.type == 0)
		entry.type = 1;
	entry.fields = slice_from(bodies + w->at % 1000, fields);
	entry.body = slice_from(bodies + 2000 + w->at % 1000, body);
	put_entry(w, &entry, durable_of(w, op));
}

static void op_large(struct world *w, uint8_t op)
{
	struct slice bytes = {bodies, wire_u16(&w->script) * (size_t)37};
	struct entry entry = {.type = 1};

	*(op & LOW ? &entry.fields : &entry.body) = bytes;

	put_entry(w, &entry, 0);
}

static void op_complete(struct world *w, uint8_t op)
{
	uint64_t count = wire_u8(&w->script), end = wire_u32(&w->script);
	char fields[16];
	struct entry entry = {.flags = ENTRY_CLOSE, .fields = {fields, sizeof(fields)}};

	wire_store_u64(fields, op & MIDDLE ? w->count : count);
	wire_store_u64(fields + 8, op & HIGH ? UINT64_MAX - end : end);
	put_entry(w, &entry, 0);
}

static void op_flip(struct world *w, uint8_t op)
{
	uint64_t back = wire_u8(&w->script) + 1u, at = back < w->at ? w->at - back : 0;
	char byte;

	if (w->fd < 0 || pread(w->fd, &byte, 1, (off_t)at) != 1)
		return;
	byte = (char)(byte ^ 1 << (op >> 5));
	file_put(w, &byte, 1, at);
}

static void op_header(struct world *w, uint8_t op)
{
	uint64_t position = wire_u32(&w->script), pages = wire_u16(&w->script) % PAGES_MAX;
	char bytes[FILE_HEADER_BYTES];

	put_header(w, FILE_SEGMENT, op & LOW ? position : w->base, pages * 4096);
	if (!(op & HIGH) || w->fd < 0)
		return;
	MUST(pread(w->fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
	wire_store_u32(bytes + 8, FILE_FORMAT_VERSION + 1);
	wire_store_u32(bytes + 60, crc32c(0, bytes, 60));
	file_put(w, bytes, sizeof(bytes), 0);
}

static void op_blob(struct world *w)
{
	unsigned number = wire_u8(&w->script), len = wire_u8(&w->script);
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "blobs/%02x", number);
	dir_make(name);
	snprintf(name, sizeof(name), "blobs/%02x/%016x", number, number);
	fd = file_open(name, O_RDWR | O_CREAT);
	MUST(fd >= 0 && pwrite(fd, bodies, len, 0) == (ssize_t)len);
	close(fd);
}

static void op_name(struct world *w, uint8_t op)
{
	uint64_t position = wire_u8(&w->script) % SEGMENTS * (uint64_t)SEGMENT_BYTES;
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "journal/%016llx.seg%s", (unsigned long long)(position + (op & (LOW | MIDDLE) ? 0 : 4096)),
		 op & LOW      ? ".new"
		 : op & MIDDLE ? ".bad"
			       : "");
	fd = file_open(name, O_RDWR | O_CREAT);
	MUST(fd >= 0);
	close(fd);
}

static uint64_t u24(struct world *w)
{
	uint64_t low = wire_u16(&w->script);

	return low | (uint64_t)wire_u8(&w->script) << 16;
}

static void op_raw(struct world *w)
{
	struct slice bytes = wire_bytes(&w->script, wire_u8(&w->script));

	file_put(w, bytes.ptr, bytes.len, w->at);
	w->at += bytes.len;
}

static void op_seek_back(struct world *w, uint8_t op)
{
	uint64_t back = wire_u8(&w->script);

	if (!(op & LOW))
		w->at = SEGMENT_BYTES - back;
	else if (back < w->at)
		w->at -= back;
}

static void play(struct world *w, uint8_t op)
{
	switch ((enum op)(op & 0x0f)) {
	case OP_SEGMENT:
		op_segment(w, op);
		break;
	case OP_CHECKPOINT:
		op_checkpoint(w, op);
		break;
	case OP_ENTRY:
		op_entry(w, op);
		break;
	case OP_LARGE:
		op_large(w, op);
		break;
	case OP_CLOSE:
		put_entry(w, &(struct entry){.flags = ENTRY_CLOSE}, durable_of(w, op));
		break;
	case OP_COMPLETE:
		op_complete(w, op);
		break;
	case OP_RAW:
		op_raw(w);
		break;
	case OP_SEEK:
		w->at = u24(w) % (SEGMENT_BYTES + 8192);
		break;
	case OP_SEEK_BACK:
		op_seek_back(w, op);
		break;
	case OP_FLIP:
		op_flip(w, op);
		break;
	case OP_HEADER:
		op_header(w, op);
		break;
	case OP_TRUNCATE:
		if (w->fd >= 0)
			MUST(ftruncate(w->fd, (off_t)(u24(w) % (SEGMENT_BYTES + 8192))) == 0);
		break;
	case OP_BLOB:
		op_blob(w);
		break;
	case OP_NAME:
		op_name(w, op);
		break;
	case OP_NONE_1:
	case OP_NONE_2:
		break;
	}
}

/* --- what recovery makes of it --- */

static void said(void *ctx, const char *line)
{
	struct world *w = ctx;

	w->said++;
	MUST(line[0] && !strchr(line, '\n'));
}

/* The segment that has the position, the last one that begins before it (OP_HEADER makes longer ones); it begins at *ret_base. */
static int segment_at(uint64_t position, uint64_t *ret_base)
{
	char path[128], name[64];
	const struct dirent *entry;
	DIR *entries;

	snprintf(path, sizeof(path), "%s/journal", dir);
	entries = opendir(path);
	MUST(entries);
	*ret_base = 0;
	while ((entry = readdir(entries))) {
		char *end;
		uint64_t base = strtoull(entry->d_name, &end, 16);

		if (strcmp(end, ".seg") == 0 && base <= position && base > *ret_base)
			*ret_base = base;
	}
	closedir(entries);
	snprintf(name, sizeof(name), "journal/%016llx.seg", (unsigned long long)*ret_base);
	return file_open(name, O_RDONLY);
}

/* entry.h's rules 1, 2 and 5, read again from the disk. */
static void check_disk(const struct store_replay *entry)
{
	char salt[8], header[ENTRY_HEADER_BYTES], position[8], *fields, *body;
	uint64_t base, fields_len = entry->fields.len;
	int fd = segment_at(entry->position, &base);
	off_t at = (off_t)(entry->position - base);
	uint32_t crc;

	MUST(fd >= 0);
	MUST(pread(fd, salt, 8, 32) == 8 && pread(fd, header, sizeof(header), at) == sizeof(header));
	MUST(wire_load_u32(header) == ENTRY_HEADER_BYTES + fields_len + entry->body_bytes &&
	     wire_load_u32(header + 12) == fields_len);
	MUST(fields_len <= 256 * 1024 && entry->body_bytes <= SEGMENT_BYTES);
	fields = malloc(fields_len + entry->body_bytes + 1);
	MUST(fields);
	body = fields + fields_len;
	MUST(pread(fd, fields, fields_len + entry->body_bytes, at + ENTRY_HEADER_BYTES) ==
	     (ssize_t)(fields_len + entry->body_bytes));
	wire_store_u64(position, entry->position);
	crc = crc32c(crc32c(crc32c(0, salt, 8), position, 8), header + 8, sizeof(header) - 8);
	MUST(crc32c(crc, fields, fields_len) == wire_load_u32(header + 4));
	MUST(crc32c(0, body, entry->body_bytes) == wire_load_u32(header + 8) && entry->body_crc == wire_load_u32(header + 8));
	MUST(slice_eq(entry->fields, slice_from(fields, fields_len)));
	MUST(entry->body_place == entry->position + ENTRY_HEADER_BYTES + fields_len);
	MUST(entry->end == entry->position + entry_aligned(wire_load_u32(header)));
	free(fields);
	close(fd);
}

static void retain(struct world *w, const struct store_replay *entry)
{
	struct store *store = journal_store(w->journal);
	struct body_ref inside = {entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	struct body_ref blob = {0, 5, 0, BODY_BLOB};

	if (entry->position && entry->body_bytes) {
		store->ops->body_retain(store, &inside);
		w->body = inside;
	}
	if (entry->type == TYPE_BLOB && entry->fields.len) {
		blob.place = (uint8_t)entry->fields.ptr[0];
		store->ops->body_retain(store, &blob);
		if (entry->fields.len > 1)
			store->ops->body_release(store, &blob);
	}
}

static int replayed(void *ctx, const struct store_replay *entry)
{
	struct world *w = ctx;

	MUST(entry->type != 0 && w->seen_count < SEEN_MAX);
	if (entry->position) {
		MUST(entry->position > w->last);
		check_disk(entry);
		w->last = entry->position;
	} else {
		MUST(w->last == 0); /* the checkpoint's come first */
	}
	if (entry->type == TYPE_BAD && w->bad_fields)
		return -EBADMSG;
	w->seen[w->seen_count++] = (struct seen){
		.position = entry->position,
		.crc = crc32c(0, entry->fields.ptr, entry->fields.len),
		.body_crc = entry->body_crc,
		.body_bytes = entry->body_bytes,
		.type = entry->type,
	};
	retain(w, entry);
	return 0;
}

static int start(struct world *w)
{
	struct journal_config config = {
		.dir = dir, .segment_bytes = SEGMENT_BYTES, .salvage = w->salvage, .diag = said, .diag_ctx = w};
	struct journal_replay replay = {w, replayed};
	int r;

	w->seen_count = w->said = 0;
	w->last = 0;
	w->body = (struct body_ref){0};
	MUST(journal_open(&config, &w->journal) == 0);
	r = journal_recover(w->journal, &replay);
	/* -ENOMEM: a position near the end of the 64 bits. */
	MUST(r == 0 || r == JOURNAL_CORRUPT || r == JOURNAL_VERSION || r == -ENOMEM);
	MUST(r <= 0 || w->said > 0);
	if (r != 0) {
		journal_close(w->journal);
		w->journal = NULL;
	}
	return r;
}

static void check_body(struct world *w)
{
	struct store *store = journal_store(w->journal);
	struct store_pin *pin = w->body.kind ? store->ops->pin(store, &w->body) : NULL;
	char *out;

	if (!pin)
		return;
	out = malloc(w->body.size_bytes);
	MUST(out);
	MUST(pin->ops->read_whole(pin, out) == 0);
	MUST(crc32c(0, out, w->body.size_bytes) == w->body.crc);
	free(out);
	pin->ops->unpin(pin);
}

static void append_ours(struct world *w)
{
	struct store *store = journal_store(w->journal);
	struct store_entry entry = {.type = TYPE_OURS, .fields = SLICE("ours"), .body = {bodies, 100}};
	struct store_appended appended;

	MUST(store->ops->append(store, &entry, &appended) == 0);
	MUST(appended.position > w->last);
	MUST(journal_commit_begin(w->journal));
	journal_commit_run(w->journal);
	MUST(journal_commit_end(w->journal) == 0);
	MUST(store->ops->durable_position(store) >= appended.end);
	w->seen[w->seen_count++] = (struct seen){
		.position = appended.position,
		.crc = crc32c(0, entry.fields.ptr, entry.fields.len),
		.body_crc = crc32c(0, entry.body.ptr, entry.body.len),
		.body_bytes = entry.body.len,
		.type = TYPE_OURS,
	};
}

/* The second start sees what the first one saw, and what was appended. */
static void again(struct world *w)
{
	struct seen before[SEEN_MAX];
	size_t count = w->seen_count;

	memcpy(before, w->seen, sizeof(before));
	MUST(start(w) == 0);
	MUST(w->seen_count == count);
	for (size_t i = 0; i < count; i++)
		MUST(before[i].position == w->seen[i].position && before[i].crc == w->seen[i].crc &&
		     before[i].body_crc == w->seen[i].body_crc && before[i].body_bytes == w->seen[i].body_bytes &&
		     before[i].type == w->seen[i].type);
	check_body(w);
	journal_close(w->journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.fd = -1, .script = wire_reader_of(slice_from(data, size))};
	uint8_t flags = wire_u8(&w.script);

	w.salvage = flags & 1;
	w.bad_fields = flags & 2;
	dir_empty();
	dir_make("journal");
	dir_make("blobs");
	for (int i = 0; i < OPS_MAX && w.script.at < w.script.end && !w.script.failed; i++)
		play(&w, wire_u8(&w.script));
	if (w.fd >= 0)
		close(w.fd);
	if (start(&w) != 0)
		return 0;
	check_body(&w);
	append_ours(&w);
	journal_close(w.journal);
	again(&w);
	return 0;
}
