/* A programmer's error ends the program, in release too. Never for what a peer sent, what a disk holds or memory that ran
 * out: those are conditions, and they are returned. */
#pragma once

#include "base/attr.h"

NO_RETURN void panic_at(const char *file, int line, const char *what);

#define ENSURE(cond)                                                                                                             \
	do {                                                                                                                     \
		if (UNLIKELY(!(cond)))                                                                                           \
			panic_at(__FILE__, __LINE__, #cond);                                                                     \
	} while (0)
