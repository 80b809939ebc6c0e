/* Errors: one table for the whole system, and the struct that carries a sentence to a person.
 *
 * Each code has a name, a text, a kind, an errno and a gRPC status; they stand in one place, the
 * X-macro below. The kind tells the caller what to do next, and nothing else about the error has
 * to be known for that:
 *
 *   RESULT   the same on every member; a part of the answer. Do not repeat.
 *   RETRY    nothing happened. Repeat, until your own deadline.
 *   UNKNOWN  it may have happened. Ask before repeating.
 *   FAULT    this member must stop.
 *
 * Applying an entry yields RESULT or FAULT and nothing else.
 *
 * Fallible functions return enum err_code (0 is success) and are MUST_USE. Those whose failure a
 * person reads about also take a struct err * as their last input; it may be NULL.
 */
#ifndef PROTO_BASE_ERR_H
#define PROTO_BASE_ERR_H

#include <stdarg.h>

#define MUST_USE __attribute__((warn_unused_result))

enum err_kind { ERR_KIND_OK, ERR_KIND_RESULT, ERR_KIND_RETRY, ERR_KIND_UNKNOWN, ERR_KIND_FAULT };

/* gRPC status codes (grpc/doc/statuscodes.md). */
enum grpc_status {
    GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4, GRPC_NOT_FOUND = 5, GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7, GRPC_RESOURCE_EXHAUSTED = 8, GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10, GRPC_OUT_OF_RANGE = 11, GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14, GRPC_DATA_LOSS = 15, GRPC_UNAUTHENTICATED = 16,
};

/*   code            kind     errno         gRPC status           text */
#define ERR_TABLE(X)                                                                               \
    X(OK,            OK,      0,            OK,                   "no error")                      \
    X(NOT_FOUND,     RESULT,  ENOENT,       NOT_FOUND,            "not found")                     \
    X(EXISTS,        RESULT,  EEXIST,       ALREADY_EXISTS,       "already exists")                \
    X(INVALID,       RESULT,  EINVAL,       INVALID_ARGUMENT,     "invalid argument")              \
    X(TOO_BIG,       RESULT,  EFBIG,        INVALID_ARGUMENT,     "too big")                       \
    X(DENIED,        RESULT,  EACCES,       PERMISSION_DENIED,    "permission denied")             \
    X(COMPACTED,     RESULT,  ESTALE,       OUT_OF_RANGE,         "revision has been compacted")   \
    X(FUTURE,        RESULT,  ESTALE,       OUT_OF_RANGE,         "revision is in the future")     \
    X(NO_SPACE,      RESULT,  ENOSPC,       RESOURCE_EXHAUSTED,   "space exceeded")                \
    X(CONFLICT,      RESULT,  ESTALE,       ABORTED,              "changed by someone else")       \
    X(TOO_WIDE,      RESULT,  EXDEV,        INVALID_ARGUMENT,     "too many keys at once")         \
    X(READ_ONLY,     RESULT,  EROFS,        FAILED_PRECONDITION,  "read-only")                     \
    X(NO_LOCK,       RESULT,  ENOLCK,       FAILED_PRECONDITION,  "locks are not available")       \
    X(NOT_CAPABLE,   RESULT,  EOPNOTSUPP,   FAILED_PRECONDITION,  "not capable")                   \
    X(NO_LEADER,     RETRY,   EAGAIN,       UNAVAILABLE,          "no leader")                     \
    X(CLOSING,       RETRY,   EAGAIN,       UNAVAILABLE,          "the member is stopping")        \
    X(BUSY,          RETRY,   EAGAIN,       RESOURCE_EXHAUSTED,   "too many requests")             \
    X(TIMEOUT,       UNKNOWN, ETIMEDOUT,    UNAVAILABLE,          "timed out")                     \
    X(SESSION_LOST,  UNKNOWN, ETIMEDOUT,    UNAVAILABLE,          "session lost")                  \
    X(CANCELED,      UNKNOWN, EINTR,        CANCELLED,            "canceled")                      \
    X(IO,            FAULT,   EIO,          INTERNAL,             "input/output error")            \
    X(CORRUPT,       FAULT,   EIO,          DATA_LOSS,            "corrupt data")                  \
    X(NO_MEMORY,     FAULT,   ENOMEM,       RESOURCE_EXHAUSTED,   "out of memory")                 \
    X(REMOVED,       FAULT,   EIO,          FAILED_PRECONDITION,                                   \
      "this member was removed from its cluster")                                                  \
    X(DIVERGED,      FAULT,   EIO,          DATA_LOSS,                                             \
      "the state of this member is not the others'")

enum err_code {
#define ERR_ENUM(name, kind, posix, grpc, text) ERR_##name,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
    ERR_CODE_COUNT
};

#define ERR_TEXT_SIZE 384

/* What went wrong, for a person: lower case, no full stop, subject in quotes, error first. */
struct err {
    enum err_code code;
    char text[ERR_TEXT_SIZE];
};

const char *err_name(enum err_code code);       /* "NOT_FOUND" */
const char *err_text(enum err_code code);       /* the table's text */
enum err_kind err_kind(enum err_code code);
int err_errno(enum err_code code);              /* positive errno; 0 for OK */
enum grpc_status err_grpc(enum err_code code);

/* Fills *err (may be NULL) and returns code, so that "return err_set(err, ERR_IO, ...)" reads well.
 * Text that does not fit is cut. */
enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set for a failed system call: appends ": " and the errno's text. ENOSPC and EDQUOT give
 * NO_SPACE, ENOENT gives NOT_FOUND, ENOMEM gives NO_MEMORY, everything else IO. */
enum err_code err_set_errno(struct err *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the text that is there already; returns err->code (code if err is NULL). */
enum err_code err_wrap(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
