#include "fs/replay.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/beneath.h"
#include "fs/cache.h"
#include "fs/notify.h"
#include "fs/watchers.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define HANDLE_REPLAY 0                 /* no open file has that number */
#define PHANTOM_INO_BIT (UINT64_C(1) << 62)

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

enum replay_verb { REPLAY_NOTHING, REPLAY_TOUCH, REPLAY_MAKE, REPLAY_REMOVE, REPLAY_MOVE };

struct replay {
    struct fs *fs;
    char *mountpoint;
    atomic_int thread;                  /* the notifier's id; 0 before replay_begin */
    pthread_mutex_t mutex;              /* guards the expectation; it changes between system calls alone */
    enum replay_verb verb;
    struct replay_change expected;      /* its bytes are the notifier's, and live while verb says more
                                           than NOTHING */
    /* the thread's own */
    struct watchers *watchers;
    dev_t device;                       /* the mount's; 0: unknown, so nobody watches */
};

struct replay *replay_new(struct fs *fs)
{
    struct replay *replay = mem_xzalloc(sizeof(*replay));
    replay->fs = fs;
    replay->mountpoint = mem_xstrdup(fs->options.mountpoint);
    replay->watchers = watchers_new("/proc");
    pthread_mutex_init(&replay->mutex, NULL);
    return replay;
}

void replay_free(struct replay *replay)
{
    if (!replay)
        return;
    pthread_mutex_destroy(&replay->mutex);
    watchers_free(replay->watchers);
    free(replay->mountpoint);
    free(replay);
}

/* ---- who watches ---- */

void replay_begin(struct replay *replay)
{
    atomic_store(&replay->thread, (int)syscall(SYS_gettid));
    if (beneath_device(replay->mountpoint, &replay->device) != 0)
        replay->device = 0;
}

static bool has_watcher(const struct replay *replay, uint64_t ino)
{
    size_t place = 0;
    return ino != 0 && watchers_find(replay->watchers, ino, &place) != NULL;
}

bool replay_is_watched(const struct replay *replay, const struct replay_change *change)
{
    return has_watcher(replay, change->directory_ino) || has_watcher(replay, change->ino) ||
           has_watcher(replay, change->to_directory_ino);
}

void replay_look(struct replay *replay)
{
    watchers_look(replay->watchers, replay->device);
}

int64_t replay_look_due_ms(const struct replay *replay)
{
    return watchers_due_ms(replay->watchers);
}

/* ---- the system calls ---- */

static void expect(struct replay *replay, enum replay_verb verb, const struct replay_change *change)
{
    pthread_mutex_lock(&replay->mutex);
    replay->verb = verb;
    replay->expected = *change;
    pthread_mutex_unlock(&replay->mutex);
}

static void end_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* What an O_PATH descriptor stands for: no name is looked up again, so nothing comes in between. */
struct self_path {
    char text[32];
};

static struct self_path self_path(int fd)
{
    struct self_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

/* With both of its times it would be a change of attributes alone. */
static void set_time(int node, const struct stat *attr)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, attr->st_mtim};
    (void)!utimensat(AT_FDCWD, self_path(node).text, times, 0);
}

static void write_nothing(int node, const struct stat *attr)
{
    if (attr->st_mode & 0111) {
        set_time(node, attr);
        return;
    }
    int fd = open(self_path(node).text, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!ftruncate(fd, attr->st_size);
    end_open(fd);
}

/* Anything but files and directories is left alone: what a link leads to is not meant. */
static void replay_touch(int node, const struct stat *attr, unsigned changes)
{
    if (S_ISREG(attr->st_mode) && (changes & KV_CHANGED_VALUE))
        write_nothing(node, attr);
    else if (S_ISREG(attr->st_mode) || (S_ISDIR(attr->st_mode) && (changes & KV_CHANGED_META)))
        (void)!chmod(self_path(node).text, attr->st_mode & 07777);
}

/* What has that name, and its attributes; the caller closes it. 0 or an errno. */
static int find(const struct beneath *at, int *ret_node, struct stat *ret_attr)
{
    int node = -1, error = beneath_find(at, &node);
    if (!error && fstat(node, ret_attr) != 0) {
        error = errno;
        close(node);
    }
    if (!error)
        *ret_node = node;
    return error;
}

/* A file that must not be opened for writing. Its name is there once it has been made. */
static void replay_make_program(struct replay *replay, const struct beneath *at,
                                const struct stat *attr, const struct replay_change *change)
{
    int node;
    if (mknodat(at->directory, at->name, attr->st_mode, 0) != 0 || attr->st_size == 0)
        return;
    expect(replay, REPLAY_TOUCH, change);
    if (beneath_find(at, &node) != 0)
        return;
    set_time(node, attr);
    close(node);
}

static void replay_make_file(struct replay *replay, const struct beneath *at, const struct stat *attr,
                             const struct replay_change *change)
{
    if (attr->st_mode & 0111) {
        replay_make_program(replay, at, attr, change);
        return;
    }
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(at->directory, at->name, flags, attr->st_mode & 07777);
    if (fd >= 0 && attr->st_size)
        (void)!ftruncate(fd, attr->st_size);
    end_open(fd);
}

static void replay_make(struct replay *replay, const struct beneath *at, const struct stat *attr,
                        const struct replay_change *change)
{
    switch (attr->st_mode & S_IFMT) {
    case S_IFDIR: (void)!mkdirat(at->directory, at->name, attr->st_mode & 07777); break;
    case S_IFREG: replay_make_file(replay, at, attr, change); break;
    case S_IFLNK: (void)!symlinkat(".", at->directory, at->name); break;
    case S_IFIFO:
    case S_IFSOCK: (void)!mknodat(at->directory, at->name, attr->st_mode, 0); break;
    default: break;                     /* a device needs a right that the replay may not have */
    }
}

/* ---- by node ---- */

struct node_handle {
    struct file_handle head;
    uint8_t room[WATCHER_HANDLE_MAX];
};

static bool same_handle(const struct watcher *watcher, const struct file_handle *handle)
{
    return watcher->handle_size == handle->handle_bytes &&
           watcher->handle_type == handle->handle_type &&
           memcmp(watcher->handle, handle->f_handle, handle->handle_bytes) == 0;
}

static void touch_node(const struct watcher *watcher, int mount, unsigned changes)
{
    struct node_handle handle = {.head = {.handle_bytes = watcher->handle_size,
                                          .handle_type = watcher->handle_type}};
    struct stat attr;
    memcpy(handle.head.f_handle, watcher->handle, watcher->handle_size);
    int node = open_by_handle_at(mount, &handle.head, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node >= 0 && fstat(node, &attr) == 0)
        replay_touch(node, &attr, changes);
    end_open(node);
}

/* Those who watch the file at a node that its name no longer leads to. */
static void touch_other_nodes(struct replay *replay, int root, int node,
                              const struct replay_change *change)
{
    struct node_handle now = {.head.handle_bytes = WATCHER_HANDLE_MAX};
    struct file_handle last = {0};
    const struct watcher *watcher, *before = NULL;
    int mount = -1, mount_id;
    size_t place = 0;
    if (name_to_handle_at(node, "", &now.head, &mount_id, AT_EMPTY_PATH) != 0)
        now.head = last;
    while ((watcher = watchers_find(replay->watchers, change->ino, &place)) != NULL) {
        bool again = before && watcher->handle_size == before->handle_size &&
                     memcmp(watcher->handle, before->handle, before->handle_size) == 0;
        if (watcher->handle_size == 0 || again || same_handle(watcher, &now.head))
            continue;
        if (mount < 0)
            mount = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount >= 0)
            touch_node(watcher, mount, change->changes);
        before = watcher;
    }
    end_open(mount);
}

/* ---- one change ---- */

static void replay_move(struct replay *replay, int root, const struct beneath *from,
                        const struct replay_change *change)
{
    struct beneath to = BENEATH_NONE;
    if (beneath_open(root, (const char *)change->to_path.data, &to) != 0)
        return;
    expect(replay, REPLAY_MOVE, change);
    (void)!renameat2(from->directory, from->name, to.directory, to.name,
                     change->is_exchange ? RENAME_EXCHANGE : 0);
    beneath_close(&to);
}

static void replay_name(struct replay *replay, const struct beneath *at,
                        const struct replay_change *change)
{
    struct stat attr;
    int node = -1, error = find(at, &node, &attr);
    end_open(node);
    if (!error) {
        expect(replay, REPLAY_MAKE, change);
        replay_make(replay, at, &attr, change);
    } else if (error == ENOENT) {
        expect(replay, REPLAY_REMOVE, change);
        (void)!unlinkat(at->directory, at->name, change->is_directory ? AT_REMOVEDIR : 0);
    }
}

static void replay_here(struct replay *replay, int root, const struct beneath *at,
                        const struct replay_change *change)
{
    struct stat attr;
    int node;
    if (find(at, &node, &attr) != 0)
        return;
    expect(replay, REPLAY_TOUCH, change);
    replay_touch(node, &attr, change->changes);
    if (has_watcher(replay, change->ino))
        touch_other_nodes(replay, root, node, change);
    close(node);
}

/* Nothing is expected while the way is walked: its LOOKUPs are answered as everyone's. */
void replay_run(struct replay *replay, const struct replay_change *change)
{
    struct beneath at = BENEATH_NONE;
    int root;
    if (beneath_root(replay->mountpoint, replay->device, &root) != 0)
        return;
    if (beneath_open(root, (const char *)change->path.data, &at) == 0) {
        if (change->is_move)
            replay_move(replay, root, &at, change);
        else if (change->changes & KV_CHANGED_NAME)
            replay_name(replay, &at, change);
        else
            replay_here(replay, root, &at, change);
    }
    expect(replay, REPLAY_NOTHING, change);
    beneath_close(&at);
    close(root);
}

/* ---- the loop answers ---- */

/* What the request's name is to the replay that runs: neither, what it is about, or where that goes. */
enum place { PLACE_OTHER, PLACE_FROM, PLACE_TO };

static enum place place_of(struct fs_op *op, const struct replay_change *expected)
{
    struct layout_name name;
    struct buf key = {0};
    enum place place = PLACE_OTHER;
    enum layout_place where = op->node->parent ? LAYOUT_IN_DIRECTORY : LAYOUT_IN_ROOT;
    if (op->node->kind != NODE_LIVE || !layout_decode_name(op->request.name, where, &name) ||
        name.kind != LAYOUT_COMPONENT)
        return PLACE_OTHER;
    node_directory(op->fs, op->node, &key);
    buf_append(&key, bytes_of(name.raw, name.size));
    if (bytes_equal(buf_bytes(&key), expected->key))
        place = PLACE_FROM;
    else if (bytes_equal(buf_bytes(&key), expected->to_key))
        place = PLACE_TO;
    buf_release(&key);
    return place;
}

static struct fs_file file_of(const struct node *node)
{
    return (struct fs_file){.attr = node->told.attr, .has_key = true,
                            .create_revision = node->told.create_revision,
                            .mod_revision = node->told.mod_revision,
                            .meta_mod_revision = node->told.meta_mod_revision,
                            .directory_create_revision = node->told.directory_create_revision};
}

/* The name has gone, and the call that takes it away is to find it once more: the node that was there, or
 * where none was known, one that stands for it. */
static void take_gone_lookup(struct fs_op *op, bool is_directory)
{
    struct nodes *nodes = &op->fs->nodes;
    if (!op_take_name(op, false))
        return;
    struct node *node = node_find(nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    if (node && node->told.known) {
        struct fs_file file = file_of(node);
        op_answer_entry(op, node, &file);
        return;
    }
    struct fs_file file = {0};
    uint64_t ino = hash_bytes(op->node->id, op->raw) >> 2 | PHANTOM_INO_BIT;
    layout_virtual(&op->fs->layout, ino, is_directory ? S_IFDIR | 0700 : S_IFREG | 0600, 0, 0,
                   &file.attr);
    node = node_new(nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    op_answer_entry(op, node, &file);
    node_unref(nodes, node);
}

static const struct node *known_at(struct fs_op *op, struct bytes raw)
{
    struct node *node = node_find(&op->fs->nodes, op->node, NODE_LIVE, STEP_COMPONENT, raw, 0);
    return node && node->told.known ? node : NULL;
}

/* Where something was moved to: what stood there before, if that is known, goes with the move. What was
 * moved may have been found there already; it is not what was replaced. */
static void take_target_lookup(struct fs_op *op, const struct replay_change *expected)
{
    if (!op_take_name(op, false))
        return;
    const struct node *node = known_at(op, op->raw);
    bool was_there = node && node->told.attr.st_ino != expected->ino &&
                     S_ISDIR(node->told.attr.st_mode) == expected->is_directory;
    if (expected->is_exchange || was_there)
        take_gone_lookup(op, expected->is_directory);
    else
        op_answer_errno(op, ENOENT);
}

static void made_on_stat(struct fs_op *op, enum err_code code)
{
    struct kernel_open open = {.handle = HANDLE_REPLAY, .direct_io = true};
    struct fs *fs = op->fs;
    if (code != ERR_OK) {
        op_answer_errno(op, ENOENT);
        return;
    }
    struct node *node = op_entry_node(op, op->node, op->how, op->raw, &op->file);
    if (op->request.kind == KERNEL_CREATE)
        (void)op_answer_create(op, node, &op->file, &open);
    else
        op_answer_entry(op, node, &op->file);
    node_unref(&fs->nodes, node);
}

static void take_made(struct fs_op *op)
{
    if (op_take_name(op, false))
        op_stat_name(op, op->node, op->how, op->raw, made_on_stat);
}

static void take_removed(struct fs_op *op)
{
    struct nodes *nodes = &op->fs->nodes;
    if (!op_take_name(op, false))
        return;
    struct node *node = node_find(nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    if (node)
        node_remove(nodes, node);
    op_answer_errno(op, 0);
}

/* The nodes move as the kernel's names do. */
static void take_moved(struct fs_op *op, bool is_exchange)
{
    struct nodes *nodes = &op->fs->nodes;
    if (!op_take_name(op, false) || !op_take_new_name(op))
        return;
    struct node *target = node_find(nodes, op->new_parent, NODE_LIVE, op->new_how, op->new_raw, 0);
    if (is_exchange) {
        node_exchange(nodes, op->node, op->raw, op->how, op->new_parent, op->new_raw, op->new_how);
    } else {
        if (target)
            node_remove(nodes, target);
        node_move(nodes, op->node, op->raw, op->how, op->new_parent, op->new_raw, op->new_how);
    }
    op_answer_errno(op, 0);
}

static void take_open(struct fs_op *op)
{
    struct kernel_open open = {.handle = HANDLE_REPLAY, .direct_io = true};
    (void)op_answer_open(op, &open);
}

static bool take_lookup(struct fs_op *op, enum replay_verb verb, const struct replay_change *expected)
{
    enum place place = verb == REPLAY_TOUCH ? PLACE_OTHER : place_of(op, expected);
    if (place == PLACE_TO)
        take_target_lookup(op, expected);
    else if (place == PLACE_FROM && verb == REPLAY_MAKE)
        op_answer_errno(op, ENOENT);
    else if (place == PLACE_FROM)
        take_gone_lookup(op, expected->is_directory);
    return place != PLACE_OTHER;
}

static bool take(struct fs_op *op, enum replay_verb verb, const struct replay_change *expected)
{
    switch (op->request.kind) {
    case KERNEL_LOOKUP: return take_lookup(op, verb, expected);
    case KERNEL_CREATE:
    case KERNEL_MKDIR:
    case KERNEL_MKNOD:
    case KERNEL_SYMLINK: take_made(op); return true;
    case KERNEL_UNLINK:
    case KERNEL_RMDIR: take_removed(op); return true;
    case KERNEL_RENAME: take_moved(op, expected->is_exchange); return true;
    case KERNEL_OPEN: take_open(op); return true;
    case KERNEL_SETATTR: op_answer_attr(op, op->node, &op->node->told.attr); return true;
    default: return false;
    }
}

bool replay_take(struct replay *replay, struct fs_op *op)
{
    const struct kernel_request *request = &op->request;
    if ((request->kind == KERNEL_RELEASE || request->kind == KERNEL_FLUSH) &&
        request->handle == HANDLE_REPLAY && op->node->kind == NODE_LIVE &&
        S_ISREG(op->node->told.attr.st_mode)) {
        op_answer_errno(op, 0);         /* the end of one comes when nothing is expected any more */
        return true;
    }
    if (request->pid == 0 || request->pid != atomic_load(&replay->thread))
        return false;
    op->is_replay = true;
    pthread_mutex_lock(&replay->mutex);
    enum replay_verb verb = replay->verb;
    struct replay_change expected = replay->expected;
    pthread_mutex_unlock(&replay->mutex);
    return verb != REPLAY_NOTHING && take(op, verb, &expected);
}
