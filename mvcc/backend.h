/* The door to ordered bytes: rows by key, written in atomic batches, read at snapshots. LevelDB is the
 * real one (backend_leveldb.c); backend_memory.c keeps rows in memory, for tests and the simulator.
 *
 * Never: what a row means.
 *
 * Threads: write, log_current and flush belong to the one writer; everything else may be called from
 * any thread at any time, beside the writer. A snapshot or an iterator belongs to one thread at a time.
 *
 * Durability is not promised by write. The backend has numbered logs; what was written while log N was
 * the current one is durable for certain once log N no longer exists (log_exists), and after a crash
 * what is found is the state after some batch at or above the last one so covered: never half a batch,
 * never a later batch without an earlier one.
 *
 * Errors of every call: IO (the text says what), NO_SPACE (of write, log_current, flush and the openings: the
 * disk is full, or a quota of the system's), CORRUPT (a row does not pass its checksum). After a failed write
 * the backend refuses each further one until it is closed and opened again: the member stops, or opens the
 * store again once there is room (store_reattach).
 */
#ifndef MVCC_BACKEND_H
#define MVCC_BACKEND_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"

struct backend;
struct backend_snapshot;
struct backend_iterator;

/* One row of a batch. Later rows win over earlier ones of the same key. */
struct backend_op {
    struct bytes key, value;
    bool is_delete;
};

struct backend_ops {
    /* Appends the value to ret. snapshot NULL: newest. NOT_FOUND (without a text): no such row. */
    enum err_code (*get)(struct backend *backend, const struct backend_snapshot *snapshot,
                         struct bytes key, struct buf *ret, struct err *err);
    enum err_code (*write)(struct backend *backend, const struct backend_op *ops, size_t count,
                           struct err *err);
    /* passing: what is read through it will hardly be read again, and is kept in no cache. */
    struct backend_snapshot *(*snapshot_new)(struct backend *backend, bool passing);
    void (*snapshot_free)(struct backend *backend, struct backend_snapshot *snapshot);
    /* Sees one state for its whole life: the snapshot's, or (NULL) the newest at this moment. */
    struct backend_iterator *(*iterator_new)(struct backend *backend,
                                             const struct backend_snapshot *snapshot);
    /* The number of the log that the next write goes to. */
    enum err_code (*log_current)(struct backend *backend, uint64_t *ret, struct err *err);
    bool (*log_exists)(struct backend *backend, uint64_t number);
    /* Asks for the current log to be replaced and its rows to be made durable. It may return without
     * having done so, and without an error: look at log_exists and ask again. */
    enum err_code (*flush)(struct backend *backend, struct err *err);
    /* Deletes the logs that opening moved aside. */
    enum err_code (*forget_logs)(struct backend *backend, struct err *err);
    void (*close)(struct backend *backend);
};

struct backend {
    const struct backend_ops *ops;
};

struct backend_iterator_ops {
    void (*seek)(struct backend_iterator *iterator, struct bytes key);      /* first at or after key */
    void (*seek_last)(struct backend_iterator *iterator);
    void (*next)(struct backend_iterator *iterator);                        /* only when valid */
    void (*previous)(struct backend_iterator *iterator);                    /* only when valid */
    /* False when there is no such row, or on an error: see status. */
    bool (*valid)(const struct backend_iterator *iterator);
    struct bytes (*key)(const struct backend_iterator *iterator);           /* until it moves */
    struct bytes (*value)(const struct backend_iterator *iterator);
    enum err_code (*status)(const struct backend_iterator *iterator, struct err *err);
    void (*free)(struct backend_iterator *iterator);
};

struct backend_iterator {
    const struct backend_iterator_ops *ops;
};

static inline void backend_close(struct backend *backend)
{
    if (backend)
        backend->ops->close(backend);
}

/* ---- LevelDB ---- */

struct backend_leveldb_options {
    const char *folder;                 /* created when it is missing and create is set */
    bool create;
    size_t write_buffer_size;           /* 0: WRITE_BUFFER_SIZE */
};

/* Opens a folder with paranoid checks, after its *.log files were moved into folder/aside: LevelDB's own
 * log is never trusted. What the tables hold is what is found. The process must not fork afterwards:
 * LevelDB's thread would stay behind and flushes hang. Errors: NOT_FOUND (no store there and create not
 * set), CORRUPT (tables or MANIFEST do not pass), IO (folder, lock held by another process). */
enum err_code backend_leveldb_open(struct backend **ret,
                                   const struct backend_leveldb_options *options,
                                   struct err *err) MUST_USE;

/* ---- memory ---- */

/* What survives a simulated crash: the rows, and which batches are durable. Outlives its backends. */
struct backend_memory;
struct backend_memory *backend_memory_new(size_t log_size_max);     /* bytes per log; 0: 64 KiB */
void backend_memory_free(struct backend_memory *memory);            /* none of its backends is open */
/* A backend on it; one at a time. Never fails. */
struct backend *backend_memory_open(struct backend_memory *memory);
/* A backend on a memory of its own, which goes when it is closed. */
struct backend *backend_memory_lone(void);
/* Batches written ever, and how many of the first of them are durable for certain. */
uint64_t backend_memory_batches(struct backend_memory *memory);
uint64_t backend_memory_durable(struct backend_memory *memory);
/* The disk is full, or has room again. Full, each write and flush is refused with NO_SPACE, and once one was, so
 * is each further one of this opening; the next one has what is durable alone. */
void backend_memory_fill(struct backend_memory *memory, bool is_full);
/* Loses every batch after the first keep; keep is at or above durable (CHECKed). No backend is open. */
void backend_memory_crash(struct backend_memory *memory, uint64_t keep);

#endif
