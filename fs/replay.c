#include "fs/replay.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/cache.h"
#include "fs/notify.h"
#include "proto/base/mem.h"

#define WATCHES_AGE_MS 100
#define WATCHES_MAX 65536
#define HANDLE_REPLAY 0                 /* no open file has that number */

enum replay_verb { REPLAY_NOTHING, REPLAY_TOUCH, REPLAY_MAKE, REPLAY_REMOVE };

struct replay {
    struct fs *fs;
    char *mountpoint;
    atomic_int thread;                  /* the notifier's id; 0 before its first replay */
    pthread_mutex_t mutex;              /* guards the expectation */
    enum replay_verb verb;
    uint64_t parent;
    char name[NAME_SIZE_MAX + 1];
    /* the thread's own */
    bool has_device;
    unsigned device;                    /* the mount's, as fdinfo spells it */
    uint64_t *watches;
    size_t watch_count;
    int64_t watches_ms;
};

struct replay *replay_new(struct fs *fs)
{
    struct replay *replay = mem_xzalloc(sizeof(*replay));
    replay->fs = fs;
    replay->mountpoint = mem_xstrdup(fs->options.mountpoint);
    pthread_mutex_init(&replay->mutex, NULL);
    return replay;
}

void replay_free(struct replay *replay)
{
    if (!replay)
        return;
    pthread_mutex_destroy(&replay->mutex);
    free(replay->mountpoint);
    free(replay->watches);
    free(replay);
}

/* ---- who watches ---- */

static void watch_add(struct replay *replay, uint64_t ino)
{
    if (replay->watch_count == WATCHES_MAX)
        return;
    if (replay->watch_count % 64 == 0)
        replay->watches = mem_xrealloc(replay->watches,
                                       (replay->watch_count + 64) * sizeof(*replay->watches));
    replay->watches[replay->watch_count++] = ino;
}

/* "inotify wd:1 ino:2f sdev:31 mask:...", numbers in hex. */
static void read_fdinfo(struct replay *replay, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[512];
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        unsigned long long ino;
        unsigned watch, device;
        if (sscanf(line, "inotify wd:%x ino:%llx sdev:%x", &watch, &ino, &device) == 3 &&
            device == replay->device)
            watch_add(replay, ino);
    }
    fclose(file);
}

static void read_process(struct replay *replay, const char *pid)
{
    char path[PATH_SIZE_MAX], link[64];
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
        ssize_t size = readlink(path, link, sizeof(link) - 1);
        if (size <= 0)
            continue;
        link[size] = '\0';
        if (strcmp(link, "anon_inode:inotify") != 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry->d_name);
        read_fdinfo(replay, path);
    }
    closedir(folder);
}

static void read_watches(struct replay *replay)
{
    struct stat attr;
    if (!replay->has_device && stat(replay->mountpoint, &attr) == 0) {
        replay->device = major(attr.st_dev) << 20 | minor(attr.st_dev);
        replay->has_device = true;
    }
    replay->watch_count = 0;
    DIR *folder = opendir("/proc");
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]))
            read_process(replay, entry->d_name);
    closedir(folder);
}

static bool is_watched(struct replay *replay, const struct replay_change *change)
{
    int64_t now = fs_now_ms();
    if (replay->watches_ms == 0 || now - replay->watches_ms > WATCHES_AGE_MS) {
        read_watches(replay);
        replay->watches_ms = now;
    }
    for (size_t i = 0; i < replay->watch_count; i++)
        if (replay->watches[i] == change->ino || replay->watches[i] == change->parent_ino)
            return true;
    return false;
}

/* ---- the system calls ---- */

static void expect(struct replay *replay, enum replay_verb verb, const struct replay_change *change)
{
    pthread_mutex_lock(&replay->mutex);
    replay->verb = verb;
    replay->parent = change->parent;
    snprintf(replay->name, sizeof(replay->name), "%.*s", (int)change->name.size,
             (const char *)change->name.data);
    pthread_mutex_unlock(&replay->mutex);
}

static void end_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void replay_make(const char *path, const struct stat *attr)
{
    if (S_ISDIR(attr->st_mode))
        (void)!mkdir(path, attr->st_mode & 07777);
    else if (S_ISREG(attr->st_mode))
        end_open(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, attr->st_mode & 07777));
}

static void replay_touch(const char *path, const struct stat *attr, unsigned changes)
{
    if (!(changes & KV_CHANGED_VALUE)) {
        (void)!chmod(path, attr->st_mode & 07777);
        return;
    }
    if (attr->st_mode & 0111) {
        struct timespec times[2] = {attr->st_atim, attr->st_mtim};
        (void)!utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
        return;
    }
    int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        (void)!ftruncate(fd, attr->st_size);
    end_open(fd);
}

void replay_run(struct replay *replay, const struct replay_change *change)
{
    char path[2 * PATH_SIZE_MAX];
    struct stat attr;
    if (!is_watched(replay, change))
        return;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", replay->mountpoint, change->path) >=
        sizeof(path))
        return;
    atomic_store(&replay->thread, (int)syscall(SYS_gettid));
    bool is_here = lstat(path, &attr) == 0;
    if (change->changes & KV_CHANGED_NAME) {
        expect(replay, is_here ? REPLAY_MAKE : REPLAY_REMOVE, change);
        if (is_here)
            replay_make(path, &attr);
        else if (change->is_directory)
            (void)!rmdir(path);
        else
            (void)!unlink(path);
    } else if (is_here && S_ISREG(attr.st_mode)) {
        expect(replay, REPLAY_TOUCH, change);
        replay_touch(path, &attr, change->changes);
    }
    expect(replay, REPLAY_NOTHING, change);
}

/* ---- the loop answers ---- */

static enum replay_verb expected(struct replay *replay, const struct fs_op *op)
{
    const struct kernel_request *request = &op->request;
    pthread_mutex_lock(&replay->mutex);
    enum replay_verb verb = replay->verb;
    if ((verb == REPLAY_MAKE || verb == REPLAY_REMOVE) &&
        (request->node != replay->parent ||
         !bytes_equal(request->name, bytes_of_text(replay->name))))
        verb = REPLAY_NOTHING;
    pthread_mutex_unlock(&replay->mutex);
    return verb;
}

static struct fs_file file_of(const struct node *node)
{
    return (struct fs_file){.attr = node->told.attr, .has_key = true,
                            .create_revision = node->told.create_revision,
                            .mod_revision = node->told.mod_revision,
                            .meta_mod_revision = node->told.meta_mod_revision,
                            .directory_create_revision = node->told.directory_create_revision};
}

/* The name has gone, and the call that removes it is to find it once more. */
static void take_removed_lookup(struct fs_op *op)
{
    struct node *node = op_take_name(op, false)
                            ? node_find(&op->fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0)
                            : NULL;
    if (!node || !node->told.known) {
        op_answer_errno(op, ENOENT);
        return;
    }
    struct fs_file file = file_of(node);
    op_answer_entry(op, node, &file);
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

static void take_open(struct fs_op *op)
{
    struct kernel_open open = {.handle = HANDLE_REPLAY, .direct_io = true};
    (void)op_answer_open(op, &open);
}

bool replay_take(struct replay *replay, struct fs_op *op)
{
    const struct kernel_request *request = &op->request;
    if ((request->kind == KERNEL_RELEASE || request->kind == KERNEL_FLUSH) &&
        request->handle == HANDLE_REPLAY && S_ISREG(op->node->told.attr.st_mode)) {
        op_answer_errno(op, 0);         /* the end of one comes when nothing is expected any more */
        return true;
    }
    if (request->pid == 0 || request->pid != atomic_load(&replay->thread))
        return false;
    enum replay_verb verb = expected(replay, op);
    if (verb == REPLAY_NOTHING)
        return false;
    switch (request->kind) {
    case KERNEL_LOOKUP:
        if (verb == REPLAY_MAKE)
            op_answer_errno(op, ENOENT);
        else if (verb == REPLAY_REMOVE)
            take_removed_lookup(op);
        else
            return false;
        return true;
    case KERNEL_CREATE:
    case KERNEL_MKDIR: take_made(op); return true;
    case KERNEL_UNLINK:
    case KERNEL_RMDIR: op_answer_errno(op, 0); return true;
    case KERNEL_OPEN: take_open(op); return true;
    case KERNEL_SETATTR: op_answer_attr(op, op->node, &op->node->told.attr); return true;
    default: return false;
    }
}
