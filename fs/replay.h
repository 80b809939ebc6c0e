/* inotify for changes made elsewhere: the kernel's notes cause no event, so the notifier repeats on the
 * mount what happened, as a system call of its own, and the loop answers the requests of that call from
 * memory. What local watchers see is what a local change shows:
 *
 *   content changed     open, truncate to the same size, close: MODIFY, CLOSE_WRITE (a file with an execute
 *                       bit: its times alone, because an open for writing fails someone's exec)
 *   record changed      chmod to the same mode: ATTRIB
 *   name came, went     creat or mkdir, unlink or rmdir: CREATE, DELETE
 *
 * Only for files that are watched, or whose directory is: what /proc/PID/fdinfo says, looked at at most
 * every WATCHES_AGE_MS. Never an error: a replay that fails is an event that nobody hears. */
#ifndef FS_REPLAY_H
#define FS_REPLAY_H

#include "fs/op.h"

struct replay;

/* Loop thread. */
struct replay *replay_new(struct fs *fs);
void replay_free(struct replay *replay);        /* the notifier has been joined; NULL is fine */
/* A request of the notifier's own system call: answered, and true. */
bool replay_take(struct replay *replay, struct fs_op *op);

/* ---- the notifier's thread ---- */

struct replay_change {
    uint64_t ino, parent_ino;                   /* st_ino, as watches name them */
    uint64_t parent;                            /* nodeid */
    unsigned changes;                           /* enum kv_change */
    bool is_directory;
    const char *path;                           /* below the mountpoint, encoded */
    struct bytes name;                          /* its last component */
};

void replay_run(struct replay *replay, const struct replay_change *change);

#endif
