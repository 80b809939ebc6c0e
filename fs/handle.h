/* Open files: what a process that opened a node sees of it. The part that the other families call. */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "fs/op.h"

enum err_code handles_open(struct fs *fs, struct err *err) MUST_USE;    /* sets fs->handles */
void handles_close(struct fs *fs);
/* Begins the commit of every dirty handle (the mount ends). */
void handles_commit_all(struct fs *fs);

/* GETATTR carries no handle. To a process (pid is any thread of it) that holds a dirty or a pinned handle
 * on the node it is answered for that handle: true, and ret is complete. A dirty one first, else the
 * last opened. */
bool handle_attr_for(struct fs *fs, struct node *node, pid_t pid, struct stat *ret);
/* SETATTR that belongs to a handle: of a size with a handle, or without one from a process that has a
 * fresh writing handle; of anything else from a process with a dirty handle on the node. True: staged
 * and answered (or will be). */
bool handle_setattr(struct fs_op *op);

/* While a commit begun by RELEASE of this node is in flight: parks the op, true, step(op, OK) runs when
 * the last of them has ended. LOOKUP, GETATTR and OPEN ask this first. */
bool handle_await_commits(struct fs_op *op, struct node *node, op_step step);

/* The file at node has been removed, or replaced by a rename: handles keep their content, and show
 * st_nlink 0. Called after the txn, before its answer. */
void handle_on_removed(struct fs *fs, struct node *node);
/* Attributes of the node changed by a SETATTR that was not staged: pinned handles show the new owner,
 * mode and times. */
void handle_on_attr(struct fs *fs, struct node *node, const struct fs_file *file);

#endif
