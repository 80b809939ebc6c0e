/* Making a name: mkdir, mknod, symlink. One txn that compares the parent and that nothing is there. */
#ifndef FS_MAKE_H
#define FS_MAKE_H

#include "fs/op.h"

/* Makes request.name below op->node and answers with its entry. value: of a file or a symlink. Errors:
 * EEXIST; ENOENT the parent is gone; ENAMETOOLONG; ESTALE too many lost races; the kv's. */
void make_start(struct fs_op *op, enum meta_type type, mode_t mode, dev_t rdev, struct bytes value);

#endif
