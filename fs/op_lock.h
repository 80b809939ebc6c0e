/* Locks on files: what ends them beside the unlocking itself. Loop thread alone. */
#ifndef FS_OP_LOCK_H
#define FS_OP_LOCK_H

#include "fs/op.h"

/* FLUSH: a process has closed the file, so its POSIX locks there end. */
void locks_on_flush(struct fs *fs, struct node *node, uint64_t owner);
/* RELEASE: the open file description is gone: flock's lock of it (when ends_flock), and POSIX locks that
 * were set through it, because a reading handle sends no FLUSH. */
void locks_on_release(struct fs *fs, struct node *node, uint64_t handle, uint64_t owner,
                      bool ends_flock);
/* How many are held; for .fs/status. */
size_t locks_count(const struct fs *fs);

#endif
