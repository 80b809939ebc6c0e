/* The notifier: a thread that tells the kernel to forget, and replays inotify. No kernel request ever
 * waits for it; it may wait for them. Calls below are for the loop thread unless they say otherwise.
 *
 * What is told of a node or name while the same waits to be told is told once. A replay for which it is not
 * known whether somebody watches waits until looking is due (watchers.h), 1,024 of them at most. */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include "fs/op.h"

enum err_code notify_open(struct fs *fs, struct err *err) MUST_USE;     /* sets fs->notify */
void notify_close(struct fs *fs);       /* after kernel_abort or the unmount; joins the thread */

/* Queued; coalesced where they repeat. name is the encoded file name; borrowed. */
void notify_entry(struct fs *fs, uint64_t parent, struct bytes name);
void notify_attr(struct fs *fs, uint64_t node);

/* Where something happened elsewhere: a raw component below parent, and the node there, if one is known.
 * parent may be NULL: not known here, so nobody watches it; key spells the place in any case. */
struct notify_place {
    const struct node *parent, *node;
    struct bytes key;
    bool is_directory;          /* what came or went, should there be no node */
};
/* Replays for local watchers what happened at a place (kv_change bits; replay.h), or a rename of another
 * host. What nobody watches costs little. */
void notify_change(struct fs *fs, const struct notify_place *place, unsigned changes);
void notify_move(struct fs *fs, const struct notify_place *from, const struct notify_place *to,
                 bool is_exchange);
/* Everything may have changed: each name and all attributes are forgotten, and whoever watches something
 * hears that its record did. */
void notify_everything(struct fs *fs);
/* settled(context) once all that was queued before has been done. From the notifier's thread. */
void notify_settle(struct fs *fs, void (*settled)(void *context), void *context);
/* A request that the notifier itself makes (its replay, told by pid) is marked, and answered from memory
 * where the replay wants that: true. Every op passes here first. */
bool notify_take(struct fs_op *op);

/* The encoded name of a node below its parent, as the kernel knows it; lies in room, or is static. False:
 * it has none of its own (the root, the inner pieces of a long component). */
bool notify_name_of(const struct node *node, uint8_t room[NAME_SIZE_MAX], struct bytes *ret);

/* One-time locks life. */
enum err_code locks_open(struct fs *fs, struct err *err) MUST_USE;      /* op_lock.c; sets fs->locks */
void locks_close(struct fs *fs);

#endif
