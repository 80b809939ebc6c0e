/* Open files, as handle.c, content.c, save.c and op_file.c share them.
 *
 * A handle is an open file description. It begins pinned to the version that OPEN found: `file` says what
 * that is, `content` holds its bytes once someone has read them. With the first change its `staging`
 * begins, and reads go there. A save (save.c) publishes what is staged and moves the handle on to the
 * version it made.
 *
 * Invariants
 *   H1  a handle is in its node's list and holds a reference on the node as long as it lives.
 *   H2  it lives until RELEASE, and beyond while a save is in flight.
 *   H3  one save of a handle at a time.
 *   H4  node->pinned_revision is the version of the node's clean reading handles.
 *
 * Loop thread alone.
 */
#ifndef FS_HANDLE_INTERNAL_H
#define FS_HANDLE_INTERNAL_H

#include "fs/attempt.h"
#include "fs/handle.h"
#include "fs/moves.h"
#include "fs/process.h"
#include "fs/staging.h"
#include "fs/tree.h"
#include "proto/base/rand.h"

#define CONTENT_BUCKETS 256
#define CONTENT_BYTES_MAX (128LL * MIB)     /* of versions kept for readers; beyond it the longest unused
                                               is read again when it is needed */
#define UNUSED_CONTENTS_MAX 128             /* small versions kept for those who open the file next */
#define UNUSED_CONTENT_SIZE_MAX (64 * KIB)
#define STAGED_BYTES_MAX (512LL * MIB)      /* of views of writing handles; beyond it ENOSPC */
#define HANDLES_MAX 65536                   /* then ENFILE */
#define ESTALE_THREADS_MAX 1024
#define BARE_TRUNCATE_MS 5000               /* no timer under this publishes while the opener lives */
#define APPEND_MS 1000
#define APPEND_BYTES_MAX (64 * KIB)

/* One version's bytes, shared by every handle pinned to it; a small one stays for a while without any. */
struct content {
    struct list bucket, used;               /* used: longest unused first */
    struct list unused;                     /* without references: the longest so first */
    struct bytes key;                       /* owned */
    kv_rev mod_revision;
    struct blob *blob;                      /* NULL: not read yet, or dropped */
    uint32_t references;
};

struct estale {
    pid_t thread;
    int64_t at_ms;
    uint64_t request;                       /* fs->requests at that answer */
};

struct handles {
    struct fs *fs;
    struct list all;
    struct handle **slots;
    uint32_t *generations;
    uint32_t slot_count, count;
    uint64_t opened;                        /* so far: the order of opening */
    struct list contents[CONTENT_BUCKETS], used_contents, unused_contents;
    size_t unused_content_count;
    uint64_t content_bytes, staged_bytes;
    struct process_door *processes;
    struct estale estale[ESTALE_THREADS_MAX];
    uint32_t estale_count;
    uint32_t saves;                         /* running */
    struct list turns;                      /* saves that wait for their node's saver */
    struct conflict conflicts[CONFLICTS_MAX];
    size_t conflict_count, conflict_bytes;
    uint64_t conflict_number;
    struct rand rand;                       /* file ids */
};

/* The state of a handle's save; see save.c. */
struct save {
    bool running;                           /* in flight, or waiting for its turn */
    bool only_creates;                      /* a pending name, empty; what is staged stays staged */
    bool last_wins;                         /* compare the file's life alone, not its version */
    bool puts_content, puts_meta, creates;
    uint32_t tries;
    int64_t until_ms;                       /* a lost race and BUSY are repeated until then */
    struct list turn;                       /* in handles->turns while another saves this node */
    struct fs_op op;                        /* carries kv request and arena; no request of the kernel */
    struct fs_file newest;                  /* what the txn is based on */
    struct blob *newest_content;            /* NULL: not read */
    struct buf content;                     /* what is put */
    struct meta meta;
    size_t read_index;
    struct fs_timer again;
};

struct handle {
    struct handles *handles;
    struct list all, of_node;
    uint64_t id;                            /* what the kernel calls it; 0: internal */
    struct node *node;
    int flags;                              /* of open(2) */
    bool readable, writable;
    bool removed;                           /* its file is gone: what is written stays here */
    bool made_here;                         /* by CREATE with O_EXCL, not written yet */
    struct process opener;
    uint64_t number;                        /* handles->opened */

    /* what it is pinned to */
    struct fs_file file;
    struct arena arena;                     /* of file.meta's xattrs */
    struct buf key;
    kv_rev store_revision;                  /* the file was this at that revision of the store */
    struct content *content;

    /* what is written */
    struct staging staging;
    size_t staged_bytes;                    /* counted in handles->staged_bytes */
    kv_time touched;                        /* last write, this host's clock: shown until it is saved */
    bool appends;                           /* the last write was an append */
    size_t appended;                        /* bytes since the last save began */
    bool wrote, foreign_flush, opener_out;
    bool refused;                           /* a FLUSH or FSYNC has reported that it is not saved */
    uint32_t bare_flushes;
    struct fs_timer timer;

    /* saving */
    struct save save;
    struct list waiting;                    /* ops: for the save in flight */
    struct list queued;                     /* ops: for the one after it */
    struct list awaiting;                   /* ops: until the saves begun by RELEASE have ended */
    struct moves moves;                     /* since it was based */
    struct attempt attempt;                 /* open: what is frozen may have been saved */
    bool conflict_kept;
    bool released;
    bool awaited;                           /* node->commits counts it */
    uint32_t references;
};

/* ---- handle.c ---- */

/* A handle on node pinned to file, with one reference, for the kernel or (internal) not. NULL: there are
 * too many. */
struct handle *handle_new(struct fs *fs, struct node *node, const struct fs_file *file,
                          struct bytes key, kv_rev store_revision, int flags, bool internal);
struct handle *handle_ref(struct handle *handle);
void handle_unref(struct handle *handle);
/* By what the kernel says; NULL: there is no such one on this node. */
struct handle *handle_of(struct fs_op *op);
/* Makes it pinned to file. */
void handle_set_file(struct handle *handle, const struct fs_file *file);
/* What a process sees through it. */
void handle_attr(const struct handle *handle, struct stat *ret);
void handle_update_pins(struct node *node);
/* Whether this handle has something that only it knows. */
bool handle_is_dirty(const struct handle *handle);
/* Nothing has been written through it, and nothing is to be saved but an emptied or empty file. */
bool handle_is_bare(const struct handle *handle);
/* After a change was staged: counts bytes, sets timers. */
void handle_on_staged(struct handle *handle);
bool handle_belongs_to(const struct handle *handle, pid_t thread);
/* ESTALE may be answered to this thread: once. */
bool handle_may_answer_estale(struct handles *handles, pid_t thread);
/* This thread was sent back, has walked to this node since, and is on its way still: what stood there then
 * is what it looks for. */
bool handle_walked_since_estale(struct handles *handles, pid_t thread, const struct node *node);
void handle_forget_estale(struct handles *handles, pid_t thread);
kv_time handle_now(void);               /* this host's clock */
void meta_copy(struct meta *to, const struct meta *from, struct arena *arena);

/* ---- content.c ---- */

struct content *content_get(struct handles *handles, struct bytes key, kv_rev mod_revision);
void content_unref(struct handles *handles, struct content *content);
void contents_release(struct handles *handles);         /* those without references; no other is there */
void content_fill(struct handles *handles, struct content *content, struct blob *blob);    /* given */
void content_touch(struct handles *handles, struct content *content);
/* Has the handle's version read; step gets OK with handle->content->blob there. One that is there already
 * is used at once: false, and step is not called. COMPACTED: it is gone. */
bool content_load(struct fs_op *op, struct handle *handle, op_step step);

/* Lets the staging begin, with the content the handle is pinned to (or empty, when that is truncated
 * away). True: it has to be read first, and step follows; then call it again unless step has an error.
 * False: ret_code is OK, or NO_SPACE: too much is staged. Uses op->keep.b. */
bool handle_begin(struct fs_op *op, struct handle *handle, bool empty, op_step step,
                  enum err_code *ret_code);

/* ---- save.c ---- */

/* Publishes what is staged, including what is being saved now. The op (may be NULL) is parked; step runs
 * with the outcome, later. */
void handle_save(struct handle *handle, struct fs_op *op, op_step step);
/* Makes a pending name, empty, for everyone. */
void handle_save_name(struct handle *handle, struct fs_op *op, op_step step);
/* RELEASE: publishes what is left, and later LOOKUPs wait for it. */
void handle_save_released(struct handle *handle);
void save_init(struct handle *handle);
void save_release(struct save *save);

/* ---- conflict.c ---- */

void conflict_keep(struct handles *handles, const struct handle *handle);
void conflicts_release(struct handles *handles);

#endif
