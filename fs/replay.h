/* inotify for changes made elsewhere: the kernel's notes cause no event, so the notifier repeats on the
 * mount what happened, as system calls of its own, and the loop answers the requests of these calls from
 * memory: nothing is changed, nobody is asked. What local watchers see is what a local change shows:
 *
 *   content changed     open, truncate to the same size, close: OPEN, MODIFY, CLOSE_WRITE (a file with an
 *                       execute bit: its time alone, because an open for writing fails someone's exec)
 *   record changed      chmod to the same mode: ATTRIB
 *   name came, went     creat, mkdir, mknod or symlink; unlink or rmdir: CREATE (a file that is not empty:
 *                       MODIFY and CLOSE_WRITE too), DELETE
 *   renamed             rename: MOVED_FROM, MOVED_TO with one cookie
 *
 * It is replayed by path for watchers of the directory, and by node for those of a file whose name has
 * another node by now (nodes.h; that needs CAP_DAC_READ_SEARCH, without it they hear nothing).
 *
 * Never: for what nobody watches (watchers.h says who does, and what looking costs); for what this mount
 * changed itself, which the kernel has told already. Never an error: a replay that fails is an event that
 * nobody hears. Where the one who mounted is not root, he must be allowed to do what is replayed.
 *
 * Nothing outside of the mount is ever touched, whatever others put in place of a directory meanwhile: the
 * system calls are made beneath a descriptor of the mount's root (beneath.h). That is opened for each
 * replay, because the mount cannot be taken away while it is open. What the notifier looks up on the way
 * the loop answers as it answers everyone: the notifier may wait for the loop, never the other way round.
 *
 * What a replay costs is its system calls: some five requests, 0.1 to 0.3 ms, of the notifier's thread.
 */
#ifndef FS_REPLAY_H
#define FS_REPLAY_H

#include "fs/op.h"

struct replay;

/* Loop thread. */
struct replay *replay_new(struct fs *fs);
void replay_free(struct replay *replay);        /* the notifier has been joined; NULL is fine */
/* Called for every request. One of the notifier's own threads is marked (op->is_replay) and, where the
 * answer is to be what the replay needs, answered: true. */
bool replay_take(struct replay *replay, struct fs_op *op);

/* ---- the notifier's thread ---- */

struct replay_change {
    unsigned changes;                           /* enum kv_change; a NAME is found to have come or gone */
    bool is_move, is_exchange;
    bool is_directory;                          /* what came or went, if nothing is known there */
    uint64_t ino;                               /* st_ino of what stands or stood there; 0: unknown, so
                                                   nobody watches it */
    uint64_t directory_ino, to_directory_ino;   /* 0: not known here, so nobody watches it */
    struct bytes path, to_path;                 /* below the mountpoint, encoded; each ends in a NUL that
                                                   does not count. to: a move's alone */
    struct bytes key, to_key;
};

/* Before anything else of this section, once. */
void replay_begin(struct replay *replay);
/* Whether somebody watches it, as far as is known. */
bool replay_is_watched(const struct replay *replay, const struct replay_change *change);
/* Looks anew who watches; when that is due by fs_now_ms. */
void replay_look(struct replay *replay);
int64_t replay_look_due_ms(const struct replay *replay);
void replay_run(struct replay *replay, const struct replay_change *change);

#endif
