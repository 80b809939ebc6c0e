/* Leases as replicated state: column l, a row per lease and one per key that hangs on it (mvcc/FORMAT).
 * There is no other copy: what applies reads the rows, so nothing has to be loaded at an opening or
 * after an install (etcd I12).
 *
 * Never: deadlines (lease.h). A stamp stands in the rows for people to read; nothing is decided by it.
 *
 * Invariants
 *   L1  a live version has lease L != 0 exactly when row (L, its key) stands, and then lease L has a row.
 *   L2  a lease's id, ttl and grant never change while it lives. The index of the entry that granted or
 *       renewed it last names this life of the id, and this renewal: an expiry proposed before it is
 *       void on every member alike.
 *
 * A lease counts LEASE_BYTES in the quota from its grant to its end; its key rows count nothing, each
 * has a live key that does.
 *
 * Threads: functions of a txn or batch are the writer's; those of a view belong to whoever holds it.
 * Errors: IO; CORRUPT (a row that does not decode); those named at each.
 */
#ifndef MVCC_LEASE_ROWS_H
#define MVCC_LEASE_ROWS_H

#include "mvcc/lease.h"
#include "mvcc/txn.h"

struct lease_row {
    int64_t ttl_s;
    kv_time granted, renewed;           /* stamps of those entries */
    raft_index renewal;                 /* index of the latter */
};

/* NOT_FOUND "requested lease not found". */
enum err_code lease_row_get(struct batch *batch, int64_t id, struct lease_row *ret,
                            struct err *err) MUST_USE;

/* The live version of key hung on lease from and now hangs on to; 0: on none. */
void lease_rows_moved(struct batch *batch, struct bytes key, int64_t from, int64_t to);

/* ---- entries. ret_change: what the lessor is to hear; set when OK ---- */

/* The ttl is raised to the least there is: LEASE_TTL_MIN_S, and one and a half election timeouts.
 * INVALID (id 0), TOO_BIG (ttl), EXISTS, NO_SPACE. */
enum err_code lease_rows_grant(struct txn *txn, const struct kv_lease *request, raft_index index,
                               struct lease_change *ret_change, struct err *err) MUST_USE;
/* NOT_FOUND. */
enum err_code lease_rows_renew(struct txn *txn, int64_t id, raft_index index,
                               struct lease_change *ret_change, struct err *err) MUST_USE;
/* Deletes its keys, in byte order, and its rows. NOT_FOUND. */
enum err_code lease_rows_revoke(struct txn *txn, int64_t id, struct lease_change *ret_change,
                                struct err *err) MUST_USE;
/* As revoke if entry renewal is its last grant or renewal; else nothing, and OK. */
enum err_code lease_rows_expire(struct txn *txn, int64_t id, raft_index renewal,
                                struct lease_change *ret_change, struct err *err) MUST_USE;

/* The answer to a grant or renewal told again: the lease's ttl if it is still there; of a grant whose
 * lease has ended since, what it would be raised to today; of a renewal then NOT_FOUND. */
enum err_code lease_rows_repeat(struct txn *txn, const struct kv_lease *request, bool is_grant,
                                struct lease_change *ret_change, struct err *err) MUST_USE;

/* ---- reading ---- */

/* id, granted_ttl_s, and the keys when wanted, in arena. NOT_FOUND as above. */
enum err_code lease_rows_read(const struct view *view, int64_t id, bool want_keys,
                              struct arena *arena, struct kv_lease_result *ret,
                              kv_time *ret_renewed, struct err *err) MUST_USE;

/* The ids, in arena. */
enum err_code lease_rows_list(const struct view *view, struct arena *arena,
                              struct kv_lease_result *ret, struct err *err) MUST_USE;

/* Rows of leases alone, in the order of their ids read as unsigned. */
struct lease_cursor {
    struct view_iterator *iterator;
    bool found;                         /* then it stands on: */
    int64_t id;
    struct lease_row row;
};

/* Stands before the first. */
void lease_cursor_init(struct lease_cursor *cursor, const struct view *view);
enum err_code lease_cursor_next(struct lease_cursor *cursor, struct err *err) MUST_USE;
void lease_cursor_release(struct lease_cursor *cursor);

/* CORRUPT: a row of column l does not fit the others or its key's head. *ret_keys: how many key rows. */
enum err_code lease_rows_validate(const struct view *view, struct batch *batch, uint64_t *ret_keys,
                                  struct err *err) MUST_USE;

#endif
