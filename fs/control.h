/* The control directory: .fs in the mount's root. Resolved by name, never listed, read-only. Each OPEN
 * takes the text as it is then. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "fs/op.h"

bool control_is_name(const struct node *parent, struct bytes name);
/* LOOKUP of .fs in the root, and of a name in op->node (the .fs). */
void control_lookup_self(struct fs_op *op);
void control_lookup(struct fs_op *op);
void control_attr(const struct fs *fs, const struct node *node, struct stat *ret);
/* Names of the control directory, for its listing: by place, NULL after the last. */
const char *control_entry(size_t place);
/* What is still open goes with the filesystem. */
void control_close(struct fs *fs);

#endif
