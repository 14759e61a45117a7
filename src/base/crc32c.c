#include "base/crc32c.h"

#include <limits.h>

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *ptr, size_t len)
{
	/* ISA-L does neither the initial nor the final complement, takes an int for the length, and is not const-correct. */
	unsigned char *at = (unsigned char *)(uintptr_t)ptr;

	crc = ~crc;
	while (len) {
		int part = len > INT_MAX ? INT_MAX : (int)len;

		crc = crc32_iscsi(at, part, crc);
		at += part;
		len -= (size_t)part;
	}
	return ~crc;
}
