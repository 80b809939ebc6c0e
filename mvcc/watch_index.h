/* Who watches a key: watches with equal pattern form a group, and groups are found by key.
 *
 * Groups of one key stand in a hash table; groups of a range in a search tree by (first key, end), each
 * node of which knows the highest end below it, so that subtrees that end before the key are passed over.
 * Cost of finding, with n groups of ranges of which k contain the key: one step for exact keys, and
 * O(min(n, (k + 1) log n)) for ranges; of joining and leaving O(log n). A thousand watches of one prefix are one
 * group: they cost one step of finding, and share the list of events that are told to them.
 *
 * Groups are found in no promised order; what follows from it is put in order by who finds.
 *
 * Threads: whoever holds it. Finding changes nothing, so a reader may find while another thread changes
 * the lists of watchers, which this file does not read but in watch_index_leave.
 */
#ifndef MVCC_WATCH_INDEX_H
#define MVCC_WATCH_INDEX_H

#include "proto/base/bytes.h"
#include "proto/base/list.h"
#include "proto/kv.h"

struct watch_pattern {
    struct bytes key, range_end;                /* as struct kv_watch */
    bool want_previous, no_put, no_delete;
};

struct watch_group {
    struct watch_pattern pattern;               /* its bytes are the group's */
    struct list watchers;                       /* the owner of the index links them in */
    /* What is told now; whoever tells fills it in and clears it. */
    const struct kv_event **events;
    size_t event_count, event_capacity;
    /* the index's own */
    struct list link;
    struct watch_group *left, *right;           /* in the tree; left: next in the table's chain */
    struct bytes highest_end;                   /* below this node of the tree */
    uint64_t priority;
};

struct watch_index {
    struct list groups;                         /* in order of their first watch */
    size_t count;
    struct watch_group **buckets;               /* of exact keys; a power of two */
    size_t bucket_count, exact_count;
    struct watch_group *root;                   /* of ranges: a treap */
    uint64_t seed;
};

/* The seed shapes table and tree, so that nobody who does not know it can make them slow. */
void watch_index_init(struct watch_index *index, uint64_t seed);
/* Ends the groups, whether anybody is in them or not. */
void watch_index_release(struct watch_index *index);

/* The group of a pattern; made when there is none. Bytes are copied. */
struct watch_group *watch_index_join(struct watch_index *index, const struct watch_pattern *pattern);
/* Ends the group when no watcher is left in it. */
void watch_index_leave(struct watch_index *index, struct watch_group *group);

/* Calls found for each group whose pattern contains key, whatever it filters. The system range is not
 * looked at here. */
void watch_index_find(const struct watch_index *index, struct bytes key,
                      void (*found)(void *context, struct watch_group *group), void *context);

/* CHECKs order, priorities, highest ends and counts. */
void watch_index_validate(const struct watch_index *index);

#endif
