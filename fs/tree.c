#include "fs/tree.h"

#include <errno.h>

#include "fs/cache.h"
#include "proto/base/check.h"

void tree_init(struct tree *tree, struct fs_op *op)
{
    tree->op = op;
    tree->compares = ARENA_NEW_ARRAY(&op->arena, struct kv_compare, TREE_COMPARES_MAX);
    tree->ops = ARENA_NEW_ARRAY(&op->arena, struct kv_op, TREE_OPS_MAX);
    tree->compare_count = tree->op_count = 0;
}

static struct kv_op *add(struct tree *tree, enum kv_op_kind kind)
{
    CHECK(tree->op_count < TREE_OPS_MAX);
    struct kv_op *op = &tree->ops[tree->op_count++];
    op->kind = kind;
    return op;
}

static struct bytes record_key(struct tree *tree, const char *prefix, struct bytes key)
{
    return op_join(tree->op, bytes_of_text(prefix), key);
}

static struct bytes meta_of(struct tree *tree, struct bytes key)
{
    return record_key(tree, KV_META_PREFIX, key);
}

static struct bytes directory_of(struct tree *tree, struct bytes key)
{
    return record_key(tree, KV_DIR_PREFIX, key);
}

/* ---- compares ---- */

void tree_compare(struct tree *tree, struct bytes key, struct bytes range_end,
                  enum kv_compare_target target, enum kv_compare_result result, int64_t number)
{
    CHECK(tree->compare_count < TREE_COMPARES_MAX);
    tree->compares[tree->compare_count++] = (struct kv_compare){
        .key = key, .range_end = range_end, .target = target, .result = result, .number = number};
}

/* Every key that starts with from + '/': compares whether one is there. */
static void compare_below(struct tree *tree, struct bytes from, enum kv_compare_result result)
{
    struct bytes start = op_join(tree->op, from, BYTES_LITERAL("/"));
    struct bytes end = op_join(tree->op, from, BYTES_LITERAL("0"));     /* '/' + 1 */
    tree_compare(tree, start, end, KV_COMPARE_CREATE, result, 0);
}

void tree_empty_below(struct tree *tree, struct bytes key)
{
    compare_below(tree, key, KV_EQUAL);
    compare_below(tree, meta_of(tree, key), KV_EQUAL);
    compare_below(tree, directory_of(tree, key), KV_EQUAL);
}

void tree_absent_value(struct tree *tree, struct bytes key)
{
    tree_compare(tree, key, BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, 0);
    tree_compare(tree, meta_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, 0);
}

void tree_absent_directory(struct tree *tree, struct bytes key)
{
    tree_compare(tree, directory_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, 0);
    tree_empty_below(tree, key);
}

void tree_absent(struct tree *tree, struct bytes key)
{
    tree_absent_value(tree, key);
    tree_absent_directory(tree, key);
}

/* An implicit directory stands while something is below it; which range is looked at changes from try to
 * try, because a compare over several ranges cannot say "or". */
static void implicit_stands(struct tree *tree, struct bytes key)
{
    tree_compare(tree, directory_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, 0);
    switch (tree->op->tries % 3) {
    case 0: compare_below(tree, key, KV_GREATER); break;
    case 1: compare_below(tree, meta_of(tree, key), KV_GREATER); break;
    default: compare_below(tree, directory_of(tree, key), KV_GREATER); break;
    }
}

static bool is_exempt(const struct node *directory) { return !directory->parent; }

/* The root of a mount without a prefix has no name, so no record either. */
static bool has_no_record(const struct fs *fs, const struct node *directory)
{
    return !directory->parent && fs->layout.prefix.size == 0;
}

/* A "x%+" stands for the directory that it is in. */
static struct node *real_directory(struct node *node)
{
    while (node->step == STEP_PARTIAL)
        node = node->parent;
    return node;
}

void tree_parent_stands(struct tree *tree, struct node *parent)
{
    parent = real_directory(parent);
    if (is_exempt(parent))
        return;
    struct bytes key = op_key(tree->op, parent);
    kv_rev create = parent->told.directory_create_revision;
    if (create)
        tree_compare(tree, directory_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, create);
    else
        implicit_stands(tree, key);
}

void tree_stands(struct tree *tree, struct bytes key, const struct fs_file *file)
{
    if (S_ISDIR(file->attr.st_mode)) {
        if (file->directory_create_revision)
            tree_compare(tree, directory_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL,
                         file->directory_create_revision);
        else
            implicit_stands(tree, key);
    } else if (file->has_key) {
        tree_compare(tree, key, BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, file->create_revision);
    } else {
        tree_compare(tree, meta_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL,
                     file->create_revision);
    }
}

/* ---- ops ---- */

void tree_put(struct tree *tree, struct bytes key, struct bytes value)
{
    add(tree, KV_OP_PUT)->put = (struct kv_put){.key = key, .value = value};
}

void tree_delete(struct tree *tree, struct bytes key)
{
    add(tree, KV_OP_DELETE)->del = (struct kv_delete){.key = key};
}

static void put_record(struct tree *tree, struct bytes key, const struct meta *meta)
{
    struct buf encoded = {0};
    meta_encode(meta, &encoded);
    tree_put(tree, key, arena_copy(&tree->op->arena, buf_bytes(&encoded)));
    buf_release(&encoded);
}

void tree_put_meta(struct tree *tree, struct bytes key, const struct meta *meta)
{
    put_record(tree, meta_of(tree, key), meta);
}

void tree_delete_meta(struct tree *tree, struct bytes key) { tree_delete(tree, meta_of(tree, key)); }

void tree_put_directory(struct tree *tree, struct bytes key, const struct meta *meta)
{
    put_record(tree, directory_of(tree, key), meta);
}

void tree_delete_directory(struct tree *tree, struct bytes key)
{
    tree_delete(tree, directory_of(tree, key));
}

void tree_rename(struct tree *tree, const struct kv_rename *rename)
{
    add(tree, KV_OP_RENAME)->rename = *rename;
}

void tree_keep_parent(struct tree *tree, struct node *parent)
{
    parent = real_directory(parent);
    if (has_no_record(tree->op->fs, parent) || parent->told.directory_create_revision)
        return;
    struct bytes key = op_key(tree->op, parent);
    struct meta meta = {.type = META_DIRECTORY};
    if (parent->parent)
        meta.file_id = parent->told.attr.st_ino;
    tree_compare(tree, directory_of(tree, key), BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL, 0);
    tree_put_directory(tree, key, &meta);
}

void tree_parent_kept(struct fs_op *op, struct node *parent)
{
    parent = real_directory(parent);
    if (!has_no_record(op->fs, parent) && parent->told.directory_create_revision == 0)
        parent->told.directory_create_revision = op->kv.revision;
}

size_t tree_read(struct tree *tree, struct bytes key)
{
    add(tree, KV_OP_RANGE)->range =
        (struct kv_range){.key = key, .sizes_only = true, .want_times = true};
    return tree->op_count - 1;
}

size_t tree_read_meta(struct tree *tree, struct bytes key)
{
    return tree_read(tree, meta_of(tree, key));
}

size_t tree_read_directory(struct tree *tree, struct bytes key)
{
    return tree_read(tree, directory_of(tree, key));
}

void tree_submit(struct tree *tree, op_step step)
{
    struct kv_request *request = op_prepare(tree->op, KV_TXN);
    request->privileged = true;
    request->txn = (struct kv_txn){
        .compares = tree->compares, .compare_count = tree->compare_count,
        .success = tree->ops, .success_count = tree->op_count};
    op_submit(tree->op, step);
}

const struct kv_item *tree_item(const struct fs_op *op, size_t index)
{
    const struct kv_txn_result *result = &op->kv.result.txn;
    if (index >= result->count || result->results[index].kind != KV_OP_RANGE ||
        result->results[index].range.count == 0)
        return NULL;
    return &result->results[index].range.items[0];
}

/* ---- new files ---- */

bool tree_new_meta(struct fs_op *op, const struct node *parent, enum meta_type type, mode_t mode,
                   struct meta *ret)
{
    const struct layout *layout = &op->fs->layout;
    const struct stat *above = &parent->told.attr;
    bool inherits = above->st_mode & S_ISGID;
    gid_t gid = inherits ? above->st_gid : op->request.gid;
    mode &= 07777;
    if (type == META_DIRECTORY && inherits)
        mode |= S_ISGID;
    mode_t default_mode = type == META_SYMLINK     ? 0777
                          : type == META_DIRECTORY ? layout->directory_mode
                                                   : layout->file_mode;
    *ret = (struct meta){.type = type};
    ret->has_mode = mode != default_mode;
    ret->mode = ret->has_mode ? mode : 0;
    ret->has_owner = op->request.uid != layout->uid || gid != layout->gid;
    if (ret->has_owner) {
        ret->uid = op->request.uid;
        ret->gid = gid;
    }
    return type != META_FILE || ret->has_mode || ret->has_owner;
}

void tree_made(struct fs_op *op, struct bytes key, const struct kv_item *item, const struct meta *meta,
               bool has_meta, struct fs_file *ret)
{
    /* What a LOOKUP would say now, put together from the answer. */
    struct buf record = {0};
    if (has_meta)
        meta_encode(meta, &record);
    size_t at = key.size;
    while (at > 0 && key.data[at - 1] != '/')
        at--;
    struct kv_name name = {.name = bytes_skip(key, at)};
    if (meta->type == META_DIRECTORY) {
        name.is_directory = true;
        name.directory_record = arena_copy(&op->arena, buf_bytes(&record));
        name.directory_create_revision = item->create_revision;
        name.directory_mod_revision = name.change_revision = item->mod_revision;
        name.directory_create_time = name.directory_mod_time = name.change_time = item->mod_time;
    } else {
        name.has_value = meta->type == META_FILE || meta->type == META_SYMLINK;
        name.has_node = !name.has_value;
        name.create_revision = item->create_revision;
        name.mod_revision = item->mod_revision;
        name.version = item->version;
        name.size = item->size;
        name.create_time = item->create_time;
        name.mod_time = item->mod_time;
        name.meta = arena_copy(&op->arena, buf_bytes(&record));
        name.meta_mod_revision = has_meta ? item->mod_revision : 0;
        name.meta_mod_time = has_meta ? item->mod_time : 0;
    }
    buf_release(&record);
    bool made = layout_file(&op->fs->layout, bytes_of(key.data, at), &name, false, 0, &op->arena, ret);
    CHECK(made);
}

/* ---- a lost race ---- */

static void parent_on_stat(struct fs_op *op, enum err_code code);

void tree_parent_again(struct fs_op *op, struct node *parent, op_step step)
{
    op->again_step = step;
    op->again_parent = real_directory(parent);
    op->tries++;
    op_stat(op, op->again_parent, true, parent_on_stat);
}

static void parent_on_stat(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK && op->tries >= OP_TRIES_MAX)
        code = ERR_CONFLICT;
    if (code == ERR_OK)
        cache_told(op->again_parent, &op->file);
    op->again_step(op, code);
}
