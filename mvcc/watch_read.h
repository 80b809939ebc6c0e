/* Catching up: the changes of some revisions, read from column r for those who are late.
 *
 * A reading goes from one revision to another, as far as it may in one go, and always to the end of a
 * revision. It sees one snapshot of the backend. Changes that nobody of its index watches cost their place
 * in column r alone; of the others each version, value and previous version is read once.
 *
 * On the loop it looks at RANGE_CHUNK_ROWS rows and WATCH_LOOP_BYTES of values; a first revision above
 * that is too wide, and the reading is run again elsewhere: there it ends after the revision in which it
 * met WATCH_READ_ROWS or WATCH_READ_BYTES. So memory is bounded by those and one revision.
 *
 * Threads: run on any thread, which has the reading and its index for itself meanwhile.
 */
#ifndef MVCC_WATCH_READ_H
#define MVCC_WATCH_READ_H

#include "mvcc/store.h"
#include "mvcc/watch_tell.h"

struct watch_reading {
    /* filled in by the caller */
    struct store *store;
    struct watch_index index;           /* who is read for */
    kv_rev from, to;                    /* both inclusive; to is published */
    bool on_loop;
    /* what came of it */
    struct watch_tell tell;             /* the groups of the index have their events */
    kv_rev covered;                     /* up to here, inclusive; below from: nothing */
    bool is_too_wide;
    enum err_code code;                 /* COMPACTED: from is below the floor; IO, CORRUPT */
    struct err err;
};

void watch_reading_run(struct watch_reading *reading);

#endif
