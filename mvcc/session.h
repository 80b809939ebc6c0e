/* Sessions: exactly once. Replicated state, one row per session in column s, written once per batch.
 * A session's number is answered once; a repeat is answered with what is stored; a session that expired
 * or was never opened is refused.
 *
 * Threads: the writer; sessions_exists (newest published row) from any thread.
 * Errors: IO, CORRUPT (a row that does not decode).
 */
#ifndef MVCC_SESSION_H
#define MVCC_SESSION_H

#include "mvcc/batch.h"
#include "proto/kv.h"

struct sessions;

/* Borrows both. State of sessions touched in the open batch is kept in memory until sessions_flush. */
struct sessions *sessions_new(struct backend *backend, struct batch *batch);
void sessions_free(struct sessions *sessions);

/* Reads what expiry needs; once, at open. */
enum err_code sessions_load(struct sessions *sessions, struct err *err) MUST_USE;

/* An entry's stamp was applied: sessions idle for SESSION_IDLE_NS at it end now. Called first for every
 * normal entry, with the highest stamp so far. */
enum err_code sessions_expire(struct sessions *sessions, kv_time stamp, struct err *err) MUST_USE;

/* index is that of the entry and becomes the session's id. */
enum err_code sessions_open(struct sessions *sessions, uint64_t index, uint64_t nonce, kv_time stamp,
                            struct err *err) MUST_USE;
/* An unknown session is passed over. */
enum err_code sessions_close(struct sessions *sessions, uint64_t session, struct err *err) MUST_USE;

enum session_verdict {
    SESSION_PROCEED,            /* do it, then session_finish */
    SESSION_REPEATED,           /* it was done: status and revision are what session_finish was given */
    SESSION_UNKNOWN,            /* no such session, or the number is below its lowest open one, or more
                                   than SESSION_OPEN_MAX above: the answer is SESSION_LOST */
};

/* The request number of session is about to be applied. Forgets answers below lowest_open, and notes the
 * stamp as the session's last use. */
enum err_code sessions_begin(struct sessions *sessions, uint64_t session, uint64_t number,
                             uint64_t lowest_open, kv_time stamp, enum session_verdict *ret,
                             uint32_t *ret_status, kv_rev *ret_revision, struct err *err) MUST_USE;
/* After SESSION_PROCEED: the answer to keep. status is the store's (see store_internal.h). */
void sessions_finish(struct sessions *sessions, uint64_t session, uint64_t number, uint32_t status,
                     kv_rev revision);

/* Puts the rows of every session touched into the batch; before the batch is written. */
void sessions_flush(struct sessions *sessions);

/* Any thread: a row of this session is in the backend. */
bool sessions_exists(struct backend *backend, uint64_t session);

#endif
