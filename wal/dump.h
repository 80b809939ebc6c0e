/* A log as text, one record a line, for people: "concordfs wal dump". Read-only; works on damaged
 * logs as far as it can, and on a log that a member is using (then the tail may look torn). */
#ifndef WAL_DUMP_H
#define WAL_DUMP_H

#include "proto/base/err.h"

/* Calls on_line (NUL-terminated, no newline, borrowed) with each record of the log in the folder at
 * path (the log's own folder), in order: segment, offset, type, opening, term, index, size, and
 * whether its checksum and its place in the chain hold. A stretch that is no record is one line,
 * "bad", with its length; reading goes on at the next record that stands there. Names no record's
 * contents.
 * Errors: NOT_FOUND (no folder, or no segment in it), IO, CORRUPT (all was printed, and something
 * below the durable end is bad, or a sealed log is not whole). */
MUST_USE enum err_code wal_dump(const char *path,
                                void (*on_line)(void *context, const char *line), void *context,
                                struct err *err);

#endif
