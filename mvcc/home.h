/* The door to where a member's stores live: the current one, copies of it that go out to other members,
 * and one that arrives from another member and takes its place. home_leveldb.c is the real one, on a
 * data folder; home_memory.c keeps backends in memory, for tests and the simulator.
 *
 *     the leader                                  the follower
 *     store_checkpoint                            home_incoming_begin     manifest
 *     home_copy_open  -> manifest, mark           home_incoming_write     bytes, in order
 *     home_copy_read  -> bytes   - - - - ->       home_incoming_finish    complete, synced, verified
 *     home_copy_close                             home_incoming_open, store_adopt, backend_close
 *                                                 (mark in the log, flushed; the old store is closed)
 *                                                 home_flip, home_open, store_open
 *
 * Never: the network, the log, whose mark names what. It does not call store_adopt: what is opened here
 * may belong to another member until that was done.
 *
 * Invariants
 *   H1  Exactly one store is current, at every instant and after every crash. home_flip is the only call
 *       that changes which, in one atomic and durable step.
 *   H2  An arrival becomes current only when it was finished: complete, equal to its manifest, every row
 *       readable with its checksum, synced.
 *   H3  After a crash an arrival that was not finished is gone, a finished one that was not flipped is
 *       still there (home_incoming_open finds it), and nothing else of either is left behind.
 *   H4  A copy does not change while it is open, whatever is written, compacted or flipped meanwhile.
 *
 * Threads: home_copy_read may be called from any thread, several at once. The other home_copy calls from
 * any thread, beside everything else, the store's writer included. home_flip and the home_incoming calls: one
 * of them at a time, any thread; home_open beside them, but for home_flip.
 *
 * Errors of every call: NO_SPACE (the disk is full), IO (the text names the file). After an error of
 * home_flip nothing is known: the member stops, and its next start finds one store or the other.
 */
#ifndef MVCC_HOME_H
#define MVCC_HOME_H

#include "mvcc/backend.h"
#include "mvcc/store.h"
#include "proto/base/limits.h"

/* ---- what a copy consists of ---- */

#define HOME_NAME_SIZE 32               /* of a file, with its NUL */

struct home_file {
    char name[HOME_NAME_SIZE];
    uint64_t size;                      /* at least 1 */
    uint32_t crc;                       /* crc32c of all of it */
};

struct home_manifest {
    uint64_t id;                        /* a hash of the files: equal ids, equal copies */
    struct home_file *files;            /* in the order in which they are sent */
    size_t count;
};

/* Appends the bytes that home_manifest_decode reads, at most HOME_MANIFEST_SIZE_MAX. */
void home_manifest_encode(const struct home_manifest *manifest, struct buf *ret);
/* Bytes from another member. CORRUPT: cut, too long, a count, size or name out of bounds, a name twice,
 * an id that is not the files'. Names are letters, digits, '.' and '-', and do not begin with '.'. */
enum err_code home_manifest_decode(struct bytes from, struct home_manifest *ret,
                                   struct err *err) MUST_USE;
uint64_t home_manifest_bytes(const struct home_manifest *manifest);     /* the sizes of all files */
void home_manifest_release(struct home_manifest *manifest);             /* harmless on a zeroed one */

/* The first byte that is not there yet; file is the manifest's count when all are. */
struct home_position {
    size_t file;
    uint64_t offset;
};

/* ---- the door ---- */

struct home;

/* What is thought of the current store. It ends with it: a flip brings a sound one. */
enum home_verdict {
    HOME_SOUND,
    HOME_CONDEMNED,     /* it is not what the other members have: nothing is to be served from it */
    HOME_TO_FETCH,      /* and another one is to be fetched from them */
};

/* Implementations embed this. */
struct home_copy {
    struct home *home;
    struct home_manifest manifest;
    struct store_mark mark;             /* what the copy's own rows say; at or above the checkpoint */
};

struct home_ops {
    enum err_code (*open)(struct home *home, bool create, struct backend **ret, struct err *err);
    enum err_code (*copy_open)(struct home *home, struct backend *backend, struct home_copy **ret,
                               struct err *err);
    enum err_code (*copy_read)(struct home_copy *copy, size_t file, uint64_t offset, void *to,
                               size_t size, struct err *err);
    void (*copy_close)(struct home_copy *copy);
    enum err_code (*incoming_begin)(struct home *home, const struct home_manifest *manifest,
                                    struct home_position *ret, struct err *err);
    enum err_code (*incoming_write)(struct home *home, size_t file, uint64_t offset,
                                    struct bytes from, struct home_position *ret,
                                    struct err *err);
    enum err_code (*incoming_finish)(struct home *home, struct err *err);
    enum err_code (*incoming_open)(struct home *home, struct backend **ret, struct err *err);
    enum err_code (*incoming_discard)(struct home *home, struct err *err);
    enum err_code (*flip)(struct home *home, struct err *err);
    enum err_code (*judge)(struct home *home, enum home_verdict verdict, struct err *err);
    enum home_verdict (*verdict)(const struct home *home);
    enum err_code (*room)(struct home *home, uint64_t *ret_total, uint64_t *ret_free,
                          struct err *err);
    enum err_code (*reserve)(struct home *home, struct err *err);
    enum err_code (*give_back)(struct home *home, struct err *err);
};

struct home {
    const struct home_ops *ops;
};

/* The current store's backend; the caller owns it, and has one of them open at a time. Errors as
 * backend_leveldb_open: NOT_FOUND (no store and create not set), CORRUPT. */
static inline MUST_USE enum err_code home_open(struct home *home, bool create,
                                               struct backend **ret, struct err *err)
{
    return home->ops->open(home, create, ret, err);
}

/* A copy of what the tables of the current store's open backend hold now. After a store_checkpoint that
 * is everything applied then, and maybe more. The backend stays open meanwhile. Blocks for as long as reading it all once takes; the
 * writer goes on beside it. CORRUPT: the store's own files do not fit together, or its rows say no mark;
 * TOO_BIG: more than HOME_FILES_MAX files. */
static inline MUST_USE enum err_code home_copy_open(struct home *home, struct backend *backend,
                                                    struct home_copy **ret, struct err *err)
{
    return home->ops->copy_open(home, backend, ret, err);
}

/* Reads exactly size bytes. INVALID: no such file, or not that many bytes in it (what was asked for came
 * from another member); IO. */
static inline MUST_USE enum err_code home_copy_read(struct home_copy *copy, size_t file,
                                                    uint64_t offset, void *to, size_t size,
                                                    struct err *err)
{
    return copy->home->ops->copy_read(copy, file, offset, to, size, err);
}

/* Its files go. Nobody is inside a read. NULL is fine. */
static inline void home_copy_close(struct home_copy *copy)
{
    if (copy)
        copy->home->ops->copy_close(copy);
}

/* Begins an arrival, or goes on with the one of the same manifest: *ret is where. An unfinished one of
 * another manifest is discarded. The manifest is copied. Errors:
 *   BUSY      a finished arrival of another manifest is there: flip or discard it
 *   INVALID   the files are not those of a store
 *   NO_SPACE  it does not fit on the disk: nothing was written */
static inline MUST_USE enum err_code home_incoming_begin(struct home *home,
                                                         const struct home_manifest *manifest,
                                                         struct home_position *ret,
                                                         struct err *err)
{
    return home->ops->incoming_begin(home, manifest, ret, err);
}

/* Bytes of one file, in order: file after file, offset after offset. Those that are there already are
 * passed over. *ret is where it goes on. INVALID: no arrival has begun, a gap, more bytes than the file
 * has. After another error the arrival must be discarded. */
static inline MUST_USE enum err_code home_incoming_write(struct home *home, size_t file,
                                                         uint64_t offset, struct bytes from,
                                                         struct home_position *ret,
                                                         struct err *err)
{
    return home->ops->incoming_write(home, file, offset, from, ret, err);
}

/* All is there: makes it durable, compares it with its manifest, reads every row. Once this returned OK
 * the arrival survives a crash. Again on a finished one: OK. Blocks. INVALID: something is missing, or
 * no arrival has begun; CORRUPT: a file differs from the manifest, or a row is unreadable (the arrival
 * is of no use: discard it). */
static inline MUST_USE enum err_code home_incoming_finish(struct home *home, struct err *err)
{
    return home->ops->incoming_finish(home, err);
}

/* The backend of the finished arrival, for store_adopt; the caller closes it before home_flip and
 * home_incoming_discard. At a start this tells whether there is one. NOT_FOUND: there is none. */
static inline MUST_USE enum err_code home_incoming_open(struct home *home, struct backend **ret,
                                                        struct err *err)
{
    return home->ops->incoming_open(home, ret, err);
}

/* What has arrived, finished or not, goes; nothing is fine. */
static inline MUST_USE enum err_code home_incoming_discard(struct home *home, struct err *err)
{
    return home->ops->incoming_discard(home, err);
}

/* The finished arrival, adopted, is the current store from here on, and the old one goes. Neither's
 * backend is open. INVALID: no finished arrival; nothing was done. */
static inline MUST_USE enum err_code home_flip(struct home *home, struct err *err)
{
    return home->ops->flip(home, err);
}

/* Durable when it returns. Beside everything but home_flip. */
static inline MUST_USE enum err_code home_judge(struct home *home, enum home_verdict verdict,
                                                struct err *err)
{
    return home->ops->judge(home, verdict, err);
}

static inline enum home_verdict home_verdict(const struct home *home)
{
    return home->ops->verdict(home);
}

/* ---- room on the disk; any thread, one of these at a time, beside everything else; they block ---- */

/* Bytes of the disk that it is on, and those of them that are free to this process. */
static inline MUST_USE enum err_code home_room(struct home *home, uint64_t *ret_total,
                                               uint64_t *ret_free, struct err *err)
{
    return home->ops->room(home, ret_total, ret_free, err);
}

/* Sets HOME_RESERVE_SIZE aside, really allocated; again: OK. It survives a crash. NO_SPACE: that would leave
 * less than SPACE_LOW free; nothing is left behind. */
static inline MUST_USE enum err_code home_reserve(struct home *home, struct err *err)
{
    return home->ops->reserve(home, err);
}

/* What was set aside is free again; without a reserve: OK. */
static inline MUST_USE enum err_code home_give_back(struct home *home, struct err *err)
{
    return home->ops->give_back(home, err);
}

/* ---- LevelDB, in a data folder ---- */

/*   DATA/store/      the current store, while there is no DATA/current
 *   DATA/store-N/    the current store after a flip; or one that arrives
 *   DATA/current     names the current one's folder; replaced by rename
 *   DATA/arrival     names the folder of a finished arrival
 *   DATA/verdict     names the current one's folder, and what is thought of it; absent: it is sound
 *   DATA/copies/     copies going out: hard links
 *   DATA/reserve     room set aside; one that is not whole goes at a start, and any where less than SPACE_LOW
 *                    is free: a member whose disk filled while it was down still opens its log and store
 *
 * Takes what is there, and removes what a crash left: copies, and each folder that neither file names.
 * The data folder exists and is locked by the caller. Errors: CORRUPT (current, arrival or verdict is
 * damaged: the text says which; nothing was removed), IO. */
enum err_code home_leveldb_new(const char *data_folder, struct home **ret,
                               struct err *err) MUST_USE;
/* No copy and no backend is open. An unfinished arrival goes. NULL is fine. */
void home_leveldb_free(struct home *home);

/* ---- memory ---- */

struct rand;

/* What survives a simulated crash. A copy is one file, "rows". */
struct home_memory;
struct home_memory *home_memory_new(size_t log_size_max);       /* as backend_memory_new */
void home_memory_free(struct home_memory *memory);              /* nothing of it is open; NULL is fine */
struct home *home_memory_door(struct home_memory *memory);
/* The current store's rows; NULL before the first home_open. The memory's own; until the next flip. */
struct backend_memory *home_memory_current(struct home_memory *memory);
/* No copy is made of it any more: NO_SPACE. Until the next flip. */
void home_memory_refuse_copies(struct home_memory *memory);
/* The disk is full, or has room again: stores are not opened, nothing begins to arrive, and the current one's
 * backend does as backend_memory_fill says. */
void home_memory_fill(struct home_memory *memory, bool is_full);
/* What is free from now on, of which home_reserve takes; without limit until then. */
void home_memory_set_free(struct home_memory *memory, uint64_t free_bytes);
/* The power goes; no backend and no copy is open. An unfinished arrival vanishes. Of the current store
 * and of a finished arrival each loses the batches after one that is drawn, at or above its durable one. */
void home_memory_crash(struct home_memory *memory, struct rand *rand);

#endif
