#pragma once
/* A sequencer, and what each command costs it: groups.c says how it is measured. */
#include "base/mem.h"
#include "base/panic.h"
#include "sequencer/sequencer.h"

#include <string.h>

enum { NAME_CHARS = 24, BEAT_MS = 5000 };

struct name {
	char text[NAME_CHARS];
};

struct slice name_of(struct name *name, uint32_t topic);

/* A case is a sequencer, and steps of which each is told when it is over: told() begins the next one, too. */
void begin(const char *name, uint32_t partitions);
void finish(void);
void step(void);
void told(const char *what);

void configure(void (*change)(struct sequencer_config *config));
void ask(struct command *c); /* which must come back or wait */
void later(uint64_t ms);

void topic_change(enum command_kind kind, uint32_t topic, uint32_t partitions);
void topics_make(uint32_t topics, uint32_t partitions);
void look_at_topics(void);
void look_at_group(bool offsets);
void checkpoint(void);

/* --- groups_consumers.c --- */
void case_uniform(void);
void case_range(void);
void case_mixed(void);
void case_pattern(void);
