/* The seal: a file of its own that says where a log ended that was stopped cleanly. It stands beside
 * the log and not only in it, so that damage to the log's last bytes cannot pass for a log that was
 * never sealed. Pure.
 *
 *      0  8  "concseal"
 *      8  8  segment      the log's last
 *     16  8  offset       just behind the SEAL record
 *     24  4  last         the checksum field of the SEAL record
 *     28  4  opening
 *     32  4  rest         CRC-32C of the segment from offset to its end
 *     36  4  checksum     CRC-32C of the 36 bytes before, begun with the log's seed
 */
#ifndef WAL_SEAL_H
#define WAL_SEAL_H

#include <stdbool.h>

#include "wal/record.h"

#define SEAL_SIZE 40

struct seal {
    struct record_place end;        /* its previous is the last checksum */
    uint32_t rest;
};

void seal_encode(uint8_t to[SEAL_SIZE], const struct seal *seal);
/* False when these bytes are no seal of the log with this seed. */
bool seal_decode(struct bytes from, uint32_t seed, struct seal *ret_seal);

#endif
