/* One entry's transaction while it is applied: compares, the chosen path, validation, then the writes.
 *
 * Invariants
 *   X1  the paths of all levels are decided on the state before the txn.
 *   X2  everything that can be refused is refused before the first write; after it only FAULT kinds.
 *   X3  main is the store's revision + 1 and becomes the store's revision if sub > 0 at the end.
 *
 * Threads: the writer.
 */
#ifndef MVCC_TXN_H
#define MVCC_TXN_H

#include "mvcc/index.h"

struct store;
struct config;
struct quota;

struct txn {
    struct batch *batch;
    struct view view;                   /* of the batch */
    struct config *config;
    struct quota *quota;
    struct store *store;
    kv_rev main;                        /* of this txn's writes */
    int64_t sub;                        /* of its next write */
    kv_rev floor;                       /* compact revision */
    kv_rev at;                          /* compares look at this revision; 0: at the newest */
    kv_time time;                       /* the entry's stamp */
    bool privileged;
    struct arena arena;                 /* scratch of this txn, released at its end */
};

/* ---- primitives; also rename's and the system range's ---- */

/* The head of the live version as the txn sees it. NOT_FOUND (no text). */
static inline enum err_code txn_head(struct txn *txn, struct bytes key, struct head *ret,
                                     struct err *err)
{
    return index_head(txn->batch, key, ret, err);
}

/* A new version of key. old is the live head or NULL. Keeps the names, the quota, the settings, what
 * hangs on leases (a lease that is not 0 must exist), and tells observers. IO, CORRUPT. */
enum err_code txn_put_key(struct txn *txn, struct bytes key, struct bytes value, int64_t lease,
                          const struct head *old, struct err *err) MUST_USE;
/* As txn_put_key with value and lease of the version from of from_key: copied when it is inline, else
 * referred to. */
enum err_code txn_put_moved(struct txn *txn, struct bytes key, const struct head *old,
                            struct bytes from_key, const struct head *from,
                            struct err *err) MUST_USE;
/* A tombstone for key, whose live head is old; deletes the metadata of a user key with it when
 * with_meta is set (rename moves it by itself). */
enum err_code txn_delete_key(struct txn *txn, struct bytes key, const struct head *old,
                             bool with_meta, struct err *err) MUST_USE;

/* ---- the whole ---- */

/* Applies a txn. want: fill in ret (in arena). A RESULT code in the return value is the answer of the
 * entry (nothing was written); FAULT kinds stop the member. */
enum err_code txn_apply(struct txn *txn, const struct kv_txn *request, bool want, struct arena *arena,
                        struct kv_txn_result *ret, struct err *err) MUST_USE;

/* Builds the answer of a txn that was applied before, from what the store remembers: the revisions right
 * before and after it (equal when it changed nothing), and whether its compares held. Exact but for two
 * deletes in one txn that overlap: each tells all it covered. Errors: SESSION_LOST (what it needs was
 * compacted: the request was done, its answer is gone), IO, CORRUPT. */
enum err_code txn_repeat(struct txn *txn, const struct kv_txn *request, bool succeeded,
                         kv_rev before, kv_rev after, struct arena *arena,
                         struct kv_txn_result *ret, struct err *err) MUST_USE;

#endif
