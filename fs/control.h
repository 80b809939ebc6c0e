/* The control directory: .fs in the mount's root. Resolved by name, never listed, read-only. Each OPEN
 * takes the text as it is then.
 *
 * .fs/conflicts/ holds what could not be saved (handle.h): each for the owner of the file that it was meant
 * for, and root, who alone see its name. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "fs/op.h"

bool control_is_name(const struct node *parent, struct bytes name);
/* LOOKUP of .fs in the root, and of a name in op->node (the .fs, or .fs/conflicts). */
void control_lookup_self(struct fs_op *op);
void control_lookup(struct fs_op *op);
/* False: a conflict that has made room for newer ones. */
bool control_attr(const struct fs *fs, const struct node *node, struct stat *ret) MUST_USE;

struct control_entry {
    const char *name;           /* borrowed until the loop goes on */
    ino_t ino;
    mode_t type;
};

/* For the listing of .fs and .fs/conflicts: the first entry at *place or behind it that this op's caller may
 * see; *place is then behind it. False: there is none. */
bool control_entry(const struct fs_op *op, const struct node *directory, size_t *place,
                   struct control_entry *ret);
/* What is still open goes with the filesystem. */
void control_close(struct fs *fs);

#endif
