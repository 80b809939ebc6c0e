/* The bytes of versions that handles are pinned to: one copy for all of them.
 *
 * A version is named by key and mod revision. It is read when someone reads the file, usually as the
 * newest one; when the file has moved on meanwhile, as it was at the store's revision that OPEN saw.
 * (Not at its mod revision: a compaction above that keeps the newest version, and refuses the revision.)
 * Once read it is kept while the file is open, so that neither a delete nor a compaction takes it away;
 * beyond CONTENT_BYTES_MAX the longest unused is dropped and read again on demand. A small one stays when
 * the file is closed, among the last UNUSED_CONTENTS_MAX: a program that looks into its configuration again
 * and again reads the store once for each version. */
#include <stdlib.h>

#include "fs/handle_internal.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

static struct list *bucket_of(struct handles *handles, kv_rev mod_revision)
{
    return &handles->contents[hash_u64((uint64_t)mod_revision) % CONTENT_BUCKETS];
}

/* One of the unused is used again, or ends. */
static void content_leave_unused(struct handles *handles, struct content *content)
{
    list_remove(&content->unused);
    handles->unused_content_count--;
}

struct content *content_get(struct handles *handles, struct bytes key, kv_rev mod_revision)
{
    struct list *bucket = bucket_of(handles, mod_revision);
    LIST_FOR_EACH(link, bucket) {
        struct content *content = container_of(link, struct content, bucket);
        if (content->mod_revision == mod_revision && bytes_equal(content->key, key)) {
            if (content->references++ == 0)
                content_leave_unused(handles, content);
            return content;
        }
    }
    struct content *content = mem_xzalloc(sizeof(*content) + key.size);
    uint8_t *copy = (uint8_t *)(content + 1);
    if (key.size)
        memcpy(copy, key.data, key.size);
    content->key = bytes_of(copy, key.size);
    content->mod_revision = mod_revision;
    content->references = 1;
    list_push_back(bucket, &content->bucket);
    list_init(&content->used);
    list_init(&content->unused);
    return content;
}

static void content_drop(struct handles *handles, struct content *content)
{
    if (!content->blob)
        return;
    handles->content_bytes -= content->blob->size;
    blob_unref(content->blob);
    content->blob = NULL;
    list_remove(&content->used);
}

static void content_free(struct handles *handles, struct content *content)
{
    content_drop(handles, content);
    list_remove(&content->bucket);
    free(content);
}

/* The one that is unused for longest. */
static void content_free_unused(struct handles *handles)
{
    struct content *content = container_of(handles->unused_contents.next, struct content, unused);
    CHECK(content->references == 0);
    content_leave_unused(handles, content);
    content_free(handles, content);
}

void content_unref(struct handles *handles, struct content *content)
{
    if (!content || --content->references > 0)
        return;
    if (!content->blob || content->blob->size > UNUSED_CONTENT_SIZE_MAX) {
        content_free(handles, content);
        return;
    }
    list_push_back(&handles->unused_contents, &content->unused);
    if (++handles->unused_content_count > UNUSED_CONTENTS_MAX)
        content_free_unused(handles);
}

void contents_release(struct handles *handles)
{
    while (!list_is_empty(&handles->unused_contents))
        content_free_unused(handles);
}

void content_touch(struct handles *handles, struct content *content)
{
    list_remove(&content->used);
    list_push_back(&handles->used_contents, &content->used);
}

void content_fill(struct handles *handles, struct content *content, struct blob *blob)
{
    if (content->blob) {
        blob_unref(blob);
        return;
    }
    content->blob = blob;
    handles->content_bytes += blob->size;
    content_touch(handles, content);
    while (handles->content_bytes > CONTENT_BYTES_MAX) {
        if (!list_is_empty(&handles->unused_contents)) {
            content_free_unused(handles);
            continue;
        }
        struct content *oldest = container_of(handles->used_contents.next, struct content, used);
        if (oldest == content)
            break;
        content_drop(handles, oldest);
    }
}

/* ---- reading it ---- */

/* The op keeps the handle in keep.a and the step in keep.b; both families that load (READ and those that
 * stage) do. */
struct load {
    struct handle *handle;
    op_step step;
};

static struct load *load_of(struct fs_op *op) { return op->keep.b; }

static void load_submit(struct fs_op *op, kv_rev revision, op_step step)
{
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){.key = arena_copy(&op->arena,
                                                         buf_bytes(&load_of(op)->handle->key)),
                                       .revision = revision, .serializable = true};
    op_submit(op, step);
}

static void load_end(struct fs_op *op, enum err_code code)
{
    struct load *load = load_of(op);
    struct handle *handle = load->handle;
    load->step(op, code);
    handle_unref(handle);
}

/* Whether the answer is the handle's version; then it is kept. */
static bool load_take(struct fs_op *op)
{
    struct handle *handle = load_of(op)->handle;
    const struct kv_range_result *range = &op->kv.result.range;
    if (range->count != 1 || range->items[0].mod_revision != handle->content->mod_revision)
        return false;
    content_fill(handle->handles, handle->content, blob_copy(range->items[0].value));
    return true;
}

static void load_on_past(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK && !load_take(op))
        code = ERR_COMPACTED;
    load_end(op, code);
}

static void load_on_newest(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK || load_take(op)) {
        load_end(op, code);
        return;
    }
    load_submit(op, load_of(op)->handle->store_revision, load_on_past);
}

bool content_load(struct fs_op *op, struct handle *handle, op_step step)
{
    struct handles *handles = handle->handles;
    if (!handle->content)
        handle->content = content_get(handles, buf_bytes(&handle->key), handle->file.mod_revision);
    if (!handle->content->blob && handle->file.attr.st_size == 0)
        content_fill(handles, handle->content, blob_new(0));
    if (handle->content->blob) {
        content_touch(handles, handle->content);
        return false;
    }
    struct load *load = ARENA_NEW(&op->arena, struct load);
    load->handle = handle_ref(handle);
    load->step = step;
    op->keep.b = load;
    bool is_past = handle->node->kind == NODE_PAST;
    load_submit(op, is_past ? handle->node->revision : 0, is_past ? load_on_past : load_on_newest);
    return true;
}

bool handle_begin(struct fs_op *op, struct handle *handle, bool empty, op_step step,
                  enum err_code *ret_code)
{
    struct handles *handles = handle->handles;
    *ret_code = ERR_OK;
    if (handle->staging.begun)
        return false;
    if (handles->staged_bytes + (uint64_t)handle->file.attr.st_size > STAGED_BYTES_MAX) {
        *ret_code = ERR_NO_SPACE;
        return false;
    }
    if (!empty && content_load(op, handle, step))
        return true;
    staging_begin(&handle->staging, empty ? BYTES_EMPTY : blob_bytes(handle->content->blob));
    return false;
}
