/* The past: .snapshot/REV in every directory of the live tree. Resolved by name, never listed,
 * read-only. Nodes: .snapshot is NODE_SNAPSHOTS below its directory; REV is NODE_PAST below that, and
 * stands for the directory at that revision.
 *
 * What is closed today is closed in the past: the mode of an entry there is that of the past AND that of
 * what stands at the same key today, if that is of the same type; of what is gone today it is the past's
 * alone. Owners stay those of the past. So contents, links and names are cached for good, attributes never
 * beyond the walk that brought them (no note reaches the past's nodes when a mode changes today), and a
 * listing brings none along. */
#ifndef FS_SNAPSHOT_H
#define FS_SNAPSHOT_H

#include "fs/op.h"

/* What a name directly in .snapshot stands for. */
enum snapshot_form {
    SNAPSHOT_REVISION,              /* all digits, canonical */
    SNAPSHOT_UNKNOWN,
};

/* The one resolver of those names. */
enum snapshot_form snapshot_resolve(struct bytes name, kv_rev *ret_revision);

/* Whether a name in a live directory is the snapshot directory's. */
bool snapshot_is_name(const struct fs *fs, struct bytes name);
/* Whether node is a REV: the top of a subtree in the past. */
bool snapshot_is_root(const struct node *node);

/* LOOKUP of .snapshot in op->node (a live directory), and of a name in op->node (a .snapshot). */
void snapshot_lookup_self(struct fs_op *op);
void snapshot_lookup(struct fs_op *op);
/* What stat shows of a .snapshot. */
void snapshot_attr(const struct fs *fs, const struct node *node, struct stat *ret);

#endif
