#include "tests/sim/sim_mount.h"

#include <errno.h>

#include "proto/base/check.h"

/* ---- processes ---- */

static struct sim_mount *of_processes(struct process_door *door)
{
    return container_of(door, struct sim_mount, processes);
}

static pid_t sim_group_of(struct process_door *door, pid_t thread)
{
    (void)door;
    return thread / 100 * 100;
}

static bool sim_is_member(struct process_door *door, pid_t group, pid_t thread)
{
    (void)door;
    return thread / 100 * 100 == group;
}

static uint64_t sim_start_of(struct process_door *door, pid_t group)
{
    return of_processes(door)->gone[(group - 5000000) / 100] ? 0 : 7;
}

/* ---- life ---- */

static void sim_set_alarm(struct fs_loop *loop, int64_t delay_ms)
{
    (void)loop;
    (void)delay_ms;
}

void sim_mount_init(struct sim_mount *mount)
{
    struct fs_options options = {.prefix = "/", .snapshot_name = ".snapshot", .timeo_ms = 5000,
                                 .uid = 1000, .gid = 1000, .fmask = 022, .dmask = 022};
    struct err err = {0};
    memset(mount, 0, sizeof(*mount));
    kv_direct_init(&mount->direct);
    mount->loop.set_alarm = sim_set_alarm;
    mount->processes = (struct process_door){sim_group_of, sim_is_member, sim_start_of};
    CHECK(fs_open(&mount->fs, &options, &mount->direct.kv, &mount->loop, NULL, &err) == ERR_OK);
    handles_set_processes(mount->fs, &mount->processes);
    sim_kernel_init(&mount->kernel, mount->fs);
    CHECK(fs_attach(mount->fs, &mount->kernel.kernel, &err) == ERR_OK);
}

void sim_mount_release(struct sim_mount *mount)
{
    sim_mount_settle(mount);
    fs_stop(mount->fs);
    sim_mount_settle(mount);
    CHECK(fs_is_idle(mount->fs));
    fs_close(mount->fs);
    sim_kernel_release(&mount->kernel);
    kv_direct_release(&mount->direct);
    buf_release(&mount->data);
}

void sim_mount_settle(struct sim_mount *mount)
{
    while (kv_direct_turn(&mount->direct) > 0)
        continue;
}

void sim_mount_expire_timers(struct sim_mount *mount)
{
    LIST_FOR_EACH(link, &mount->fs->timers)
        container_of(link, struct fs_timer, link)->at_ms = 0;
    fs_on_alarm(mount->fs);
    sim_mount_settle(mount);
}

struct sim_call *sim_mount_send(struct sim_mount *mount, const struct kernel_request *request)
{
    mount->fs->status_ms = 0;           /* the status is asked for anew */
    return sim_send(&mount->kernel, request);
}

static int take(struct sim_mount *mount, struct sim_call *call)
{
    const struct kernel_answer *answer = &call->answer;
    int result = answer->kind == KERNEL_ANSWER_ERROR ? -answer->error : 0;
    if (answer->kind == KERNEL_ANSWER_ENTRY || answer->kind == KERNEL_ANSWER_ATTR ||
        answer->kind == KERNEL_ANSWER_CREATE)
        mount->attr = answer->entry.attr;
    if (answer->kind == KERNEL_ANSWER_DATA)
        buf_assign(&mount->data, answer->data);
    if (answer->kind == KERNEL_ANSWER_LOCK)
        mount->lock = answer->lock;
    if (answer->kind == KERNEL_ANSWER_OFFSET)
        mount->offset = answer->offset;
    return result;
}

static void wait_for(struct sim_mount *mount, struct sim_call *call)
{
    for (int i = 0; i < 10000 && !call->answered; i++)
        kv_direct_turn(&mount->direct);
    CHECK(call->answered);
}

int sim_mount_wait(struct sim_mount *mount, struct sim_call *call)
{
    wait_for(mount, call);
    int result = take(mount, call);
    sim_call_free(call);
    return result;
}

static int ask(struct sim_mount *mount, const struct kernel_request *request)
{
    return sim_mount_wait(mount, sim_mount_send(mount, request));
}

/* ---- requests ---- */

static struct kernel_request request_of(enum kernel_kind kind, uint64_t node, pid_t pid)
{
    return (struct kernel_request){.kind = kind, .node = node, .pid = pid, .uid = 1000, .gid = 1000};
}

static struct kernel_request request_on(enum kernel_kind kind, const struct sim_file *file, pid_t pid)
{
    struct kernel_request request = request_of(kind, file->node, pid);
    request.has_handle = true;
    request.handle = file->handle;
    request.flags = file->flags;
    request.lock_owner = (uint64_t)pid;
    request.has_lock_owner = true;
    return request;
}

int sim_lookup(struct sim_mount *mount, uint64_t parent, const char *name, uint64_t *ret_node)
{
    struct kernel_request request = request_of(KERNEL_LOOKUP, parent, P1);
    request.name = bytes_of_text(name);
    struct sim_call *call = sim_mount_send(mount, &request);
    wait_for(mount, call);
    *ret_node = call->answer.entry.node;
    return sim_mount_wait(mount, call);
}

int sim_open(struct sim_mount *mount, uint64_t node, int flags, pid_t pid, struct sim_file *ret)
{
    struct kernel_request request = request_of(KERNEL_OPEN, node, pid);
    request.flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC);
    struct sim_call *call = sim_mount_send(mount, &request);
    wait_for(mount, call);
    *ret = (struct sim_file){node, call->answer.open.handle, request.flags, pid};
    return sim_mount_wait(mount, call);
}

uint64_t sim_opendir(struct sim_mount *mount, uint64_t node, pid_t pid)
{
    struct kernel_request request = request_of(KERNEL_OPENDIR, node, pid);
    struct sim_call *call = sim_mount_send(mount, &request);
    wait_for(mount, call);
    CHECK(call->answer.kind == KERNEL_ANSWER_OPEN);
    uint64_t handle = call->answer.open.handle;
    (void)sim_mount_wait(mount, call);
    return handle;
}

int sim_create(struct sim_mount *mount, const char *name, int flags, mode_t mode, pid_t pid,
               struct sim_file *ret)
{
    struct kernel_request request = request_of(KERNEL_CREATE, NODE_ROOT, pid);
    request.name = bytes_of_text(name);
    request.flags = flags;
    request.mode = S_IFREG | mode;
    struct sim_call *call = sim_mount_send(mount, &request);
    wait_for(mount, call);
    *ret = (struct sim_file){call->answer.entry.node, call->answer.open.handle,
                             flags & ~(O_CREAT | O_EXCL | O_TRUNC), pid};
    return sim_mount_wait(mount, call);
}

int sim_getattr(struct sim_mount *mount, uint64_t node, pid_t pid)
{
    struct kernel_request request = request_of(KERNEL_GETATTR, node, pid);
    return ask(mount, &request);
}

int sim_setattr(struct sim_mount *mount, uint64_t node, const struct sim_file *file, unsigned set,
                const struct stat *attr, pid_t pid)
{
    struct kernel_request request = file ? request_on(KERNEL_SETATTR, file, pid)
                                         : request_of(KERNEL_SETATTR, node, pid);
    request.set = set;
    request.attr = *attr;
    return ask(mount, &request);
}

int sim_truncate(struct sim_mount *mount, uint64_t node, const struct sim_file *file, off_t size,
                 pid_t pid)
{
    struct stat attr = {.st_size = size};
    return sim_setattr(mount, node, file, KERNEL_SET_SIZE, &attr, pid);
}

int sim_write(struct sim_mount *mount, const struct sim_file *file, off_t offset, const char *text)
{
    struct kernel_request request = request_on(KERNEL_WRITE, file, file->pid);
    request.offset = offset;
    request.data = bytes_of_text(text);
    return ask(mount, &request);
}

int sim_read(struct sim_mount *mount, const struct sim_file *file, off_t offset, size_t size)
{
    struct kernel_request request = request_on(KERNEL_READ, file, file->pid);
    request.offset = offset;
    request.size = size;
    return ask(mount, &request);
}

struct sim_call *sim_flush_begin(struct sim_mount *mount, const struct sim_file *file, pid_t pid)
{
    struct kernel_request request = request_on(KERNEL_FLUSH, file, pid);
    return sim_mount_send(mount, &request);
}

int sim_flush(struct sim_mount *mount, const struct sim_file *file, pid_t pid)
{
    return sim_mount_wait(mount, sim_flush_begin(mount, file, pid));
}

int sim_fsync(struct sim_mount *mount, const struct sim_file *file)
{
    struct kernel_request request = request_on(KERNEL_FSYNC, file, file->pid);
    return ask(mount, &request);
}

void sim_release(struct sim_mount *mount, const struct sim_file *file)
{
    struct kernel_request request = request_on(KERNEL_RELEASE, file, file->pid);
    request.ends_flock = true;
    struct sim_call *call = sim_mount_send(mount, &request);
    CHECK(call->answered && call->answer.error == 0);
    sim_call_free(call);
}

int sim_unlink(struct sim_mount *mount, const char *name)
{
    struct kernel_request request = request_of(KERNEL_UNLINK, NODE_ROOT, P1);
    request.name = bytes_of_text(name);
    return ask(mount, &request);
}

int sim_rename(struct sim_mount *mount, const char *from, const char *to)
{
    struct kernel_request request = request_of(KERNEL_RENAME, NODE_ROOT, P1);
    request.name = bytes_of_text(from);
    request.new_name = bytes_of_text(to);
    request.new_parent = NODE_ROOT;
    return ask(mount, &request);
}

/* ---- as programs do it ---- */

int sim_open_path(struct sim_mount *mount, const char *name, int flags, pid_t pid,
                  struct sim_file *ret)
{
    uint64_t node;
    int result = sim_lookup(mount, NODE_ROOT, name, &node);
    if (result == -ENOENT && (flags & O_CREAT))
        return sim_create(mount, name, flags, 0644, pid, ret);
    if (result == 0 && (flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (result == 0)
        result = sim_open(mount, node, flags, pid, ret);
    if (result == 0 && (flags & O_TRUNC))
        result = sim_truncate(mount, node, NULL, 0, pid);
    return result;
}

int sim_close(struct sim_mount *mount, const struct sim_file *file)
{
    int result = sim_flush(mount, file, file->pid);
    sim_release(mount, file);
    return result;
}

bool sim_data_is(const struct sim_mount *mount, const char *text)
{
    return bytes_equal(buf_bytes(&mount->data), bytes_of_text(text));
}
