/* Open files: what a process that opened a node sees of it. The part that the other families call. */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "fs/op.h"

enum err_code handles_open(struct fs *fs, struct err *err) MUST_USE;    /* sets fs->handles */
void handles_close(struct fs *fs);
/* Begins the commit of every dirty handle (the mount ends); idle when no commit is in flight. */
void handles_commit_all(struct fs *fs);
bool handles_are_idle(const struct fs *fs);

/* No save is in flight. Loop thread. */
bool handles_are_idle(const struct fs *fs);

/* CREATE with O_EXCL: make.c has made op->file at node, with key. Opens it and answers. */
void handle_created(struct fs_op *op, struct node *node, struct bytes key);

/* ---- attributes ---- */

/* GETATTR carries no handle. To a process (pid is any thread of it) that holds a dirty or a pinned handle
 * on the node it is answered for that handle: true, and ret is complete. A dirty one first, else the
 * last opened. For a pending node it is true for everyone. */
bool handle_attr_for(struct fs *fs, struct node *node, pid_t pid, struct stat *ret);
/* SETATTR that belongs to a handle: every SETATTR of a size (staged when it comes with a handle, or
 * from a process with a fresh writing handle; else committed at once, here); anything else from a process
 * with a dirty handle on the node. True: staged and answered (or will be). */
bool handle_setattr(struct fs_op *op);
/* SETXATTR and REMOVEXATTR from a process with a dirty handle on the node: true, staged and answered. */
bool handle_setxattr(struct fs_op *op);
/* GETXATTR and LISTXATTR: lays what this process (or, on a pending node, anyone) has staged over the
 * record, in the op's arena. Harmless when there is nothing. */
void handle_overlay(struct fs_op *op, struct node *node, struct meta *meta);

/* ---- names that are pending ----
 *
 * CREATE without O_EXCL publishes nothing: the name exists on this mount alone until the first commit of
 * its handle, which makes key, content and record in one txn. Until then node->pending is set and
 * the kv knows nothing of it. */

/* LOOKUP found nothing in the kv at (parent, how, name): the pending node there, or NULL; referenced for
 * the caller, and ret is what to answer. (Without a parent to look at: node->pending, handle_attr_for.) */
struct node *handle_pending_entry(struct fs *fs, struct node *parent, enum node_step how,
                                  struct bytes name, struct fs_file *ret);
/* Whoever needs the name to be there for everyone (unlink, rename onto it, link, mkdir, mknod,
 * symlink, SETATTR and SETXATTR that are not staged, OPEN for writing, CREATE) commits it first, as an empty
 * file (what is staged is its writer's), but for a rename with what is staged: true when it was pending; step
 * runs with the commit's code when that has ended. NULL node: false. (An OPEN for reading by another
 * process is answered ENOENT: nobody reads what nobody has saved.) */
bool handle_commit_pending(struct fs_op *op, struct node *node, op_step step);
bool handle_commit_pending_name(struct fs_op *op, struct node *parent, enum node_step how,
                                struct bytes name, op_step step);

/* RENAME, whose new name must not show less than was written: has the next handle of node, opened after
 * number *after, save what is staged through it or wait for its save: true, *after is that handle, step
 * runs with the save's code (CONFLICT: it is overtaken). A bare truncate waits on. False: none is left. */
bool handle_save_next(struct fs_op *op, struct node *node, uint64_t *after, op_step step);
/* Whether a name in directory, or in one below it, is pending. */
bool handle_pending_below(const struct fs *fs, const struct node *directory);
/* The pending names in directory itself; name is borrowed for the call. */
typedef void (*handle_pending_visit)(void *context, struct bytes name, ino_t ino);
void handle_each_pending(const struct fs *fs, const struct node *directory, handle_pending_visit visit,
                         void *context);

/* ---- races with what others do ---- */

/* While a commit begun by RELEASE of this node is in flight: parks the op, true, step(op, OK) runs when
 * the last of them has ended. LOOKUP, GETATTR and OPEN ask this first. */
bool handle_await_commits(struct fs_op *op, struct node *node, op_step step);

/* The file at node has been removed, or replaced by a rename: handles keep their content, and show
 * st_nlink 0; what they write stays here. Called after the txn, before its answer. */
void handle_on_removed(struct fs *fs, struct node *node);
/* This mount has renamed what stands at (parent, how, name), at revision: the writing handles there and
 * below it go on at their new keys. Called before node_move and node_exchange (for both places). While such
 * a txn is in flight fs->renames counts it, so that nobody takes a file for gone that only has moved. */
void handle_on_moving(struct fs *fs, const struct node *parent, enum node_step how, struct bytes name,
                      kv_rev revision);
/* Attributes of the node changed by a SETATTR that was not staged: pinned handles show the new owner,
 * mode and times. */
void handle_on_attr(struct fs *fs, struct node *node, const struct fs_file *file);

/* ---- kept conflicts: bytes whose save was refused (.fs/conflicts/) ---- */

#define CONFLICTS_MAX 64                /* the oldest goes */
#define CONFLICT_BYTES_MAX (16 * MIB)

struct conflict {
    char name[NAME_SIZE_MAX + 1];       /* unique; a file name: time, then the file's own */
    struct blob *content;
    uint64_t number;                    /* from 1 on; never used again */
    struct bytes key;                   /* owned */
    uid_t uid;                          /* the file's owner */
    gid_t gid;
    kv_time time;                       /* this host's clock */
};

size_t conflicts_count(const struct fs *fs);
/* From the oldest, 0, on. Borrowed until the loop goes on; ref the content to keep it. */
const struct conflict *conflicts_get(const struct fs *fs, size_t index);
const struct conflict *conflicts_find(const struct fs *fs, uint64_t number);

/* ---- for tests ---- */

struct process_door;
/* Who is asked about threads; process_system() unless told otherwise. */
void handles_set_processes(struct fs *fs, struct process_door *door);

#endif
