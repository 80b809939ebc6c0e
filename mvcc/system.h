/* The system range: what passes over it, who may write inside, and metadata that dies with its key. */
#ifndef MVCC_SYSTEM_H
#define MVCC_SYSTEM_H

#include "mvcc/txn.h"

bool system_is_inside(struct bytes key);
/* Whether a range that starts at range_key shows key: not when key is inside and range_key is not. */
bool system_is_visible(struct bytes range_key, struct bytes key);

/* Whether a request may write key. DENIED: inside, without privilege. INVALID: a setting's value
 * (config_validate), a name in the range that nothing defines. value NULL: a delete. Pure. */
enum err_code system_check_write(bool privileged, struct bytes key, const struct bytes *value,
                                 struct err *err) MUST_USE;

/* A user key was deleted by this txn: deletes its metadata (KV_META_PREFIX + key) in the same revision
 * by txn_delete_key. IO, CORRUPT. */
enum err_code system_key_deleted(struct txn *txn, struct bytes key, struct err *err) MUST_USE;
/* A key inside the range was put (value) or deleted (NULL): tells config. */
void system_key_changed(struct txn *txn, struct bytes key, const struct bytes *value);

#endif
