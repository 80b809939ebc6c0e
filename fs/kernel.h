/* The door to the kernel: requests in, answers out, and notes that tell it to forget.
 *
 * Never: meaning. What a request asks is decided in op_*.c; this header only says what can be asked and
 * answered. kernel_fuse.c is the real one (libfuse3, low level); a simulated one fills in the same
 * table.
 *
 * Threads: requests arrive and are answered on the loop thread. note() may be called from any thread
 * and may block until requests that are in flight have been answered, so it is never called on the
 * loop thread, with one exception that never blocks: an attribute note (KERNEL_NOTE_ATTR).
 */
#ifndef FS_KERNEL_H
#define FS_KERNEL_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

enum kernel_kind {
    KERNEL_LOOKUP, KERNEL_GETATTR, KERNEL_SETATTR, KERNEL_READLINK, KERNEL_MKNOD, KERNEL_MKDIR,
    KERNEL_UNLINK, KERNEL_RMDIR, KERNEL_SYMLINK, KERNEL_RENAME, KERNEL_LINK, KERNEL_OPEN, KERNEL_CREATE,
    KERNEL_READ, KERNEL_WRITE, KERNEL_FLUSH, KERNEL_RELEASE, KERNEL_FSYNC, KERNEL_OPENDIR,
    KERNEL_READDIR, KERNEL_READDIRPLUS, KERNEL_RELEASEDIR, KERNEL_FSYNCDIR, KERNEL_STATFS,
    KERNEL_SETXATTR, KERNEL_GETXATTR, KERNEL_LISTXATTR, KERNEL_REMOVEXATTR, KERNEL_GETLK, KERNEL_SETLK,
    KERNEL_FLOCK, KERNEL_FALLOCATE, KERNEL_LSEEK, KERNEL_POLL,
    KERNEL_KIND_COUNT
};

/* What SETATTR sets. */
enum kernel_set {
    KERNEL_SET_MODE = 1 << 0, KERNEL_SET_UID = 1 << 1, KERNEL_SET_GID = 1 << 2, KERNEL_SET_SIZE = 1 << 3,
    KERNEL_SET_ATIME = 1 << 4, KERNEL_SET_MTIME = 1 << 5,
    KERNEL_SET_ATIME_NOW = 1 << 6, KERNEL_SET_MTIME_NOW = 1 << 7    /* instead of the bit above */
};

/* One request. Which fields count depends on the kind; the others are zero. Bytes are borrowed: they
 * live until fs_receive has returned (op.h copies the names; data is the op's business). */
struct kernel_request {
    enum kernel_kind kind;
    void *token;                    /* the door's own; handed back with the answer */
    uint64_t node;                  /* nodeid; the parent where there is a name */
    uint64_t new_parent;            /* RENAME; LINK: the node that gets another name is node */
    struct bytes name, new_name;    /* RENAME both; xattrs: the attribute's name */
    struct bytes data;              /* WRITE; SYMLINK: the target; SETXATTR: the value */
    uid_t uid;                      /* of the caller; 0 and pid 0 where the kernel itself asks */
    gid_t gid;
    pid_t pid;                      /* a thread id; 0: not visible from the mount's namespace */
    mode_t umask;
    bool has_handle;                /* handle counts */
    uint64_t handle;                /* what OPEN, CREATE or OPENDIR answered */
    int flags;                      /* OPEN, CREATE, READ, WRITE: open(2); RENAME: renameat2(2);
                                       SETXATTR: setxattr(2); FALLOCATE: its mode */
    mode_t mode;                    /* MKNOD, MKDIR, CREATE */
    dev_t rdev;
    off_t offset;                   /* READ, WRITE, READDIR, FALLOCATE, LSEEK */
    off_t length;                   /* FALLOCATE */
    size_t size;                    /* READ, READDIR, GETXATTR, LISTXATTR: room for the answer */
    unsigned set;                   /* SETATTR: enum kernel_set; values in attr */
    struct stat attr;
    bool datasync;                  /* FSYNC */
    bool is_page;                   /* WRITE from the page cache; its pid is not the writer's */
    bool ends_flock;                /* RELEASE: flock locks of the owner end */
    bool sleep;                     /* SETLK: wait for it */
    uint64_t lock_owner;            /* FLUSH, RELEASE, READ, WRITE, locks; see has_lock_owner */
    bool has_lock_owner;            /* a READ without one is a page fault */
    struct flock lock;              /* GETLK, SETLK; l_pid is the owner's process */
    int lock_op;                    /* FLOCK: LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB */
    int whence;                     /* LSEEK: SEEK_DATA, SEEK_HOLE */
    void *poll;                     /* POLL: the kernel wants to be woken, once: goes to poll_end. Else NULL */
};

struct kernel_entry {
    uint64_t node;                  /* 0: a negative entry that may be cached */
    struct stat attr;               /* st_ino is what users see */
    int64_t entry_timeout_ns, attr_timeout_ns;
};

struct kernel_open {
    uint64_t handle;
    bool direct_io, keep_cache, no_flush, cache_readdir;
    bool is_stream;                 /* it has no positions */
};

enum kernel_answer_kind {
    KERNEL_ANSWER_ERROR,            /* error: a positive errno, or 0 for success without a body */
    KERNEL_ANSWER_NONE,             /* nothing is sent (the request expects no answer) */
    KERNEL_ANSWER_ENTRY,            /* LOOKUP, MKNOD, MKDIR, SYMLINK */
    KERNEL_ANSWER_ATTR,             /* GETATTR, SETATTR: entry.attr and entry.attr_timeout_ns */
    KERNEL_ANSWER_OPEN,             /* OPEN, OPENDIR */
    KERNEL_ANSWER_CREATE,           /* CREATE: entry and open */
    KERNEL_ANSWER_DATA,             /* READ, READDIR*, GETXATTR, LISTXATTR; READLINK with is_link */
    KERNEL_ANSWER_COUNT,            /* WRITE: bytes taken; GETXATTR, LISTXATTR of size 0: room needed */
    KERNEL_ANSWER_STATFS, KERNEL_ANSWER_LOCK, KERNEL_ANSWER_OFFSET,
    KERNEL_ANSWER_POLL              /* count: poll(2)'s bits */
};

struct kernel_answer {
    enum kernel_answer_kind kind;
    int error;
    struct kernel_entry entry;
    struct kernel_open open;
    struct bytes data;
    size_t count;
    off_t offset;
    struct flock lock;
    struct statvfs statfs;
};

enum kernel_note_kind {
    KERNEL_NOTE_ENTRY,              /* forget the name below node; may block */
    KERNEL_NOTE_ATTR,               /* forget node's attributes, never its data; does not block */
    KERNEL_NOTE_DELETE              /* the name is gone: as ENTRY, and watchers of child hear it */
};

struct kernel_note {
    enum kernel_note_kind kind;
    uint64_t node, child;
    struct bytes name;
};

struct fs_op;
struct kernel;

struct kernel_ops {
    /* Answers a request; its token ends. False: the kernel no longer waits, so that what the answer gave
     * it (a lookup, a handle) was not taken and no FORGET or RELEASE will come. */
    bool (*answer)(struct kernel *kernel, void *token, enum kernel_kind kind,
                   const struct kernel_answer *answer);
    /* From now on an interrupt of this request calls fs_interrupt(op), maybe at once. */
    void (*expect_interrupt)(struct kernel *kernel, void *token, struct fs_op *op);
    /* Appends one directory entry to room bytes at to; what it needs; more than room: nothing was
     * written. next: the offset that continues behind it. plus: the form of READDIRPLUS. */
    size_t (*add_entry)(struct kernel *kernel, void *token, uint8_t *to, size_t room,
                        const char *name, const struct kernel_entry *entry, off_t next, bool plus);
    /* Takes a request's poll; wake: whoever polls is to ask again. Never blocks. Loop thread. */
    void (*poll_end)(struct kernel *kernel, void *poll, bool wake);
    /* 0, or a positive errno: ENOENT when the kernel holds no such node or name. Any thread. */
    int (*note)(struct kernel *kernel, const struct kernel_note *note);
};

struct kernel {
    const struct kernel_ops *ops;
};

/* ---- the real one (kernel_fuse.c) ---- */

struct fs;

struct kernel_options {
    const char *mountpoint;
    const char *fsname;
    bool allow_other, read_only, allow_dev_suid;
    bool readdirplus;               /* entries of listings carry attributes where that saves lookups */
    bool cache_symlinks;            /* read-only trees alone */
    bool debug;
};

/* Mounts. Requests go to fs once kernel_readable is called. INVALID: the mount failed (text says why). */
enum err_code kernel_open(struct kernel **ret, const struct kernel_options *options, struct fs *fs,
                          struct err *err) MUST_USE;
int kernel_fd(struct kernel *kernel);       /* to be polled for reading */
/* Takes up to a bounded number of requests. False when the mount has ended (unmounted or aborted). */
bool kernel_readable(struct kernel *kernel);
/* Unmounts, after which the fd ends. Requests in flight may still be answered. */
void kernel_unmount(struct kernel *kernel);
/* Ends every request that waits in the kernel for us, so that no thread of ours stays in a system call
 * on our own mount. */
void kernel_abort(struct kernel *kernel);
void kernel_close(struct kernel *kernel);   /* NULL is fine; no op in flight */

#endif
