/* The notifier: a thread that tells the kernel to forget, and replays inotify. No kernel request ever
 * waits for it; it may wait for them. Calls below are for the loop thread unless they say otherwise. */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include "fs/op.h"

enum err_code notify_open(struct fs *fs, struct err *err) MUST_USE;     /* sets fs->notify */
void notify_close(struct fs *fs);       /* after kernel_abort or the unmount; joins the thread */

/* Queued; coalesced where they repeat. name is the encoded file name; borrowed. */
void notify_entry(struct fs *fs, uint64_t parent, struct bytes name);
void notify_attr(struct fs *fs, uint64_t node);
/* Replays for local watchers what happened to node elsewhere (kv_change bits); nodes without a watcher
 * cost nothing. */
void notify_change(struct fs *fs, uint64_t node, uint64_t parent, struct bytes name, unsigned changes);
/* settled(context) once all that was queued before has been done. From the notifier's thread. */
void notify_settle(struct fs *fs, void (*settled)(void *context), void *context);
/* A request that the notifier itself makes (its replay, told by pid): answered from memory, and true.
 * Every op passes here first. */
bool notify_take(struct fs_op *op);

/* The encoded name of a node below its parent, as the kernel knows it; lies in room, or is static. False:
 * it has none of its own (the root, the inner pieces of a long component). */
bool notify_name_of(const struct node *node, uint8_t room[NAME_SIZE_MAX], struct bytes *ret);

/* One-time locks life. */
enum err_code locks_open(struct fs *fs, struct err *err) MUST_USE;      /* op_lock.c; sets fs->locks */
void locks_close(struct fs *fs);

#endif
