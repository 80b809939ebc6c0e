/* LevelDB's MANIFEST, read without LevelDB: which tables a version of a store consists of. Pure: bytes in,
 * a list out; it never opens a file.
 *
 * Any thread, no state kept.
 */
#ifndef MVCC_MANIFEST_H
#define MVCC_MANIFEST_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"

struct manifest_table {
    uint64_t number;                    /* of the file */
    uint64_t size;
};

struct manifest {
    struct manifest_table *tables;      /* by number, each once */
    size_t count;
    size_t size;                        /* bytes that were read: the end of the last whole record */
};

/* from may end anywhere, as a file does that is being written: an unfinished record at its end is left
 * out, and what is before it is a version that the store had. Errors: CORRUPT (no whole record, a record
 * that does not pass its checksum or does not decode, a table that goes without having come: the text says
 * at which offset); TOO_BIG: more than tables_max tables. */
enum err_code manifest_decode(struct bytes from, size_t tables_max, struct manifest *ret,
                              struct err *err) MUST_USE;
void manifest_release(struct manifest *manifest);       /* harmless on a zeroed one */

#endif
