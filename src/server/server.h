/* The running server: journal, sequencer, loop threads and doors, wired together. Nothing includes this folder. */
#pragma once

#include "server/config.h"

/* What `bide serve` ends with (sysexits.h). */
enum server_exit {
	SERVER_OK = 0,
	SERVER_FAILED = 1,
	SERVER_USAGE = 2,
	SERVER_CORRUPT = 65, /* EX_DATAERR: the journal is damaged; --salvage */
	SERVER_LOCKED = 73,  /* EX_CANTCREAT: another process has the data directory */
	SERVER_IO = 74,      /* EX_IOERR: a sync failed; what was acknowledged is safe, a restart recovers it */
};

/* Runs until SIGTERM or SIGINT. `reload` makes the configuration anew for SIGHUP. Returns an enum server_exit. */
int server_run(struct config *config, int (*reload)(struct config *ret_config));

/* `bide doctor`: is this machine fit? Prints each finding with its remedy. 0, or 1 when something needs doing. */
int doctor_run(const struct config *config, bool json);
