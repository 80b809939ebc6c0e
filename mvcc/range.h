/* Range: keys of an interval as they were at a revision, counted, filtered, sorted, cut. etcd's range
 * (server/etcdserver/txn/range.go). Any thread: whoever holds the view. */
#ifndef MVCC_RANGE_H
#define MVCC_RANGE_H

#include "mvcc/index.h"

/* The caller has checked at against floor and newest. The answer lives in arena. IO, CORRUPT. */
enum err_code range_read(const struct view *view, const struct kv_range *range, kv_rev at,
                         struct arena *arena, struct kv_range_result *ret,
                         struct err *err) MUST_USE;

/* COMPACTED, FUTURE with etcd's texts; OK for 0. */
enum err_code range_check_revision(kv_rev revision, kv_rev floor, kv_rev newest,
                                   struct err *err) MUST_USE;

/* As index_cursor_next, passing over the system range unless range_key is inside it. */
enum err_code range_next(struct index_cursor *cursor, struct bytes range_key,
                         struct err *err) MUST_USE;

/* What a caller hears of a version, without its value. key is borrowed. */
void range_item(struct kv_item *ret, struct bytes key, const struct head *head, bool want_times);

#endif
