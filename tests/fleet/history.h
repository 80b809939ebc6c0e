/* What clients did through their mounts, and when: the recorded history that check.h judges.
 *
 * A line when something is asked, and one when it was answered, in each client's own file:
 *
 *     CLIENT ? TIME KIND PATH [TO | ID]         a.mix ? 81240112 rename r1/e7-0-x r1/e7-0-y
 *     CLIENT ! TIME OUTCOME [VALUE]             a.mix ! 81251977 ok
 *
 * TIME is nanoseconds of one clock that all clients share. A client asks one thing at a time, so an answer
 * belongs to its last question; a question without one is of unknown outcome. Kinds:
 *
 *     create PATH        open with O_CREAT|O_EXCL
 *     fill PATH ID       write one line through what the create before opened, and close
 *     save PATH ID       open with O_CREAT|O_TRUNC, write one line, close
 *     append PATH ID     open with O_CREAT|O_APPEND, write one line, close
 *     rename PATH TO     whatever stands at TO is replaced
 *     read PATH          open, read all, close
 *
 * Every line that is ever written into a file is another one, and is known by its ID (letters, digits and
 * dots). Outcomes: "ok" (of a read: with what was read), "EEXIST" (of create: the name is there), "ENOENT"
 * (of rename: PATH is not), "none:ERRNO" (nothing happened, and nothing was learnt), "unknown:ERRNO" (it may
 * have happened, or happen later).
 *
 * What a file holds, a VALUE, is "-" (there is no file), "." (it is empty), IDs with "+" between them, or
 * "*COUNT:HASH" for many; "torn:OFFSET" says that what stands there is not a line that anyone wrote.
 *
 * Pure; one thread. */
#ifndef TESTS_FLEET_HISTORY_H
#define TESTS_FLEET_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "proto/base/err.h"

enum operation_kind {
    OPERATION_CREATE, OPERATION_FILL, OPERATION_SAVE, OPERATION_APPEND, OPERATION_RENAME,
    OPERATION_READ, OPERATION_KIND_COUNT
};

enum outcome {
    OUTCOME_OK,
    OUTCOME_TOLD,               /* EEXIST of create, ENOENT of rename: refused, and that says something */
    OUTCOME_NONE,
    OUTCOME_UNKNOWN,
    OUTCOME_COUNT
};

/* What stands at a name. Two contents are the same when their counts and hashes are. */
struct value {
    bool is_there, is_torn;
    uint32_t count;
    uint64_t hash;
};

#define TIME_NEVER INT64_MAX

struct operation {
    enum operation_kind kind;
    enum outcome outcome;
    int64_t asked, answered;    /* answered: TIME_NEVER when the outcome is unknown */
    const char *client, *id;    /* borrowed from the history */
    const char *listed;         /* of a read that names its lines, or NULL */
    const char *error;          /* as it was written, or NULL */
    uint32_t path, to;          /* numbers of history_path */
    uint32_t create;            /* of a fill: the operation that made its file */
    struct value value;
};

struct history {
    struct operation *operations;       /* in the order of asking */
    size_t count, capacity;
    char **paths;
    size_t path_count, path_capacity;
    char **texts;
    size_t text_count;
};

/* One more line in a file. */
void value_add(struct value *value, struct bytes id);
const char *operation_kind_name(enum operation_kind kind);
const char *outcome_name(enum outcome outcome);

/* A history of zeros is empty. */
void history_release(struct history *history);
/* Adds the lines of one or more clients, each client's whole. INVALID: err says which line is none. */
enum err_code history_read(struct history *history, struct bytes text, struct err *err) MUST_USE;
/* After the last history_read: puts operations in order, and finds each fill's create. INVALID: a fill
 * without one. */
enum err_code history_finish(struct history *history, struct err *err) MUST_USE;
/* The operation as one line for people, appended. */
void operation_print(const struct history *history, const struct operation *operation, struct buf *ret);

#endif
