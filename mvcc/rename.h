/* Rename: one operation moves a value, the keys below it and the records of each. Contract: struct
 * kv_rename in proto/kv.h. */
#ifndef MVCC_RENAME_H
#define MVCC_RENAME_H

#include "mvcc/txn.h"

/* Whether it can be done, and what it would add to the quota: called for every rename of the chosen path
 * before anything of the txn is written. RESULT codes as struct kv_rename says, DENIED (from or to in
 * the system range); IO, CORRUPT. */
enum err_code rename_validate(struct txn *txn, const struct kv_rename *rename, uint64_t *ret_bytes,
                              struct err *err) MUST_USE;
/* Does it, by the primitives of txn.h. Only FAULT kinds: what earlier operations of the same txn changed
 * may leave less to move, or nothing, but never an error. */
enum err_code rename_apply(struct txn *txn, const struct kv_rename *rename, int64_t *ret_moved,
                           struct err *err) MUST_USE;

/* What rename_apply answered for a rename done right after revision at. IO, CORRUPT. */
enum err_code rename_count(const struct view *view, const struct kv_rename *rename, kv_rev at,
                           int64_t *ret_moved, struct err *err) MUST_USE;

#endif
