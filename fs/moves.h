/* Renames by this mount of files that are open for writing: the version that a handle is based on goes on
 * under another key, with another revision, and a save goes there.
 *
 * Each rename is noted with the key that the file had before. A save that knows what stands now follows
 * them one by one: when the base was still the newest version just before a rename, what that rename made is
 * the base. Where history is compacted it counts as that: a mount's own mv does not make saves fail.
 */
#ifndef FS_MOVES_H
#define FS_MOVES_H

#include "fs/op.h"

#define MOVES_MAX 256               /* of one handle between two saves; the oldest goes */

struct move {
    kv_rev revision;                /* of the rename */
    struct buf key;                 /* before it */
};

struct moves {
    struct move *items;             /* oldest first */
    size_t count, capacity;
    op_step step;                   /* moves_follow's */
};

struct handle;

void moves_release(struct moves *moves);
/* The handle's file goes to another key at revision; its node is at the old one still. */
void moves_note(struct handle *handle, kv_rev revision);
/* The handle is based on a version of that revision or later. */
void moves_forget(struct moves *moves, kv_rev revision);
/* There is one to follow to what stood at revision. */
bool moves_are_due(const struct moves *moves, kv_rev revision);
/* Follows and forgets those up to the handle's store_revision, with the op of its save. step gets OK, or
 * why history cannot be read. */
void moves_follow(struct handle *handle, op_step step);

#endif
