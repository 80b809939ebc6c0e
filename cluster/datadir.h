/* The data folder of a member: who may use it, and whose it is.
 *
 *   DATA/lock       held while a member runs (flock); the holder's process id inside
 *   DATA/identity   text: format, cluster, member, generation, name, each a line, a checksum last
 *   DATA/generations  which folder each other member has (cluster/generations.h)
 *   DATA/options    text: where it listens and is reached, whether it stays a learner (cluster/start.h)
 *   DATA/joining    text: what a member that is yet to join asks for, until its identity stands
 *   DATA/wal/       the log
 *   DATA/store/     the store: LevelDB's folder, until a store arrives from another member; that one has
 *                   a folder store-N, which the file DATA/current names then (mvcc/home.h, which also
 *                   has DATA/arrival, DATA/verdict and DATA/copies/)
 *   DATA/mount      who serves which mount (fs/mount_note.h)
 *   DATA/sock       the local socket   DATA/log      what the daemon says when in the background
 *
 * A folder counts as a member's once its identity stands; before that nothing in it was promised to
 * anyone, so a first start that died halfway is cleared and begun again. Any thread, no state kept.
 *
 * The small files and the log are reached by the door to the disk alone, so that the simulator can lose what
 * was not synced of them; folder, lock and stores are the system's.
 */
#ifndef CLUSTER_DATADIR_H
#define CLUSTER_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "wal/disk.h"

#define DATADIR_FORMAT 1

struct identity {
    uint64_t cluster_id, member_id;
    uint64_t generation;            /* drawn by chance once per folder */
    char name[64];                  /* of the member; shown to people */
};

struct datadir {
    char *path;                     /* absolute; what messages call it */
    int lock_fd;                    /* -1: not open */
    struct disk *disk;              /* its files: datadir_open's, or (tests) somebody's own */
    bool has_identity;
    struct identity identity;
};

/* Creates the folder (0700) and its parents as needed, takes the lock, reads the identity. Errors:
 *   BUSY      another process holds the lock (text names its process id)
 *   INVALID   the path is no folder
 *   CORRUPT   the identity is damaged or of a format we do not know (text says what to do)
 *   IO, NO_SPACE, DENIED   a system call */
enum err_code datadir_open(struct datadir *dir, const char *path, struct err *err) MUST_USE;
/* Gives up the lock. Harmless on a zeroed or closed one. */
void datadir_close(struct datadir *dir);

/* What datadir_open does last: whose the folder is. Errors: CORRUPT, IO. */
enum err_code datadir_read_identity(struct datadir *dir, struct err *err) MUST_USE;
/* Removes what an unfinished first start left of the log and of what it knew of others. Only without an
 * identity. */
enum err_code datadir_clear(struct datadir *dir, struct err *err) MUST_USE;
/* Likewise of the stores and what names them; before they are opened. */
enum err_code datadir_clear_stores(struct datadir *dir, struct err *err) MUST_USE;
/* Writes the identity durably: from here on the folder is this member's. */
enum err_code datadir_set_identity(struct datadir *dir, const struct identity *identity,
                                   struct err *err) MUST_USE;
/* The folder is nobody's again, durably. Only where nothing was promised under the identity: a cluster that
 * never formed, with a log and store that are not open. */
enum err_code datadir_drop_identity(struct datadir *dir, struct err *err) MUST_USE;
/* DATA/name; the caller frees it. */
char *datadir_path(const struct datadir *dir, const char *name);

/* Where a member keeps its data when nobody says: /var/lib/concordfs for root, else
 * $XDG_STATE_HOME/concordfs or ~/.local/state/concordfs. The caller frees it; NULL without $HOME. */
char *datadir_default(void);

#endif
