/* CRC-32C (Castagnoli; RFC 3720 appendix B.4), as Kafka's record batches and this journal use it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Start with crc = 0; feed the result back in to go on. */
uint32_t crc32c(uint32_t crc, const void *ptr, size_t len);
