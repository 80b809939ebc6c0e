/* The quota: a replicated counter of the logical bytes of every version not compacted, and of live user
 * keys. Changed at apply alone; a compaction lowers it by its ENTRY_COMPACTED.
 *
 * Threads: the writer; quota_get from any thread (what quota_publish made visible last).
 */
#ifndef MVCC_QUOTA_H
#define MVCC_QUOTA_H

#include "mvcc/batch.h"

struct quota;

struct quota *quota_new(void);
void quota_free(struct quota *quota);
/* From its row in column m; a missing row is all zeros. IO, CORRUPT. */
enum err_code quota_load(struct quota *quota, struct backend *backend, struct err *err) MUST_USE;

/* Whether bytes more fit below limit (a write that frees space asks with its reserve, see
 * QUOTA_RESERVE). NO_SPACE: "mvcc: database space exceeded". */
enum err_code quota_check(const struct quota *quota, uint64_t limit, uint64_t bytes, bool frees,
                          struct err *err) MUST_USE;
void quota_charge(struct quota *quota, int64_t bytes);      /* never below 0: stops there */
void quota_count_keys(struct quota *quota, int64_t keys);   /* live user keys came or went */

/* Puts its row into the batch when it changed; before the batch is written. */
void quota_flush(struct quota *quota, struct batch *batch);
/* After the batch was written. */
void quota_publish(struct quota *quota);
/* Goes on from hash with the writer's counters. */
uint64_t quota_fold(const struct quota *quota, uint64_t hash);
void quota_get(struct quota *quota, uint64_t *ret_used, uint64_t *ret_keys);

#endif
