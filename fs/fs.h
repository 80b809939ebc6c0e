/* A filesystem over a kv: its options and its life.
 *
 * Everything of it runs on the loop thread that owns the kv; the notifier alone has a thread (notify.h).
 * The loop is known only by what this header asks of it: call kernel_readable when the descriptor is,
 * and fs_on_alarm when the time that set_alarm named has come.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include "fs/kernel.h"
#include "fs/layout.h"
#include "fs/nodes.h"
#include "proto/base/list.h"
#include "proto/base/trace.h"
#include "proto/kv.h"

#define FS_ELECTION_WAIT_MS 1000        /* longer than an election */

enum fs_reads { FS_READS_STRICT, FS_READS_LOCAL };
enum fs_locks { FS_LOCKS_CLUSTER, FS_LOCKS_LOCAL };

/* Mount options. Borrowed text lives as long as the filesystem. */
struct fs_options {
    const char *prefix;                 /* default "/"; empty or ending in '/' */
    const char *snapshot_name;          /* ".snapshot" */
    int64_t timeo_ms;                   /* how long a quorum is waited for */
    enum fs_reads reads;
    enum fs_locks locks;
    bool read_only;
    bool inotify;                       /* replay remote changes for local watchers */
    uid_t uid;                          /* of files without a record */
    gid_t gid;
    mode_t fmask, dmask;                /* taken from 0666 and 0777 of files without a record */
    uint64_t file_size_max;             /* 0: the cluster's setting; else the smaller counts */
    const char *mountpoint;             /* as the notifier reaches it */
    const char *data_path;              /* where conflicts are kept; NULL: nowhere */
};

/* What fs asks of the loop. */
struct fs_loop {
    /* Call fs_on_alarm once, delay_ms from now (0: soon); replaces an earlier one. Negative: never. */
    void (*set_alarm)(struct fs_loop *loop, int64_t delay_ms);
};

/* A timer inside its owner's struct; loop thread alone. */
struct fs_timer {
    struct list link;
    int64_t at_ms;
    void (*fire)(struct fs_timer *timer);
};

struct fs_op;
struct fs_locks_table;
struct notify;
struct handles;

struct fs {
    struct fs_options options;
    struct kv *kv;
    unsigned capabilities;              /* of kv */
    struct kernel *kernel;
    struct fs_loop *loop;
    struct trace *trace;
    struct layout layout;
    struct nodes nodes;
    struct list ops;                    /* in flight */
    struct list free_ops;
    uint32_t op_count, free_op_count;
    struct list timers;                 /* by at_ms */
    struct list streams;                /* stream.c: open .fs/watch */
    struct list texts;                  /* control.c: other open control files */
    int64_t names_believed_ms;          /* cache.c: when the kernel was last told a name that it may believe;
                                           0: never */
    struct kv_observer observer;        /* cache.c, and the two that follow */
    kv_rev changed_revision;            /* of the last change of somebody else */
    struct {
        kv_rev revision;                /* of the last rename of somebody else */
        struct buf from, to;
    } moving;
    struct kv_status status;            /* as of status_ms; see fs_status */
    int64_t status_ms;
    bool stopping;
    uint64_t requests, errors;          /* since the mount; shown by .fs/status */
    uint32_t renames;                   /* op_rename.c: txns in flight */
    struct handles *handles;            /* handle.c: every open file, and what hangs on them */
    struct fs_locks_table *locks;       /* op_lock.c */
    struct notify *notify;              /* notify.c */
};

/* ---- life ---- */

/* kv and loop outlive it. Nothing is mounted yet: give the kernel to fs_attach. INVALID: an option. */
enum err_code fs_open(struct fs **ret, const struct fs_options *options, struct kv *kv,
                      struct fs_loop *loop, struct trace *trace, struct err *err) MUST_USE;
/* The mount is there: the notifier starts, and the kv is heard. NO_MEMORY, IO: the notifier's thread. */
enum err_code fs_attach(struct fs *fs, struct kernel *kernel, struct err *err) MUST_USE;
/* No request comes any more (the kernel is unmounted or aborted): commits what is staged, cancels what
 * waits. fs_is_idle turns true when the last op has ended; then close. */
void fs_stop(struct fs *fs);
/* The same without saving: the kv has ended, and every request to it has been answered. */
void fs_abandon(struct fs *fs);
bool fs_is_idle(const struct fs *fs);
void fs_close(struct fs *fs);           /* NULL is fine */

/* ---- the loop calls ---- */

void fs_on_alarm(struct fs *fs);

/* ---- the kernel door calls ---- */

/* Takes one request. Answered now or later, exactly once, through fs->kernel. */
void fs_receive(struct fs *fs, const struct kernel_request *request);
void fs_forget(struct fs *fs, uint64_t node, uint64_t count);
/* The caller of this op does not want to wait any longer. */
void fs_interrupt(struct fs_op *op);

/* ---- inside the filesystem ---- */

int64_t fs_now_ms(void);                /* monotonic, coarse */
/* The member's status, at most 50 ms old. */
const struct kv_status *fs_status(struct fs *fs);
/* For as long as a request would wait: whoever begins to change something is told at once. */
bool fs_quorum_is_lost(struct fs *fs);
/* For whoever waits no longer than an election: that, or timeo where it is shorter. */
int64_t fs_election_wait_ms(const struct fs *fs);
/* How long a request waits for a quorum: timeo; when it has been lost for as long, an election. */
int64_t fs_wait_ms(struct fs *fs);
/* Set again replaces; cancel of one that is not set is harmless (after fs_timer_init). */
void fs_timer_init(struct fs_timer *timer, void (*fire)(struct fs_timer *timer));
void fs_timer_set(struct fs *fs, struct fs_timer *timer, int64_t delay_ms);
void fs_timer_cancel(struct fs_timer *timer);
/* The largest file that users may make here. */
uint64_t fs_file_size_max(struct fs *fs);

#endif
