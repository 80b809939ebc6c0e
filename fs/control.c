#include "fs/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fs/cache.h"
#include "fs/handle.h"
#include "fs/stream.h"
#include "proto/base/mem.h"
#include "proto/status.h"

#define CONTROL_INO 2           /* of .fs; its files follow. Files of users have hashes */
#define CONFLICTS_INO 64        /* of .fs/conflicts; those in it follow, by number */
#define CONFLICTS "conflicts"

enum { DIRECTORY_CONTROL, DIRECTORY_CONFLICTS };       /* node->control of the two directories */

struct control_file {
    const char *name;
    mode_t mode;
    void (*text)(struct fs *fs, struct buf *ret);       /* NULL: a stream (stream.h) */
};

static void status_text(struct fs *fs, struct buf *ret);
static void revision_text(struct fs *fs, struct buf *ret);

static const struct control_file control_files[] = {
    {"status", 0444, status_text},
    {"revision", 0444, revision_text},
    {"watch", 0400, NULL},      /* it names what lies in directories that others may not read */
    {NULL, 0, NULL},
};

bool control_is_name(const struct node *parent, struct bytes name)
{
    return parent->kind == NODE_LIVE && !parent->parent &&
           bytes_equal(name, bytes_of_text(LAYOUT_CONTROL));
}

/* ---- the texts ---- */

static void status_text(struct fs *fs, struct buf *ret)
{
    struct kv_status status;
    kv_status_get(fs->kv, &status);
    status_format(ret, &status, fs->options.data_path);
    buf_append_format(ret, "mount: %s, reads %s, prefix \"%s\"\n", fs->options.mountpoint,
                      fs->options.reads == FS_READS_LOCAL ? "local" : "strict", fs->options.prefix);
    buf_append_format(ret, "requests: %" PRIu64 ", %" PRIu64 " of them refused, %" PRIu32
                      " in flight\n", fs->requests, fs->errors, fs->op_count);
    buf_append_format(ret, "nodes: %" PRIu32 "\n", fs->nodes.node_count);
    if (conflicts_count(fs))
        buf_append_format(ret, "conflicts: %zu, what could not be saved is in .fs/" CONFLICTS "/\n",
                          conflicts_count(fs));
}

static void revision_text(struct fs *fs, struct buf *ret)
{
    struct kv_status status;
    kv_status_get(fs->kv, &status);
    buf_append_format(ret, "%" PRId64 "\n", status.revision);
}

/* ---- names ---- */

static bool is_conflicts(const struct node *node)
{
    return node->kind == NODE_CONTROL_DIRECTORY && node->control == DIRECTORY_CONFLICTS;
}

static bool is_conflict(const struct node *node)
{
    return node->kind == NODE_CONTROL_FILE && is_conflicts(node->parent);
}

/* NULL: it has made room for newer ones. */
static const struct conflict *conflict_of(const struct fs *fs, const struct node *node)
{
    return conflicts_find(fs, (uint64_t)node->control);
}

static void conflict_attr(const struct fs *fs, const struct conflict *conflict, struct stat *ret)
{
    layout_virtual(&fs->layout, CONFLICTS_INO + conflict->number, S_IFREG | 0400,
                   conflict->content->size, conflict->time, ret);
    ret->st_uid = conflict->uid;
    ret->st_gid = conflict->gid;
}

bool control_attr(const struct fs *fs, const struct node *node, struct stat *ret)
{
    if (is_conflict(node)) {
        const struct conflict *conflict = conflict_of(fs, node);
        if (conflict)
            conflict_attr(fs, conflict, ret);
        return conflict != NULL;
    }
    if (node->kind == NODE_CONTROL_DIRECTORY)
        layout_virtual(&fs->layout, is_conflicts(node) ? CONFLICTS_INO : CONTROL_INO, S_IFDIR | 0555, 0,
                       fs->status.clock, ret);
    else
        layout_virtual(&fs->layout, CONTROL_INO + 1 + (uint64_t)node->control,
                       S_IFREG | control_files[node->control].mode, 0, fs->status.clock, ret);
    return true;
}

/* Whose bytes they are; to others not even the name is told. */
static bool is_shown(const struct fs_op *op, const struct conflict *conflict)
{
    return op->request.uid == 0 || op->request.uid == conflict->uid;
}

static bool conflict_entry(const struct fs_op *op, size_t *place, struct control_entry *ret)
{
    const struct conflict *conflict;
    for (size_t i = 0; (conflict = conflicts_get(op->fs, i)) != NULL; i++) {
        if (conflict->number < *place || !is_shown(op, conflict))
            continue;
        *place = (size_t)conflict->number + 1;
        *ret = (struct control_entry){conflict->name, CONFLICTS_INO + conflict->number, S_IFREG};
        return true;
    }
    return false;
}

bool control_entry(const struct fs_op *op, const struct node *directory, size_t *place,
                   struct control_entry *ret)
{
    if (is_conflicts(directory))
        return conflict_entry(op, place, ret);
    size_t files = ARRAY_COUNT(control_files) - 1;
    if (*place < files)
        *ret = (struct control_entry){control_files[*place].name, CONTROL_INO + 1 + *place, S_IFREG};
    else if (*place == files)
        *ret = (struct control_entry){CONFLICTS, CONFLICTS_INO, S_IFDIR};
    else
        return false;
    ++*place;
    return true;
}

static void answer_node(struct fs_op *op, enum node_kind kind, int control)
{
    struct nodes *nodes = &op->fs->nodes;
    struct bytes name = op->request.name;
    struct node *node = node_find(nodes, op->node, kind, STEP_COMPONENT, name, 0);
    node = node ? node_ref(node) : node_new(nodes, op->node, kind, STEP_COMPONENT, name, 0);
    node->control = control;
    struct fs_file file = {0};
    fs_status(op->fs);
    if (control_attr(op->fs, node, &file.attr))
        op_answer_entry(op, node, &file);
    else
        op_answer_errno(op, ENOENT);
    node_unref(nodes, node);
}

void control_lookup_self(struct fs_op *op) { answer_node(op, NODE_CONTROL_DIRECTORY, DIRECTORY_CONTROL); }

static void conflict_lookup(struct fs_op *op)
{
    const struct conflict *conflict;
    for (size_t i = 0; (conflict = conflicts_get(op->fs, i)) != NULL; i++) {
        if (bytes_equal(bytes_of_text(conflict->name), op->request.name) && is_shown(op, conflict)) {
            answer_node(op, NODE_CONTROL_FILE, (int)conflict->number);
            return;
        }
    }
    op_answer_errno(op, ENOENT);
}

static bool is_called(const struct control_file *file, struct bytes name)
{
    kv_rev revision;
    return file->text ? bytes_equal(name, bytes_of_text(file->name)) : stream_is_name(name, &revision);
}

void control_lookup(struct fs_op *op)
{
    if (is_conflicts(op->node)) {
        conflict_lookup(op);
        return;
    }
    if (bytes_equal(op->request.name, bytes_of_text(CONFLICTS))) {
        answer_node(op, NODE_CONTROL_DIRECTORY, DIRECTORY_CONFLICTS);
        return;
    }
    for (int i = 0; control_files[i].name; i++) {
        if (is_called(&control_files[i], op->request.name)) {
            answer_node(op, NODE_CONTROL_FILE, i);
            return;
        }
    }
    op_answer_errno(op, ENOENT);
}

/* ---- open, read, poll, release: the handle is the text, or the stream ---- */

static bool is_stream(const struct fs_op *op)
{
    return !is_conflict(op->node) && !control_files[op->node->control].text;
}

struct text {
    struct list link;           /* of fs->texts */
    struct buf bytes;
};

static struct text *text_of(const struct fs_op *op)
{
    return (struct text *)(uintptr_t)op->request.handle;
}

static void text_free(struct text *text)
{
    list_remove(&text->link);
    buf_release(&text->bytes);
    free(text);
}

/* False: a conflict that is gone. */
static bool text_fill(struct fs *fs, const struct node *node, struct buf *ret)
{
    if (!is_conflict(node)) {
        control_files[node->control].text(fs, ret);
        return true;
    }
    const struct conflict *conflict = conflict_of(fs, node);
    if (conflict)
        buf_assign(ret, blob_bytes(conflict->content));
    return conflict != NULL;
}

static void text_open(struct fs_op *op)
{
    struct text *text = mem_xzalloc(sizeof(*text));
    list_push_back(&op->fs->texts, &text->link);
    if (!text_fill(op->fs, op->node, &text->bytes)) {
        op_answer_errno(op, ENOENT);
        text_free(text);
        return;
    }
    struct kernel_open answer = {.handle = (uintptr_t)text, .direct_io = true, .no_flush = true};
    if (!op_answer_open(op, &answer))
        text_free(text);
}

/* The kernel does not wait for its last RELEASEs when a mount ends. */
void control_close(struct fs *fs)
{
    LIST_FOR_EACH_SAFE(link, &fs->texts)
        text_free(container_of(link, struct text, link));
}

static void text_read(struct fs_op *op)
{
    size_t offset = op->request.offset < 0 ? 0 : (size_t)op->request.offset;
    struct bytes rest = bytes_skip(buf_bytes(&text_of(op)->bytes), offset);
    if (rest.size > op->request.size)
        rest.size = op->request.size;
    op_answer_data(op, rest);
}

static void text_release(struct fs_op *op)
{
    struct text *text = text_of(op);
    op_answer_errno(op, 0);
    text_free(text);
}

void control_open(struct fs_op *op)
{
    if ((op->request.flags & O_ACCMODE) != O_RDONLY)
        op_answer_errno(op, EROFS);
    else if (is_stream(op))
        stream_open(op);
    else
        text_open(op);
}

void control_read(struct fs_op *op)
{
    if (is_stream(op))
        stream_read(op);
    else
        text_read(op);
}

void control_poll(struct fs_op *op)
{
    if (is_stream(op))
        stream_poll(op);
    else
        op_poll(op);
}

void control_release(struct fs_op *op)
{
    if (is_stream(op))
        stream_release(op);
    else
        text_release(op);
}

void control_nothing(struct fs_op *op) { op_answer_errno(op, 0); }
