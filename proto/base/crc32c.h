/* CRC-32C (Castagnoli; RFC 3720, appendix B.4), by the processor's instruction where it has one. */
#ifndef PROTO_BASE_CRC32C_H
#define PROTO_BASE_CRC32C_H

#include "proto/base/bytes.h"

/* The checksum of what was summed before (crc, 0 at the start) followed by from. */
uint32_t crc32c(uint32_t crc, struct bytes from);
/* The table-driven way, whatever the processor has: for the test that both agree. */
uint32_t crc32c_portable(uint32_t crc, struct bytes from);

#endif
