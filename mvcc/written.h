/* What a batch wrote, kept at hand for watches: each version with the head of the one before it, and its
 * value when that stands in the key's row. Larger values are read back by whoever is watched for.
 *
 * Nothing is kept while nobody watches, and no more than WATCH_LIVE_EVENTS_MAX versions and
 * WATCH_LIVE_BYTES_MAX of keys and values: a batch above it is not whole, and is read back from the rows.
 * Cost of a version: a copy of its key and of a value of at most VALUE_INLINE_MAX; nothing is allocated
 * once the arrays have grown.
 *
 * Threads: the writer; what a committed batch left may be read until the next begin, by whoever knows
 * that none has begun. written_want: any thread.
 */
#ifndef MVCC_WRITTEN_H
#define MVCC_WRITTEN_H

#include <stdatomic.h>

#include "mvcc/index.h"

struct written_version {
    struct bytes key;
    struct head head;
    struct head old;                    /* the live version this one followed, as the txn saw it */
    bool has_old;
    struct bytes value;                 /* when head.is_inline */
};

struct written {
    atomic_bool is_wanted;
    bool is_whole;                      /* everything since base is here */
    kv_rev base;                        /* the store's revision when the batch began */
    struct written_version *versions;
    size_t count, capacity;
    struct arena arena;
};

/* Zeroed memory is an empty one. */
void written_release(struct written *written);
/* From the next batch on. */
static inline void written_want(struct written *written, bool is_wanted)
{
    written->is_wanted = is_wanted;
}
void written_begin(struct written *written, kv_rev base);
/* old NULL: there was none. Key and value are copied. */
void written_note(struct written *written, struct bytes key, const struct head *head,
                  const struct head *old, struct bytes value);

#endif
