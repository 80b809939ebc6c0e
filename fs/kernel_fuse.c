/* The kernel door over libfuse3's low-level interface. One session, read without blocking by whoever polls
 * its descriptor; each callback below fills in a struct kernel_request and hands it to fs_receive. */
#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>

#include "fs/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/follow.h"
#include "fs/fs.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define WRITE_SIZE_MAX (1 * MIB)        /* one WRITE for most files */
#define REQUESTS_PER_TURN 64            /* taken before the loop looks at anything else */
#define BACKGROUND_REQUESTS 64

struct kernel_fuse {
    struct kernel kernel;
    struct fs *fs;
    struct fuse_session *session;
    struct fuse_buf buf;
    struct follow follow;
    struct kernel_options options;
    bool mounted;
    bool can_expire;                /* the kernel can look at a name anew without dropping it */
    unsigned device_minor;          /* of the mount: its connection's number in /sys; 0: unknown */
};

/* ---- arrival ---- */

static struct kernel_fuse *door_of(fuse_req_t req) { return fuse_req_userdata(req); }

static struct kernel_request request_of(fuse_req_t req, enum kernel_kind kind, fuse_ino_t node)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct kernel_request){.kind = kind, .token = req, .node = node, .uid = ctx->uid,
                                   .gid = ctx->gid, .pid = ctx->pid, .umask = ctx->umask};
}

static void deliver(fuse_req_t req, const struct kernel_request *request)
{
    follow_request(&door_of(req)->follow, request->pid);
    fs_receive(door_of(req)->fs, request);
}

static void take_handle(struct kernel_request *request, const struct fuse_file_info *fi)
{
    if (!fi)
        return;
    request->has_handle = true;
    request->handle = fi->fh;
    request->flags = fi->flags;
    request->lock_owner = fi->lock_owner;
    request->has_lock_owner = fi->lock_owner != 0;
}

static struct bytes text(const char *name) { return bytes_of_text(name); }

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    struct kernel_fuse *door = userdata;
    door->can_expire = conn->capable & FUSE_CAP_EXPIRE_ONLY;
    unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_LOCKS |
                    FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_EXPLICIT_INVAL_DATA;
    if (door->options.readdirplus)
        want |= FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
    if (door->options.cache_symlinks)
        want |= FUSE_CAP_CACHE_SYMLINKS;
    conn->want = want & conn->capable;
    conn->max_write = WRITE_SIZE_MAX;
    conn->max_readahead = WRITE_SIZE_MAX;
    conn->max_background = BACKGROUND_REQUESTS;
    conn->time_gran = 1;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct kernel_request request = request_of(req, KERNEL_LOOKUP, parent);
    request.name = text(name);
    deliver(req, &request);
}

static void on_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
    fs_forget(door_of(req)->fs, node, count);
    fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        fs_forget(door_of(req)->fs, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_GETATTR, node);
    take_handle(&request, fi);
    deliver(req, &request);
}

static unsigned set_of(int to_set)
{
    static const struct {
        int theirs;
        unsigned ours;
    } pairs[] = {
        {FUSE_SET_ATTR_MODE, KERNEL_SET_MODE}, {FUSE_SET_ATTR_UID, KERNEL_SET_UID},
        {FUSE_SET_ATTR_GID, KERNEL_SET_GID},   {FUSE_SET_ATTR_SIZE, KERNEL_SET_SIZE},
    };
    unsigned set = 0;
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        if (to_set & pairs[i].theirs)
            set |= pairs[i].ours;
    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        set |= KERNEL_SET_ATIME_NOW;
    else if (to_set & FUSE_SET_ATTR_ATIME)
        set |= KERNEL_SET_ATIME;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        set |= KERNEL_SET_MTIME_NOW;
    else if (to_set & FUSE_SET_ATTR_MTIME)
        set |= KERNEL_SET_MTIME;
    return set;
}

static void on_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_SETATTR, node);
    take_handle(&request, fi);
    request.attr = *attr;
    request.set = set_of(to_set);
    deliver(req, &request);
}

static void on_readlink(fuse_req_t req, fuse_ino_t node)
{
    struct kernel_request request = request_of(req, KERNEL_READLINK, node);
    deliver(req, &request);
}

static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct kernel_request request = request_of(req, KERNEL_MKNOD, parent);
    request.name = text(name);
    request.mode = mode;
    request.rdev = rdev;
    deliver(req, &request);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct kernel_request request = request_of(req, KERNEL_MKDIR, parent);
    request.name = text(name);
    request.mode = mode;
    deliver(req, &request);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct kernel_request request = request_of(req, KERNEL_UNLINK, parent);
    request.name = text(name);
    deliver(req, &request);
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct kernel_request request = request_of(req, KERNEL_RMDIR, parent);
    request.name = text(name);
    deliver(req, &request);
}

static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct kernel_request request = request_of(req, KERNEL_SYMLINK, parent);
    request.name = text(name);
    request.data = text(target);
    deliver(req, &request);
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    struct kernel_request request = request_of(req, KERNEL_RENAME, parent);
    request.name = text(name);
    request.new_parent = new_parent;
    request.new_name = text(new_name);
    request.flags = (int)flags;
    deliver(req, &request);
}

static void on_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name)
{
    struct kernel_request request = request_of(req, KERNEL_LINK, node);
    request.new_parent = new_parent;
    request.new_name = text(new_name);
    deliver(req, &request);
}

static void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_OPEN, node);
    request.flags = fi->flags;
    deliver(req, &request);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_CREATE, parent);
    request.name = text(name);
    request.mode = mode;
    request.flags = fi->flags;
    deliver(req, &request);
}

static void on_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_READ, node);
    take_handle(&request, fi);
    request.size = size;
    request.offset = offset;
    deliver(req, &request);
}

static void on_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_WRITE, node);
    take_handle(&request, fi);
    request.data = bytes_of(data, size);
    request.offset = offset;
    request.is_page = fi->writepage;
    deliver(req, &request);
}

static void on_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_FLUSH, node);
    take_handle(&request, fi);
    deliver(req, &request);
}

static void on_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_RELEASE, node);
    take_handle(&request, fi);
    request.ends_flock = fi->flock_release;
    deliver(req, &request);
}

static void on_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_FSYNC, node);
    take_handle(&request, fi);
    request.datasync = datasync;
    deliver(req, &request);
}

static void on_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_OPENDIR, node);
    request.flags = fi->flags;
    deliver(req, &request);
}

static void on_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_READDIR, node);
    take_handle(&request, fi);
    request.size = size;
    request.offset = offset;
    deliver(req, &request);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_READDIRPLUS, node);
    take_handle(&request, fi);
    request.size = size;
    request.offset = offset;
    deliver(req, &request);
}

static void on_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_RELEASEDIR, node);
    take_handle(&request, fi);
    deliver(req, &request);
}

static void on_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_FSYNCDIR, node);
    take_handle(&request, fi);
    request.datasync = datasync;
    deliver(req, &request);
}

static void on_statfs(fuse_req_t req, fuse_ino_t node)
{
    struct kernel_request request = request_of(req, KERNEL_STATFS, node ? node : FUSE_ROOT_ID);
    deliver(req, &request);
}

static void on_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                        size_t size, int flags)
{
    struct kernel_request request = request_of(req, KERNEL_SETXATTR, node);
    request.name = text(name);
    request.data = bytes_of(value, size);
    request.flags = flags;
    deliver(req, &request);
}

static void on_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
    struct kernel_request request = request_of(req, KERNEL_GETXATTR, node);
    request.name = text(name);
    request.size = size;
    deliver(req, &request);
}

static void on_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
    struct kernel_request request = request_of(req, KERNEL_LISTXATTR, node);
    request.size = size;
    deliver(req, &request);
}

static void on_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
    struct kernel_request request = request_of(req, KERNEL_REMOVEXATTR, node);
    request.name = text(name);
    deliver(req, &request);
}

static void on_lock(fuse_req_t req, enum kernel_kind kind, fuse_ino_t node, struct fuse_file_info *fi,
                    const struct flock *lock, bool sleep)
{
    struct kernel_request request = request_of(req, kind, node);
    take_handle(&request, fi);
    request.has_lock_owner = true;
    request.lock = *lock;
    request.sleep = sleep;
    deliver(req, &request);
}

static void on_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock)
{
    on_lock(req, KERNEL_GETLK, node, fi, lock, false);
}

static void on_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock,
                     int sleep)
{
    on_lock(req, KERNEL_SETLK, node, fi, lock, sleep);
}

static void on_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op)
{
    struct kernel_request request = request_of(req, KERNEL_FLOCK, node);
    take_handle(&request, fi);
    request.has_lock_owner = true;
    request.lock_op = op;
    request.sleep = !(op & LOCK_NB);
    deliver(req, &request);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_FALLOCATE, node);
    take_handle(&request, fi);
    request.flags = mode;
    request.offset = offset;
    request.length = length;
    deliver(req, &request);
}

static void on_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    struct kernel_request request = request_of(req, KERNEL_LSEEK, node);
    take_handle(&request, fi);
    request.offset = offset;
    request.whence = whence;
    deliver(req, &request);
}

static void on_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll)
{
    struct kernel_request request = request_of(req, KERNEL_POLL, node);
    take_handle(&request, fi);
    request.poll = poll;
    deliver(req, &request);
}

static const struct fuse_lowlevel_ops lowlevel_ops = {
    .init = on_init, .lookup = on_lookup, .forget = on_forget, .forget_multi = on_forget_multi,
    .getattr = on_getattr, .setattr = on_setattr, .readlink = on_readlink, .mknod = on_mknod,
    .mkdir = on_mkdir, .unlink = on_unlink, .rmdir = on_rmdir, .symlink = on_symlink,
    .rename = on_rename, .link = on_link, .open = on_open, .create = on_create, .read = on_read,
    .write = on_write, .flush = on_flush, .release = on_release, .fsync = on_fsync,
    .opendir = on_opendir, .readdir = on_readdir, .readdirplus = on_readdirplus,
    .releasedir = on_releasedir, .fsyncdir = on_fsyncdir, .statfs = on_statfs,
    .setxattr = on_setxattr, .getxattr = on_getxattr, .listxattr = on_listxattr,
    .removexattr = on_removexattr, .getlk = on_getlk, .setlk = on_setlk, .flock = on_flock,
    .fallocate = on_fallocate, .lseek = on_lseek, .poll = on_poll,
};

/* ---- answers ---- */

static struct fuse_entry_param entry_param(const struct kernel_entry *entry)
{
    return (struct fuse_entry_param){
        .ino = entry->node, .generation = 1, .attr = entry->attr,
        .entry_timeout = (double)entry->entry_timeout_ns / NS_PER_S,
        .attr_timeout = (double)entry->attr_timeout_ns / NS_PER_S};
}

static struct fuse_file_info file_info(const struct kernel_open *open)
{
    return (struct fuse_file_info){.fh = open->handle, .direct_io = open->direct_io,
                                   .keep_cache = open->keep_cache, .noflush = open->no_flush,
                                   .cache_readdir = open->cache_readdir,
                                   .nonseekable = open->is_stream};
}

static int answer_count(fuse_req_t req, enum kernel_kind kind, size_t count)
{
    if (kind == KERNEL_GETXATTR || kind == KERNEL_LISTXATTR)
        return fuse_reply_xattr(req, count);
    return fuse_reply_write(req, count);
}

static int answer_data(fuse_req_t req, enum kernel_kind kind, struct bytes data)
{
    if (kind != KERNEL_READLINK)
        return fuse_reply_buf(req, (const char *)data.data, data.size);
    char target[PATH_SIZE_MAX + 1];
    size_t size = data.size < PATH_SIZE_MAX ? data.size : PATH_SIZE_MAX;
    if (size)
        memcpy(target, data.data, size);
    target[size] = 0;
    return fuse_reply_readlink(req, target);
}

static int answer_create(fuse_req_t req, const struct kernel_answer *answer)
{
    struct fuse_entry_param entry = entry_param(&answer->entry);
    struct fuse_file_info info = file_info(&answer->open);
    return fuse_reply_create(req, &entry, &info);
}

static int answer_entry(fuse_req_t req, const struct kernel_entry *from)
{
    struct fuse_entry_param entry = entry_param(from);
    return fuse_reply_entry(req, &entry);
}

static int answer_attr(fuse_req_t req, const struct kernel_entry *entry)
{
    return fuse_reply_attr(req, &entry->attr, (double)entry->attr_timeout_ns / NS_PER_S);
}

static int answer_open(fuse_req_t req, const struct kernel_open *open)
{
    struct fuse_file_info info = file_info(open);
    return fuse_reply_open(req, &info);
}

static bool fuse_answer(struct kernel *kernel, void *token, enum kernel_kind kind,
                        const struct kernel_answer *answer)
{
    fuse_req_t req = token;
    int result = 0;
    (void)kernel;
    switch (answer->kind) {
    case KERNEL_ANSWER_ERROR: result = fuse_reply_err(req, answer->error); break;
    case KERNEL_ANSWER_NONE: fuse_reply_none(req); break;
    case KERNEL_ANSWER_ENTRY: result = answer_entry(req, &answer->entry); break;
    case KERNEL_ANSWER_ATTR: result = answer_attr(req, &answer->entry); break;
    case KERNEL_ANSWER_OPEN: result = answer_open(req, &answer->open); break;
    case KERNEL_ANSWER_CREATE: result = answer_create(req, answer); break;
    case KERNEL_ANSWER_DATA: result = answer_data(req, kind, answer->data); break;
    case KERNEL_ANSWER_COUNT: result = answer_count(req, kind, answer->count); break;
    case KERNEL_ANSWER_STATFS: result = fuse_reply_statfs(req, &answer->statfs); break;
    case KERNEL_ANSWER_LOCK: result = fuse_reply_lock(req, &answer->lock); break;
    case KERNEL_ANSWER_POLL: result = fuse_reply_poll(req, (unsigned)answer->count); break;
    case KERNEL_ANSWER_OFFSET: result = fuse_reply_lseek(req, answer->offset); break;
    }
    return result == 0;
}

static void on_interrupt(fuse_req_t req, void *data)
{
    (void)req;
    fs_interrupt(data);
}

static void fuse_expect_interrupt(struct kernel *kernel, void *token, struct fs_op *op)
{
    (void)kernel;
    fuse_req_interrupt_func(token, on_interrupt, op);
}

static size_t fuse_add_entry(struct kernel *kernel, void *token, uint8_t *to, size_t room,
                             const char *name, const struct kernel_entry *entry, off_t next, bool plus)
{
    (void)kernel;
    if (!plus)
        return fuse_add_direntry(token, (char *)to, room, name, &entry->attr, next);
    struct fuse_entry_param param = entry_param(entry);
    return fuse_add_direntry_plus(token, (char *)to, room, name, &param, next);
}

static void fuse_poll_end(struct kernel *kernel, void *poll, bool wake)
{
    (void)kernel;
    if (wake)
        (void)fuse_lowlevel_notify_poll(poll);  /* whom it would wake may have gone */
    fuse_pollhandle_destroy(poll);
}

/* Where the kernel can, the name is looked up again by whoever uses it next, instead of being dropped: what
 * is mounted there stays, and who is in it keeps knowing where he is. */
static int forget_entry(const struct kernel_fuse *door, uint64_t parent, struct bytes name)
{
    const char *text = (const char *)name.data;
    if (!door->can_expire)
        return -fuse_lowlevel_notify_inval_entry(door->session, parent, text, name.size);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
    return -fuse_lowlevel_notify_expire_entry(door->session, parent, text, name.size);
#else
    return -fuse_lowlevel_notify_expire_entry(door->session, parent, text, name.size,
                                              FUSE_LL_EXPIRE_ONLY);
#endif
}

static int fuse_note(struct kernel *kernel, const struct kernel_note *note)
{
    const struct kernel_fuse *door = container_of(kernel, struct kernel_fuse, kernel);
    struct fuse_session *session = door->session;
    const char *name = (const char *)note->name.data;
    switch (note->kind) {
    case KERNEL_NOTE_ENTRY: return forget_entry(door, note->node, note->name);
    case KERNEL_NOTE_ATTR: return -fuse_lowlevel_notify_inval_inode(session, note->node, -1, 0);
    case KERNEL_NOTE_DELETE:
        return -fuse_lowlevel_notify_delete(session, note->node, note->child, name, note->name.size);
    }
    return EINVAL;
}

static const struct kernel_ops fuse_ops = {
    .answer = fuse_answer, .expect_interrupt = fuse_expect_interrupt, .add_entry = fuse_add_entry,
    .poll_end = fuse_poll_end, .note = fuse_note,
};

/* ---- the session ---- */

/* Mount options as one -o text: a comma or backslash in the name is escaped, as libfuse reads it. */
static char *mount_options(const struct kernel_options *options)
{
    struct buf out = {0};
    buf_append_format(&out, "default_permissions,subtype=concordfs,fsname=");
    for (const char *at = options->fsname; *at; at++) {
        if (*at == ',' || *at == '\\')
            buf_append_u8(&out, '\\');
        buf_append_u8(&out, (uint8_t)*at);
    }
    if (options->allow_other)
        buf_append(&out, BYTES_LITERAL(",allow_other"));
    if (options->read_only)
        buf_append(&out, BYTES_LITERAL(",ro"));
    if (!options->allow_dev_suid)
        buf_append(&out, BYTES_LITERAL(",nosuid,nodev"));
    else
        buf_append(&out, BYTES_LITERAL(",suid,dev"));
    buf_append(&out, BYTES_LITERAL(",noatime"));
    char *all = bytes_to_text(buf_bytes(&out));
    buf_release(&out);
    return all;
}

static struct fuse_session *session_new(struct kernel_fuse *door)
{
    char *options = mount_options(&door->options);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    bool ok = fuse_opt_add_arg(&args, "concordfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
              fuse_opt_add_arg(&args, options) == 0 &&
              (!door->options.debug || fuse_opt_add_arg(&args, "-d") == 0);
    struct fuse_session *session =
        ok ? fuse_session_new(&args, &lowlevel_ops, sizeof(lowlevel_ops), door) : NULL;
    fuse_opt_free_args(&args);
    free(options);
    return session;
}

/* Without asking the mount itself, which nobody answers yet. */
static unsigned device_minor_of(const char *path)
{
    struct statx found;
    int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
    return statx(AT_FDCWD, path, flags, STATX_TYPE, &found) == 0 ? found.stx_dev_minor : 0;
}

enum err_code kernel_open(struct kernel **ret, const struct kernel_options *options, struct fs *fs,
                          struct err *err)
{
    struct kernel_fuse *door = mem_xzalloc(sizeof(*door));
    door->kernel.ops = &fuse_ops;
    door->fs = fs;
    door->options = *options;
    follow_init(&door->follow, follow_system());
    door->session = session_new(door);
    if (!door->session) {
        free(door);
        return err_set(err, ERR_INVALID, "the mount options of \"%s\" were refused", options->mountpoint);
    }
    if (fuse_session_mount(door->session, options->mountpoint) != 0) {
        kernel_close(&door->kernel);
        return err_set(err, ERR_INVALID, "\"%s\" could not be mounted", options->mountpoint);
    }
    door->mounted = true;
    door->device_minor = device_minor_of(options->mountpoint);
    int fd = fuse_session_fd(door->session);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        int error = errno;
        kernel_close(&door->kernel);
        return err_set_errno(err, error, "the descriptor of \"%s\"", options->mountpoint);
    }
    *ret = &door->kernel;
    return ERR_OK;
}

int kernel_fd(struct kernel *kernel)
{
    return fuse_session_fd(container_of(kernel, struct kernel_fuse, kernel)->session);
}

bool kernel_readable(struct kernel *kernel)
{
    struct kernel_fuse *door = container_of(kernel, struct kernel_fuse, kernel);
    for (int i = 0; i < REQUESTS_PER_TURN && !fuse_session_exited(door->session); i++) {
        int size = fuse_session_receive_buf(door->session, &door->buf);
        if (size == -EINTR)
            continue;
        if (size == -EAGAIN)
            break;
        if (size <= 0)
            return false;
        fuse_session_process_buf(door->session, &door->buf);
    }
    return !fuse_session_exited(door->session);
}

void kernel_unmount(struct kernel *kernel)
{
    struct kernel_fuse *door = container_of(kernel, struct kernel_fuse, kernel);
    if (!door->mounted)
        return;
    door->mounted = false;
    fuse_session_unmount(door->session);
}

/* /sys/fs/fuse/connections/N/abort, where N is the minor of the mount's device. */
void kernel_abort(struct kernel *kernel)
{
    struct kernel_fuse *door = container_of(kernel, struct kernel_fuse, kernel);
    if (!door->mounted || door->device_minor == 0)
        return;
    char path[64];
    snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", door->device_minor);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t written = write(fd, "1", 1);
    (void)written;
    close(fd);
}

void kernel_close(struct kernel *kernel)
{
    if (!kernel)
        return;
    struct kernel_fuse *door = container_of(kernel, struct kernel_fuse, kernel);
    kernel_unmount(kernel);
    fuse_session_destroy(door->session);
    free(door->buf.mem);
    free(door);
}
