/* One request of the kernel: what was asked, the kv request it waits for, its answer.
 *
 * An op comes from a pool, is handed to the op_* function of its kind, and ends with exactly one
 * op_answer_*, after which it must not be touched. Between these it reads downwards as named steps: a
 * function submits one kv request and names the step that follows it.
 *
 *     void op_readlink(struct fs_op *op) { ... op_submit(op, readlink_on_read); }
 *     static void readlink_on_read(struct fs_op *op, enum err_code code) { ... op_answer_data(...); }
 *
 * Invariants
 *   O1  one kv request at a time; its answer (op->kv) lives until the next op_prepare or the end.
 *   O2  op->arena lives until the op ends.
 *   O3  op->node (and op->new_parent) are referenced by the op until it ends.
 *   O4  an interrupted op ends soon: its kv request is cancelled, or its cancel hook is called.
 *
 * Loop thread alone.
 */
#ifndef FS_OP_H
#define FS_OP_H

#include "fs/fs.h"

#define OP_TRIES_MAX 32                 /* lost races after which a caller is told ESTALE */

typedef void (*op_step)(struct fs_op *op, enum err_code code);

struct fs_op {
    struct fs *fs;
    struct list link;                   /* in fs->ops, or the pool */
    struct kernel_request request;      /* its names are copies (below); data is valid only until the
                                           first step has returned, see op_keep_data */
    struct node *node;                  /* of request.node */
    struct node *new_parent;            /* RENAME */
    op_step step;                       /* what follows the kv request in flight */
    struct kv_request kv;
    bool is_waiting;                    /* the kernel has been asked for interrupts */
    bool interrupted;
    bool is_replay;                     /* of the notifier's own system calls (replay.h): what is known
                                           here is enough, and it waits for nobody */
    bool any_signal;                    /* while parked: every signal ends it (a lock that is waited for),
                                           not only those that mean "stop" */
    void (*cancel)(struct fs_op *op);   /* while parked outside the kv: end it with EINTR; else NULL */
    struct list parked;                 /* the parker's list */
    uint32_t tries;
    int64_t wait_ms;                    /* how long its requests wait for a quorum; 0: fs_wait_ms */
    struct fs_file file;                /* of the last op_stat */
    struct bytes directory, base;       /* key of the last op_stat: directory + base */
    struct bytes raw;                   /* of op_take_name: the component, and how it is spelled */
    enum node_step how;
    struct bytes new_raw;               /* RENAME: of new_name below new_parent */
    enum node_step new_how;
    struct node *stat_node, *again_parent;      /* op_stat's and tree_parent_again's own */
    op_step stat_step, again_step;
    bool stat_own;
    mode_t today_file, today_directory;         /* what stands at the key of op_stat today; 0: nothing */
    int (*change)(struct fs_op *op);            /* op_attr.c's own */
    void (*change_answer)(struct fs_op *op);
    struct arena arena;
    union {                             /* what a family keeps between steps */
        void *pointer;
        uint64_t number;
        struct {
            void *a, *b;
            uint64_t c, d;
            int e, f;
        } keep;
    };
    char name_space[2][NAME_SIZE_MAX + 1];
};

/* ---- the kinds; op.c holds the one table ---- */

void op_lookup(struct fs_op *op);       /* op_lookup.c */
void op_getattr(struct fs_op *op);      /* op_attr.c */
void op_setattr(struct fs_op *op);
void op_statfs(struct fs_op *op);
void op_setxattr(struct fs_op *op);
void op_getxattr(struct fs_op *op);
void op_listxattr(struct fs_op *op);
void op_removexattr(struct fs_op *op);
void op_opendir(struct fs_op *op);      /* op_dir.c */
void op_readdir(struct fs_op *op);      /* and READDIRPLUS */
void op_releasedir(struct fs_op *op);
void op_fsyncdir(struct fs_op *op);
void op_mkdir(struct fs_op *op);
void op_rmdir(struct fs_op *op);
void op_unlink(struct fs_op *op);       /* op_link.c */
void op_symlink(struct fs_op *op);
void op_readlink(struct fs_op *op);
void op_mknod(struct fs_op *op);
void op_link(struct fs_op *op);
void op_rename(struct fs_op *op);       /* op_rename.c */
void op_open(struct fs_op *op);         /* op_file.c */
void op_create(struct fs_op *op);
void op_read(struct fs_op *op);
void op_write(struct fs_op *op);
void op_flush(struct fs_op *op);
void op_release(struct fs_op *op);
void op_fsync(struct fs_op *op);
void op_fallocate(struct fs_op *op);
void op_lseek(struct fs_op *op);
void op_poll(struct fs_op *op);         /* op.c */
void op_getlk(struct fs_op *op);        /* op_lock.c */
void op_setlk(struct fs_op *op);
void op_flock(struct fs_op *op);
/* control.c: OPEN, READ, POLL and RELEASE of .fs/NAME; the table sends them here, so that op_open and its like
 * see files alone. */
void control_open(struct fs_op *op);
void control_read(struct fs_op *op);
void control_release(struct fs_op *op);
void control_poll(struct fs_op *op);
void control_nothing(struct fs_op *op);

/* ---- steps ---- */

/* Clears op->kv for a new request of this kind (its timeout is fs_wait_ms). */
struct kv_request *op_prepare(struct fs_op *op, enum kv_kind kind);
/* Submits op->kv; step runs later, with its code. An op that was interrupted before gets CANCELED. */
void op_submit(struct fs_op *op, op_step step);
/* Parks the op outside the kv (link op->parked where it is found again). cancel is called on an
 * interrupt, maybe at once: it must op_unpark and answer, so the op is not touched after op_park.
 * op_unpark before any step goes on. */
void op_park(struct fs_op *op, struct list *where, void (*cancel)(struct fs_op *op));
void op_unpark(struct fs_op *op);
/* Copies request.data into the arena: before the first wait of whoever needs it. */
void op_keep_data(struct fs_op *op);

/* Looks up what stands at node (live or past) and decodes it into op->file; op->directory and op->base
 * spell its key. step gets OK, NOT_FOUND (also: something else has that name), or the kv's error. The
 * node's told is not touched. Read barrier: as the mount's reads= says, when `current` is set. step may run
 * before this returns.
 *
 * In the past two lookups answer: first the live tree's at the same key, behind the mount's read barrier,
 * then the revision's, whose mode today's masks (snapshot.h). So a mount with strict reads needs a quorum
 * for the past, too; whether someone may read is never decided by what this host last knew. */
void op_stat(struct fs_op *op, struct node *node, bool current, op_step step);
/* The same for a name below parent that need not have a node. name is raw. */
void op_stat_name(struct fs_op *op, struct node *parent, enum node_step how, struct bytes name,
                  op_step step);

/* ---- keys ---- */

/* The key of a file node (its value's key), in the arena. */
struct bytes op_key(struct fs_op *op, const struct node *node);
/* The raw directory that names below node stand in: empty or ending in '/'. In the arena. */
struct bytes op_directory(struct fs_op *op, const struct node *node);
/* As op_directory, appended to a buf. */
void node_directory(const struct fs *fs, const struct node *node, struct buf *ret);
void node_key(const struct fs *fs, const struct node *node, struct buf *ret);
/* A copy of from + more in the arena. */
struct bytes op_join(struct fs_op *op, struct bytes from, struct bytes more);
/* Decodes request.name for use below parent. False: answered already (ENOENT, EINVAL on making,
 * EROFS in the past, EPERM on a reserved name). making: the name is to be made. */
bool op_decode_name(struct fs_op *op, struct node *parent, struct bytes name, bool making,
                    struct layout_name *ret);
/* The same for request.name below op->node, kept as op->raw and op->how. */
bool op_take_name(struct fs_op *op, bool making);
/* The key of op->raw below op->node (for STEP_OWN_VALUE, op->node's own). ENAMETOOLONG is answered
 * where a record's key would be too long: false. */
bool op_name_key(struct fs_op *op, struct bytes *ret_key);
/* RENAME: the same two for request.new_name below op->new_parent. */
bool op_take_new_name(struct fs_op *op);
bool op_new_name_key(struct fs_op *op, struct bytes *ret_key);
bool op_key_fits(struct fs_op *op, struct bytes key);
/* Refuses what cannot be changed: past, control, ro mounts; and everything while the quorum is lost. False:
 * answered with EROFS. */
bool op_may_change(struct fs_op *op, const struct node *node);

/* ---- answers: each ends the op ---- */

void op_answer_errno(struct fs_op *op, int error);      /* 0: success without a body */
/* As the error table says (style.md): the kind decides between EROFS and ETIMEDOUT for writes and reads;
 * by_name: COMPACTED and FUTURE are ENOENT instead of ESTALE. */
void op_answer_code(struct fs_op *op, enum err_code code, bool by_name);
/* LOOKUP and makers: tells the kernel of node (its lookup count goes up) and remembers that. */
void op_answer_entry(struct fs_op *op, struct node *node, const struct fs_file *file);
void op_answer_attr(struct fs_op *op, struct node *node, const struct stat *attr);
/* False: the kernel did not take it (the caller was interrupted), so no RELEASE will come: end the handle
 * now. The op is gone either way. */
bool op_answer_open(struct fs_op *op, const struct kernel_open *open);
bool op_answer_create(struct fs_op *op, struct node *node, const struct fs_file *file,
                      const struct kernel_open *open);
void op_answer_data(struct fs_op *op, struct bytes data);
void op_answer_count(struct fs_op *op, size_t count);
void op_answer_offset(struct fs_op *op, off_t offset);
void op_answer_poll(struct fs_op *op, unsigned events);
void op_answer_lock(struct fs_op *op, const struct flock *lock);
void op_answer_statfs(struct fs_op *op, const struct statvfs *statfs);
void op_answer_none(struct fs_op *op);
/* The errno that op_answer_code sends for a kv's answer to a write, or to a read. */
int op_errno(const struct fs_op *op, enum err_code code, bool is_write, bool by_name);

/* SETXATTR and REMOVEXATTR of this request, on a record in the op's arena. 0, or what to answer: EEXIST,
 * ENODATA, ENOSPC (too much for one file). */
int op_xattr_set(struct fs_op *op, struct meta *meta);
int op_xattr_remove(struct fs_op *op, struct meta *meta);

void op_pool_release(struct fs *fs);        /* fs_close */

/* ---- making an entry: lookup, mkdir, mknod, symlink, create ---- */

/* The node of what was found at (parent, how, name), new or old; referenced for the caller. One whose
 * file is another one, or that handles hold at another revision, is replaced by a fresh one. */
struct node *op_entry_node(struct fs_op *op, struct node *parent, enum node_step how, struct bytes name,
                           const struct fs_file *file);

#endif
