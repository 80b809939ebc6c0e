#include "fs/fs.h"

#include <stdlib.h>
#include <time.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/notify.h"
#include "fs/op.h"
#include "fs/snapshot.h"
#include "fs/stream.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

int64_t fs_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static int64_t coarse_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

const struct kv_status *fs_status(struct fs *fs)
{
    int64_t now = coarse_ms();
    if (fs->status_ms == 0 || now - fs->status_ms > KV_STATUS_AGE_MS) {
        kv_status_get(fs->kv, &fs->status);
        fs->status_ms = now;
    }
    return &fs->status;
}

bool fs_quorum_is_lost(struct fs *fs)
{
    const struct kv_status *status = fs_status(fs);
    return !status->has_quorum && status->quorum_lost_ns >= fs->options.timeo_ms * NS_PER_MS;
}

int64_t fs_election_wait_ms(const struct fs *fs)
{
    int64_t timeo_ms = fs->options.timeo_ms;
    return timeo_ms < FS_ELECTION_WAIT_MS ? timeo_ms : FS_ELECTION_WAIT_MS;
}

int64_t fs_wait_ms(struct fs *fs)
{
    return fs_quorum_is_lost(fs) ? fs_election_wait_ms(fs) : fs->options.timeo_ms;
}

uint64_t fs_file_size_max(struct fs *fs)
{
    uint64_t cluster = fs_status(fs)->file_size_max, own = fs->options.file_size_max;
    if (cluster == 0)
        cluster = FILE_SIZE_MAX_DEFAULT;
    return own && own < cluster ? own : cluster;
}

/* ---- timers ---- */

static void set_alarm(struct fs *fs)
{
    if (list_is_empty(&fs->timers)) {
        fs->loop->set_alarm(fs->loop, -1);
        return;
    }
    int64_t delay = container_of(fs->timers.next, struct fs_timer, link)->at_ms - fs_now_ms();
    fs->loop->set_alarm(fs->loop, delay > 0 ? delay : 0);
}

void fs_timer_init(struct fs_timer *timer, void (*fire)(struct fs_timer *timer))
{
    list_init(&timer->link);
    timer->fire = fire;
}

void fs_timer_set(struct fs *fs, struct fs_timer *timer, int64_t delay_ms)
{
    list_remove(&timer->link);
    timer->at_ms = fs_now_ms() + delay_ms;
    struct list *place = fs->timers.previous;   /* most timers are set for later than the others */
    while (place != &fs->timers && container_of(place, struct fs_timer, link)->at_ms > timer->at_ms)
        place = place->previous;
    list_push_front(place, &timer->link);
    if (fs->timers.next == &timer->link)
        set_alarm(fs);
}

void fs_timer_cancel(struct fs_timer *timer) { list_remove(&timer->link); }

void fs_on_alarm(struct fs *fs)
{
    int64_t now = fs_now_ms();
    while (!list_is_empty(&fs->timers)) {
        struct fs_timer *timer = container_of(fs->timers.next, struct fs_timer, link);
        if (timer->at_ms > now)
            break;
        list_remove(&timer->link);
        timer->fire(timer);
    }
    set_alarm(fs);
}

/* ---- life ---- */

static enum err_code check_options(const struct fs_options *options, struct err *err)
{
    struct bytes prefix = bytes_of_text(options->prefix);
    struct bytes snapshot = bytes_of_text(options->snapshot_name);
    if (!layout_prefix_is_valid(prefix))
        return err_set(err, ERR_INVALID, "prefix \"%s\" is neither empty nor ends in '/'",
                       options->prefix);
    if (bytes_starts_with(prefix, bytes_of_text(KV_SYSTEM_PREFIX)))
        return err_set(err, ERR_INVALID, "prefix \"%s\" lies in the system range", options->prefix);
    if (!bytes_equal(snapshot, bytes_of_text(LAYOUT_SNAPSHOT)))
        return err_set(err, ERR_INVALID, "the snapshot directory is called \"%s\"", LAYOUT_SNAPSHOT);
    if (options->timeo_ms <= 0)
        return err_set(err, ERR_INVALID, "timeo must be above 0");
    return ERR_OK;
}

enum err_code fs_open(struct fs **ret, const struct fs_options *options, struct kv *kv,
                      struct fs_loop *loop, struct trace *trace, struct err *err)
{
    enum err_code code = check_options(options, err);
    if (code != ERR_OK)
        return code;
    struct fs *fs = mem_xzalloc(sizeof(*fs));
    fs->options = *options;
    fs->kv = kv;
    fs->capabilities = kv_capabilities(kv);
    fs->loop = loop;
    fs->trace = trace;
    list_init(&fs->ops);
    list_init(&fs->free_ops);
    list_init(&fs->timers);
    list_init(&fs->streams);
    list_init(&fs->texts);
    nodes_init(&fs->nodes);
    fs->layout = (struct layout){
        .prefix = bytes_of_text(options->prefix), .cluster_id = fs_status(fs)->cluster_id,
        .uid = options->uid, .gid = options->gid,
        .file_mode = 0666 & ~options->fmask, .directory_mode = 0777 & ~options->dmask,
        .start = fs->status.clock,
        .has_names = fs->capabilities & KV_CAN_NAMES,
    };
    if ((code = handles_open(fs, err)) != ERR_OK || (code = locks_open(fs, err)) != ERR_OK) {
        fs_close(fs);
        return code;
    }
    *ret = fs;
    return ERR_OK;
}

enum err_code fs_attach(struct fs *fs, struct kernel *kernel, struct err *err)
{
    fs->kernel = kernel;
    enum err_code code = notify_open(fs, err);
    if (code == ERR_OK)
        cache_observe(fs);
    return code;
}

void fs_stop(struct fs *fs)
{
    if (fs->stopping)
        return;
    handles_commit_all(fs);
    fs_abandon(fs);
}

void fs_abandon(struct fs *fs)
{
    if (fs->stopping)
        return;
    fs->stopping = true;
    cache_end(fs);
    streams_stop(fs);
    LIST_FOR_EACH_SAFE(link, &fs->ops) {
        struct fs_op *op = container_of(link, struct fs_op, link);
        if (op->cancel)
            op->cancel(op);
    }
}

bool fs_is_idle(const struct fs *fs)
{
    return list_is_empty(&fs->ops) && handles_are_idle(fs) && streams_are_idle(fs);
}

void fs_close(struct fs *fs)
{
    if (!fs)
        return;
    CHECK(list_is_empty(&fs->ops));
    if (fs->notify)
        notify_close(fs);
    streams_close(fs);
    control_close(fs);
    if (fs->locks)
        locks_close(fs);
    if (fs->handles)
        handles_close(fs);
    cache_release(fs);
    op_pool_release(fs);
    nodes_release(&fs->nodes);
    free(fs);
}
