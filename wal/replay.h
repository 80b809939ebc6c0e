/* From records, in the order of the log, to what they add up to: the last state, the last mark, the
 * entries above it. Pure.
 *
 * A later entry replaces an earlier one of the same index and all behind it. A mark drops what it
 * covers. The oldest segment of a log may begin anywhere, since released ones are gone: until the
 * end a gap between mark and first entry is allowed, then a later mark must have closed it.
 */
#ifndef WAL_REPLAY_H
#define WAL_REPLAY_H

#include "wal/record.h"

struct replay {
    struct hard_state state;
    struct snapshot_mark mark;
    struct entry *entries;      /* consecutive */
    size_t count, capacity;
    raft_index last;            /* of the last entry, or the mark's */
    bool seen_entry;
};

void replay_release(struct replay *replay);

/* Takes in one STATE, ENTRY or MARK record (others are nothing to it); NULL, or why it cannot follow
 * what came before (a static text). */
const char *replay_record(struct replay *replay, const struct record *record);

/* The last word: NULL, or why the log cannot be whole. */
const char *replay_end(const struct replay *replay);

#endif
