#include "fs/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define NAME_BASE "watch"
#define NAME_FROM NAME_BASE "?rev="
#define REVISION_DIGITS_MAX 18
#define READABLE (POLLIN | POLLRDNORM)

struct stream {
    struct fs *fs;
    struct list link;                   /* in fs->streams */
    struct kv_watch watch;
    struct buf key, range_end;          /* what it watches */
    kv_rev next;                        /* nothing has been told of that revision yet */
    struct buf lines;
    size_t read_at;                     /* how much of lines has been read */
    struct list readers;                /* ops, oldest first */
    void *poll;                         /* the kernel wants to be woken; NULL: it does not */
    bool paused, released;
    enum err_code end;                  /* OK: it goes on */
};

bool stream_is_name(struct bytes name, kv_rev *ret_revision)
{
    struct bytes from = BYTES_LITERAL(NAME_FROM);
    kv_rev revision = 0;
    *ret_revision = 0;
    if (bytes_equal(name, BYTES_LITERAL(NAME_BASE)))
        return true;
    if (!bytes_starts_with(name, from))
        return false;
    struct bytes digits = bytes_skip(name, from.size);
    if (digits.size == 0 || digits.size > REVISION_DIGITS_MAX || digits.data[0] == '0')
        return false;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        revision = revision * 10 + (digits.data[i] - '0');
    }
    *ret_revision = revision;
    return true;
}

static struct stream *stream_of(const struct fs_op *op)
{
    return (struct stream *)(uintptr_t)op->request.handle;
}

static struct stream *stream_of_watch(struct kv_watch *watch)
{
    return container_of(watch, struct stream, watch);
}

/* ---- readers ---- */

static struct bytes unread(const struct stream *stream)
{
    return bytes_skip(buf_bytes(&stream->lines), stream->read_at);
}

/* Whole lines, as many as fit; of one that does not fit by itself what does. */
static struct bytes lines_for(struct bytes lines, size_t room)
{
    if (lines.size <= room)
        return lines;
    const uint8_t *end = memrchr(lines.data, '\n', room);
    return bytes_of(lines.data, end ? (size_t)(end - lines.data) + 1 : room);
}

/* Room again: the watch goes on. */
static void took(struct stream *stream, size_t size)
{
    stream->read_at += size;
    if (stream->read_at == stream->lines.size) {
        stream->read_at = 0;
        if (stream->lines.size > STREAM_BYTES_MAX)
            buf_release(&stream->lines);
        buf_clear(&stream->lines);
    }
    if (stream->paused && unread(stream).size <= STREAM_BYTES_MAX / 2) {
        stream->paused = false;
        kv_watch_resume(stream->fs->kv, &stream->watch);
    }
}

/* There is something to read, or the end. */
static void answer_reader(struct stream *stream, struct fs_op *op)
{
    struct bytes lines = lines_for(unread(stream), op->request.size);
    bool failed = stream->end != ERR_OK && stream->end != ERR_CLOSING;
    if (lines.size == 0 && failed) {
        op_answer_errno(op, op_errno(op, stream->end, false, false));
        return;
    }
    struct bytes copy = arena_copy(&op->arena, lines);
    op_answer_data(op, copy);
    took(stream, lines.size);
}

static bool has_news(const struct stream *stream)
{
    return unread(stream).size || stream->end != ERR_OK;
}

static void end_poll(struct stream *stream, bool wake)
{
    struct kernel *kernel = stream->fs->kernel;
    void *poll = stream->poll;
    stream->poll = NULL;
    if (poll)
        kernel->ops->poll_end(kernel, poll, wake);
}

static void wake(struct stream *stream)
{
    struct list *link;
    while (has_news(stream) && (link = list_pop_front(&stream->readers)) != NULL) {
        struct fs_op *op = container_of(link, struct fs_op, parked);
        op_unpark(op);
        answer_reader(stream, op);
    }
    if (has_news(stream))
        end_poll(stream, true);
}

/* ---- the watch ---- */

static void watch_begin(struct stream *stream);

static void append_lost(struct stream *stream, kv_rev first, kv_rev resume)
{
    buf_append_format(&stream->lines, "{\"revision\":%lld,\"kind\":\"lost\",\"resume\":%lld}\n",
                      (long long)first, (long long)resume);
}

static void append_revision(struct stream *stream, const struct kv_event *const *events, size_t count)
{
    struct arena arena = {0};
    size_t before = stream->lines.size;
    kv_rev revision = events[0]->item.mod_revision;
    stream_lines(&stream->fs->layout, events, count, &arena, &stream->lines);
    arena_release(&arena);
    if (stream->lines.size - before <= STREAM_REVISION_BYTES_MAX)
        return;
    stream->lines.size = before;
    append_lost(stream, revision, revision + 1);
}

static void on_events(struct kv_watch *watch, const struct kv_event *const *events, size_t count,
                      kv_rev revision)
{
    struct stream *stream = stream_of_watch(watch);
    for (size_t first = 0, end; first < count; first = end) {
        kv_rev of = events[first]->item.mod_revision;
        for (end = first + 1; end < count && events[end]->item.mod_revision == of;)
            end++;
        append_revision(stream, events + first, end - first);
    }
    stream->next = revision + 1;
    if (!stream->paused && unread(stream).size > STREAM_BYTES_MAX) {
        stream->paused = true;
        kv_watch_pause(stream->fs->kv, watch);
    }
    wake(stream);
}

static void on_created(struct kv_watch *watch, kv_rev revision)
{
    (void)watch;
    (void)revision;
}

static void stream_free(struct stream *stream)
{
    CHECK(stream->watch.owner == NULL);
    CHECK(list_is_empty(&stream->readers));
    list_remove(&stream->link);
    end_poll(stream, false);
    buf_release(&stream->key);
    buf_release(&stream->range_end);
    buf_release(&stream->lines);
    free(stream);
}

/* What is compacted is told, and passed over. */
static void on_ended(struct kv_watch *watch, enum err_code code, kv_rev compact_revision)
{
    struct stream *stream = stream_of_watch(watch);
    if (stream->released) {
        stream_free(stream);
        return;
    }
    if (code == ERR_COMPACTED && compact_revision > stream->next && !stream->fs->stopping) {
        append_lost(stream, stream->next, compact_revision);
        stream->next = compact_revision;
        stream->paused = false;
        watch_begin(stream);
    } else {
        stream->end = code;
    }
    wake(stream);
}

static void watch_begin(struct stream *stream)
{
    stream->watch = (struct kv_watch){
        .key = buf_bytes(&stream->key), .range_end = buf_bytes(&stream->range_end),
        .start_revision = stream->next, .privileged = true,
        .created = on_created, .events = on_events, .ended = on_ended};
    kv_watch(stream->fs->kv, &stream->watch);
}

/* One range holds the records and the files, where these sort behind those. */
static void choose_range(struct stream *stream)
{
    struct bytes prefix = stream->fs->layout.prefix, records = BYTES_LITERAL(KV_DIR_PREFIX);
    bool is_behind = bytes_compare(prefix, records) > 0;
    buf_append(&stream->key, is_behind ? records : prefix);
    if (stream->key.size == 0)
        buf_append_u8(&stream->key, 0);         /* the first key there can be */
    if (prefix.size)
        kv_prefix_end(&stream->range_end, prefix);
    else
        buf_append_u8(&stream->range_end, 0);
}

/* ---- requests ---- */

void stream_open(struct fs_op *op)
{
    struct fs *fs = op->fs;
    struct kv_status status;
    kv_rev revision;
    if (!(fs->capabilities & KV_CAN_WATCH)) {
        op_answer_errno(op, EOPNOTSUPP);
        return;
    }
    CHECK(stream_is_name(node_name(op->node), &revision));
    kv_status_get(fs->kv, &status);
    struct stream *stream = mem_xzalloc(sizeof(*stream));
    stream->fs = fs;
    stream->next = revision ? revision : status.revision + 1;
    list_init(&stream->readers);
    list_push_back(&fs->streams, &stream->link);
    choose_range(stream);
    watch_begin(stream);
    struct kernel_open answer = {
        .handle = (uintptr_t)stream, .direct_io = true, .no_flush = true, .is_stream = true};
    if (op_answer_open(op, &answer))
        return;
    stream->released = true;
    kv_unwatch(fs->kv, &stream->watch);
}

static void read_cancel(struct fs_op *op)
{
    op_unpark(op);
    op_answer_errno(op, EINTR);
}

void stream_read(struct fs_op *op)
{
    struct stream *stream = stream_of(op);
    if (has_news(stream)) {
        answer_reader(stream, op);
    } else if (op->request.flags & O_NONBLOCK) {
        op_answer_errno(op, EAGAIN);
    } else {
        op->any_signal = true;                  /* as with a pipe */
        op_park(op, &stream->readers, read_cancel);
    }
}

void stream_poll(struct fs_op *op)
{
    struct stream *stream = stream_of(op);
    if (op->request.poll) {
        end_poll(stream, false);
        stream->poll = op->request.poll;
    }
    bool news = has_news(stream);
    short events = news ? READABLE : 0;
    if (stream->end != ERR_OK)
        events |= POLLHUP;
    if (news)
        end_poll(stream, false);
    op_answer_poll(op, (unsigned)events);
}

void stream_release(struct fs_op *op)
{
    struct stream *stream = stream_of(op);
    struct kv *kv = op->fs->kv;
    op_answer_errno(op, 0);
    stream->released = true;
    if (stream->watch.owner)
        kv_unwatch(kv, &stream->watch);
    else
        stream_free(stream);
}

/* ---- the mount ends ---- */

void streams_stop(struct fs *fs)
{
    LIST_FOR_EACH_SAFE(link, &fs->streams)
        kv_unwatch(fs->kv, &container_of(link, struct stream, link)->watch);
}

bool streams_are_idle(const struct fs *fs)
{
    LIST_FOR_EACH(link, &fs->streams)
        if (container_of(link, struct stream, link)->watch.owner)
            return false;
    return true;
}

void streams_close(struct fs *fs)
{
    LIST_FOR_EACH_SAFE(link, &fs->streams)
        stream_free(container_of(link, struct stream, link));
}
