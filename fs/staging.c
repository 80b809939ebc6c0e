/* See staging.h. The view is changed as each operation arrives, so reading costs nothing; the list is
 * only walked when it is saved. */
#include "fs/staging.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

static_assert(STAGING_BYTES_MAX > FILE_SIZE_MAX_DEFAULT, "a file of full size is one list");

/* ---- lists ---- */

static void list_clear_ops(struct staging_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        buf_release(&list->ops[i].data);
    list->count = list->bytes = 0;
}

static void list_release(struct staging_list *list)
{
    list_clear_ops(list);
    free(list->ops);
    buf_release(&list->whole);
    staged_attributes_release(&list->attributes);
    memset(list, 0, sizeof(*list));
}

static struct staging_op *list_add(struct staging_list *list, enum staging_verb verb,
                                   uint64_t offset)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->ops = mem_xrealloc(list->ops, list->capacity * sizeof(list->ops[0]));
    }
    struct staging_op *op = &list->ops[list->count++];
    *op = (struct staging_op){.verb = verb, .offset = offset};
    return op;
}

/* What a list is once one more operation stands at its end. */
static enum staging_kind kind_after(enum staging_kind kind, enum staging_verb verb, uint64_t offset)
{
    if (verb == STAGING_TRUNCATE && offset == 0)
        return STAGING_REPLACE;
    if (kind == STAGING_REPLACE || kind == STAGING_FIXED)
        return kind;
    if (verb == STAGING_ADD && (kind == STAGING_NONE || kind == STAGING_APPEND))
        return STAGING_APPEND;
    return STAGING_IN_PLACE;
}

/* Whether a list of this kind is kept as its view and has no operations. */
static bool is_whole(enum staging_kind kind)
{
    return kind == STAGING_REPLACE || kind == STAGING_FIXED;
}

/* A write that touches the one before it becomes part of it. */
static bool merge_write(struct staging_op *last, uint64_t offset, struct bytes data)
{
    uint64_t end = last->offset + last->data.size;
    if (offset < last->offset || offset > end)
        return false;
    size_t place = (size_t)(offset - last->offset);
    size_t overlap = data.size < last->data.size - place ? data.size : last->data.size - place;
    if (overlap)
        memcpy(last->data.data + place, data.data, overlap);
    buf_append(&last->data, bytes_skip(data, overlap));
    return true;
}

static bool merge(struct staging_list *list, enum staging_verb verb, uint64_t offset,
                  struct bytes data)
{
    if (list->count == 0)
        return false;
    struct staging_op *last = &list->ops[list->count - 1];
    if (last->verb != verb)
        return false;
    if (verb == STAGING_WRITE)
        return merge_write(last, offset, data);
    if (verb == STAGING_ADD) {
        buf_append(&last->data, data);
        return true;
    }
    if (offset > last->offset)          /* it grows again: what was cut between must read as zeros */
        return false;
    last->offset = offset;
    return true;
}

static void list_count_bytes(struct staging_list *list)
{
    list->bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        list->bytes += list->ops[i].data.size;
}

static void list_record(struct staging_list *list, enum staging_verb verb, uint64_t offset,
                        struct bytes data)
{
    list->kind = kind_after(list->kind, verb, offset);
    if (is_whole(list->kind)) {
        list_clear_ops(list);
        return;
    }
    list->bytes += data.size;
    if (!merge(list, verb, offset, data))
        buf_append(&list_add(list, verb, offset)->data, data);
    if (list->count > STAGING_OPS_MAX || list->bytes > STAGING_BYTES_MAX)
        list_count_bytes(list);         /* overlaps have been counted twice */
    if (list->count > STAGING_OPS_MAX || list->bytes > STAGING_BYTES_MAX) {
        list_clear_ops(list);
        list->kind = STAGING_FIXED;
    }
}

/* ---- content ---- */

static void resize(struct buf *content, uint64_t size)
{
    if (size > content->size) {
        size_t more = (size_t)size - content->size;
        memset(buf_extend(content, more), 0, more);
    }
    content->size = (size_t)size;
}

static void overwrite(struct buf *content, uint64_t offset, struct bytes data)
{
    if (data.size == 0)
        return;
    if (offset + data.size > content->size)
        resize(content, offset + data.size);
    memcpy(content->data + offset, data.data, data.size);
}

static bool fits(uint64_t size_max, uint64_t offset, uint64_t size)
{
    return offset <= size_max && size <= size_max - offset;
}

static enum err_code play(struct buf *content, const struct staging_op *op, uint64_t size_max)
{
    switch (op->verb) {
    case STAGING_TRUNCATE:
        resize(content, op->offset);
        return ERR_OK;
    case STAGING_WRITE:
        overwrite(content, op->offset, buf_bytes(&op->data));
        return ERR_OK;
    case STAGING_ADD:
        break;
    }
    if (!fits(size_max, content->size, op->data.size))
        return ERR_TOO_BIG;
    buf_append(content, buf_bytes(&op->data));
    return ERR_OK;
}

/* ---- life ---- */

void staging_init(struct staging *staging, uint64_t size_max)
{
    memset(staging, 0, sizeof(*staging));
    staging->size_max = size_max;
}

void staging_release(struct staging *staging)
{
    list_release(&staging->live);
    list_release(&staging->frozen);
    buf_release(&staging->view);
}

/* ---- writing ---- */

void staging_begin(struct staging *staging, struct bytes base)
{
    if (staging->begun)
        return;
    buf_assign(&staging->view, base);
    staging->begun = true;
}

enum err_code staging_truncate(struct staging *staging, uint64_t size)
{
    CHECK(staging->begun);
    if (size > staging->size_max)
        return ERR_TOO_BIG;
    bool wrote = staging->wrote;
    staging->live.attributes.has_mtime = false;
    list_record(&staging->live, STAGING_TRUNCATE, size, BYTES_EMPTY);
    resize(&staging->view, size);
    staging->wrote = wrote && size > 0;     /* nothing that was written is left */
    return ERR_OK;
}

enum err_code staging_write(struct staging *staging, uint64_t offset, struct bytes data)
{
    CHECK(staging->begun);
    if (!fits(staging->size_max, offset, data.size))
        return ERR_TOO_BIG;
    if (data.size == 0)
        return ERR_OK;
    staging->live.attributes.has_mtime = false;
    list_record(&staging->live, STAGING_WRITE, offset, data);
    overwrite(&staging->view, offset, data);
    staging->wrote = true;
    return ERR_OK;
}

enum err_code staging_append(struct staging *staging, struct bytes data)
{
    CHECK(staging->begun);
    if (!fits(staging->size_max, staging->view.size, data.size))
        return ERR_TOO_BIG;
    if (data.size == 0)
        return ERR_OK;
    staging->live.attributes.has_mtime = false;
    list_record(&staging->live, STAGING_ADD, 0, data);
    buf_append(&staging->view, data);
    staging->wrote = true;
    return ERR_OK;
}

enum err_code staging_zero(struct staging *staging, uint64_t offset, uint64_t size)
{
    CHECK(staging->begun);
    if (offset >= staging->view.size)
        return ERR_OK;
    if (size > staging->view.size - offset)
        size = staging->view.size - offset;
    uint8_t *zeros = mem_xzalloc((size_t)size + 1);
    enum err_code code = staging_write(staging, offset, bytes_of(zeros, (size_t)size));
    free(zeros);
    return code;
}

/* ---- reading ---- */

static bool list_is_empty_of_changes(const struct staging_list *list)
{
    return list->kind == STAGING_NONE && staged_attributes_are_empty(&list->attributes);
}

bool staging_is_dirty(const struct staging *staging)
{
    return staging->is_frozen || !list_is_empty_of_changes(&staging->live);
}

bool staging_is_live(const struct staging *staging)
{
    return !list_is_empty_of_changes(&staging->live);
}

bool staging_is_bare_truncate(const struct staging *staging)
{
    return staging->live.kind != STAGING_NONE && !staging->wrote &&
           staged_attributes_are_empty(&staging->live.attributes);
}

struct bytes staging_view(const struct staging *staging)
{
    CHECK(staging->begun);
    return buf_bytes(&staging->view);
}

/* ---- saving ---- */

void staging_freeze(struct staging *staging)
{
    CHECK(!staging->is_frozen);
    staging->frozen = staging->live;
    memset(&staging->live, 0, sizeof(staging->live));
    if (is_whole(staging->frozen.kind))
        buf_assign(&staging->frozen.whole, buf_bytes(&staging->view));
    staging->is_frozen = true;
    staging->wrote = false;
}

enum err_code staging_replay(const struct staging *staging, struct bytes newest, bool is_base,
                             struct buf *ret)
{
    CHECK(staging->is_frozen);
    const struct staging_list *list = &staging->frozen;
    if (list->kind == STAGING_FIXED && !is_base)
        return ERR_CONFLICT;
    if (is_whole(list->kind)) {
        buf_append(ret, buf_bytes(&list->whole));
        return ERR_OK;
    }
    struct buf content = {0};
    buf_append(&content, newest);
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < list->count && code == ERR_OK; i++)
        code = play(&content, &list->ops[i], staging->size_max);
    if (code == ERR_OK)
        buf_append(ret, buf_bytes(&content));
    buf_release(&content);
    return code;
}

/* T1 again, after the base has changed under the live list. A live append that no longer fits is left
 * in the list: saving it answers TOO_BIG. */
static void rebuild_view(struct staging *staging, struct bytes base)
{
    struct buf view = {0};
    buf_append(&view, base);
    for (size_t i = 0; i < staging->live.count; i++)
        if (play(&view, &staging->live.ops[i], staging->size_max) != ERR_OK)
            break;
    buf_release(&staging->view);
    staging->view = view;
}

void staging_saved(struct staging *staging, struct bytes committed)
{
    CHECK(staging->is_frozen);
    bool changed = staging->frozen.kind != STAGING_NONE;
    list_release(&staging->frozen);
    staging->is_frozen = false;
    if (changed && staging->begun && !is_whole(staging->live.kind))
        rebuild_view(staging, committed);
}

void staging_thaw(struct staging *staging)
{
    CHECK(staging->is_frozen);
    struct staging_list since = staging->live;
    staging->live = staging->frozen;
    memset(&staging->frozen, 0, sizeof(staging->frozen));
    staging->is_frozen = false;
    buf_release(&staging->live.whole);
    if (is_whole(since.kind)) {
        list_clear_ops(&staging->live);
        staging->live.kind = since.kind;
    }
    for (size_t i = 0; i < since.count; i++)
        list_record(&staging->live, since.ops[i].verb, since.ops[i].offset,
                    buf_bytes(&since.ops[i].data));
    if (since.kind != STAGING_NONE)
        staging->live.attributes.has_mtime = false;
    staged_attributes_merge(&staging->live.attributes, &since.attributes);
    staging->wrote = staging->live.kind != STAGING_NONE;
    list_release(&since);
}

void staging_drop(struct staging *staging)
{
    uint64_t size_max = staging->size_max;
    staging_release(staging);
    staging_init(staging, size_max);
}

/* ---- attributes ---- */

void staged_attributes_release(struct staged_attributes *attributes)
{
    for (size_t i = 0; i < attributes->xattr_count; i++) {
        buf_release(&attributes->xattrs[i].name);
        buf_release(&attributes->xattrs[i].value);
    }
    free(attributes->xattrs);
    memset(attributes, 0, sizeof(*attributes));
}

bool staged_attributes_are_empty(const struct staged_attributes *attributes)
{
    return !attributes->has_mode && !attributes->has_uid && !attributes->has_gid &&
           !attributes->has_atime && !attributes->has_mtime && attributes->xattr_count == 0;
}

void staged_attributes_xattr(struct staged_attributes *attributes, struct bytes name,
                             struct bytes value, bool removed)
{
    struct staged_xattr *found = NULL;
    for (size_t i = 0; i < attributes->xattr_count && !found; i++)
        if (bytes_equal(buf_bytes(&attributes->xattrs[i].name), name))
            found = &attributes->xattrs[i];
    if (!found) {
        size_t count = attributes->xattr_count + 1;
        attributes->xattrs = mem_xrealloc(attributes->xattrs, count * sizeof(*found));
        found = &attributes->xattrs[attributes->xattr_count++];
        memset(found, 0, sizeof(*found));
        buf_assign(&found->name, name);
    }
    buf_assign(&found->value, value);
    found->removed = removed;
}

static int by_name(const void *left, const void *right)
{
    return bytes_compare(((const struct meta_xattr *)left)->name,
                         ((const struct meta_xattr *)right)->name);
}

static bool is_staged(const struct staged_attributes *attributes, struct bytes name)
{
    for (size_t i = 0; i < attributes->xattr_count; i++)
        if (bytes_equal(buf_bytes(&attributes->xattrs[i].name), name))
            return true;
    return false;
}

static void apply_xattrs(const struct staged_attributes *attributes, struct arena *arena,
                         struct meta *meta)
{
    size_t room = meta->xattr_count + attributes->xattr_count, count = 0;
    struct meta_xattr *all = ARENA_NEW_ARRAY(arena, struct meta_xattr, room);
    for (size_t i = 0; i < meta->xattr_count; i++)
        if (!is_staged(attributes, meta->xattrs[i].name))
            all[count++] = meta->xattrs[i];
    for (size_t i = 0; i < attributes->xattr_count; i++)
        if (!attributes->xattrs[i].removed)
            all[count++] = (struct meta_xattr){buf_bytes(&attributes->xattrs[i].name),
                                               buf_bytes(&attributes->xattrs[i].value)};
    if (count)
        qsort(all, count, sizeof(all[0]), by_name);
    meta->xattrs = all;
    meta->xattr_count = count;
}

void staged_attributes_apply(const struct staged_attributes *attributes, struct arena *arena,
                             struct meta *meta)
{
    if (attributes->has_mode) {
        meta->has_mode = true;
        meta->mode = attributes->mode;
    }
    if (attributes->has_uid || attributes->has_gid) {
        meta->has_owner = true;
        if (attributes->has_uid)
            meta->uid = attributes->uid;
        if (attributes->has_gid)
            meta->gid = attributes->gid;
    }
    if (attributes->has_atime) {
        meta->has_atime = true;
        meta->atime = attributes->atime;
    }
    if (attributes->has_mtime) {
        meta->has_mtime = true;
        meta->mtime = attributes->mtime;
    }
    if (attributes->xattr_count)
        apply_xattrs(attributes, arena, meta);
}

void staged_attributes_merge(struct staged_attributes *to, const struct staged_attributes *from)
{
    if (from->has_mode) {
        to->has_mode = true;
        to->mode = from->mode;
    }
    if (from->has_uid) {
        to->has_uid = true;
        to->uid = from->uid;
    }
    if (from->has_gid) {
        to->has_gid = true;
        to->gid = from->gid;
    }
    if (from->has_atime) {
        to->has_atime = true;
        to->atime = from->atime;
    }
    if (from->has_mtime) {
        to->has_mtime = true;
        to->mtime = from->mtime;
    }
    for (size_t i = 0; i < from->xattr_count; i++)
        staged_attributes_xattr(to, buf_bytes(&from->xattrs[i].name),
                                buf_bytes(&from->xattrs[i].value), from->xattrs[i].removed);
}

void staging_attributes_apply(const struct staging *staging, struct arena *arena,
                              struct meta *meta)
{
    if (staging->is_frozen)
        staged_attributes_apply(&staging->frozen.attributes, arena, meta);
    if (staging->live.kind != STAGING_NONE)
        meta->has_mtime = false;        /* written since: the time is now, not the one that was set */
    staged_attributes_apply(&staging->live.attributes, arena, meta);
}
