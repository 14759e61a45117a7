#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

void panic_at(const char *file, int line, const char *what)
{
	fprintf(stderr, "bide: bug: %s:%d: \"%s\" does not hold; please report this\n", file, line, what);
	abort();
}
