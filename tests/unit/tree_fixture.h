/* A store in memory, and short words to change it: one entry, one batch each. The names are compared
 * with the keys after every change. */
#ifndef TESTS_UNIT_TREE_FIXTURE_H
#define TESTS_UNIT_TREE_FIXTURE_H

#include "tests/test.h"

#include "mvcc/names.h"
#include "mvcc/store.h"
#include "proto/base/check.h"
#include "proto/kv_pb.h"
#include "proto/meta.h"

#define B(text) BYTES_LITERAL(text)
#define TREE_CLUSTER 77
#define SECOND 1000000000LL

struct tree {
    struct backend_memory *memory;
    char *folder;                       /* of LevelDB, instead of memory */
    struct backend *backend;
    struct store *store;
    raft_index index;
    kv_time clock;                      /* the next entry's stamp is a second later */
    uint64_t session, number;           /* of the next entry; 0: none */
    uint64_t lowest_open;
    struct err err;                     /* of the last entry */
    bool repeated;
    struct lease_change lease;          /* what it did to a lease */
    bool unchecked;                     /* do not compare names with keys each time */
    unsigned group, pending;            /* entries of one batch (0: one); how many it has now */
    struct arena arena;                 /* of answers */
};

static inline struct backend *tree_backend(struct tree *tree)
{
    struct backend_leveldb_options options = {.folder = tree->folder, .create = true};
    struct backend *backend;
    if (!tree->folder)
        return backend_memory_open(tree->memory);
    assert_ok(backend_leveldb_open(&backend, &options, NULL));
    return backend;
}

static inline struct tree *tree_reopen(struct tree *tree)
{
    struct store_options options = {.backend = tree_backend(tree),
                                    .cluster_id = TREE_CLUSTER,
                                    .member_id = 1,
                                    .generation = 1,
                                    .create = true};
    tree->backend = options.backend;
    assert_ok(store_open(&tree->store, &options, NULL));
    return tree;
}

static inline struct tree *tree_new(void)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    tree->memory = backend_memory_new(0);
    tree->clock = 1000 * SECOND;
    return tree_reopen(tree);
}

/* On LevelDB. */
static inline struct tree *tree_new_leveldb(void)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    tree->folder = test_folder_new();
    tree->clock = 1000 * SECOND;
    return tree_reopen(tree);
}

static inline void tree_free(struct tree *tree)
{
    store_close(tree->store);
    if (tree->folder)
        test_folder_remove(tree->folder);
    else
        backend_memory_free(tree->memory);
    arena_release(&tree->arena);
    free(tree);
}

/* The names agree with the keys (S5). */
static inline void tree_check(struct tree *tree)
{
    struct view view = view_open(tree->backend);
    struct err err;
    if (names_validate(&view, store_revision(tree->store), &err))
        fail_msg("%s", err.text);
    view_release(&view);
}

/* Writes what is pending. */
static inline void tree_commit(struct tree *tree)
{
    if (tree->pending == 0)
        return;
    tree->pending = 0;
    assert_ok(store_commit(tree->store, &tree->err));
    if (!tree->unchecked)
        tree_check(tree);
}

/* Applies; result (may be NULL) lives in the tree's arena until the next call. Returns the code. */
static inline enum err_code tree_apply(struct tree *tree, struct entry_request *request,
                                       struct kv_op_result *result)
{
    struct store_result answer;
    request->session = tree->session;
    request->number = tree->number;
    request->lowest_open = tree->lowest_open;
    struct entry entry = {.term = 1, .index = ++tree->index,
                          .payload = entry_request_encode(request)};
    tree->clock += SECOND;
    entry_stamp_set(entry.payload, tree->clock);
    if (tree->pending++ == 0)
        store_begin(tree->store);
    assert_ok(store_apply(tree->store, &entry, true, &answer, &tree->err));
    if (tree->pending >= tree->group)
        tree_commit(tree);
    blob_unref(entry.payload);
    arena_release(&tree->arena);
    tree->arena = answer.arena;
    tree->err = answer.err;
    tree->repeated = answer.repeated;
    tree->lease = answer.lease;
    if (result)
        *result = answer.result;
    return answer.code;
}

static inline enum err_code tree_ops(struct tree *tree, const struct kv_op *ops, size_t count,
                                     struct kv_op_result *result)
{
    struct entry_request request = {.kind = ENTRY_TXN,
                                    .privileged = true,
                                    .txn = {.success = ops, .success_count = count}};
    return tree_apply(tree, &request, result);
}

static inline enum err_code tree_put_bytes(struct tree *tree, struct bytes key, struct bytes value)
{
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = key, .value = value}};
    return tree_ops(tree, &op, 1, NULL);
}

static inline void tree_put(struct tree *tree, const char *key, const char *value)
{
    assert_ok(tree_put_bytes(tree, bytes_of_text(key), bytes_of_text(value)));
}

static inline void tree_delete(struct tree *tree, const char *key)
{
    struct kv_op op = {.kind = KV_OP_DELETE, .del = {.key = bytes_of_text(key)}};
    assert_ok(tree_ops(tree, &op, 1, NULL));
}

static inline void tree_record(struct tree *tree, const char *prefix, const char *key,
                               const struct meta *meta)
{
    struct buf name = {0}, value = {0};
    buf_append(&name, bytes_of_text(prefix));
    buf_append(&name, bytes_of_text(key));
    meta_encode(meta, &value);
    assert_ok(tree_put_bytes(tree, buf_bytes(&name), buf_bytes(&value)));
    buf_release(&name);
    buf_release(&value);
}

static inline void tree_meta(struct tree *tree, const char *key, const struct meta *meta)
{
    tree_record(tree, KV_META_PREFIX, key, meta);
}

static inline void tree_mkdir(struct tree *tree, const char *key)
{
    tree_record(tree, KV_DIR_PREFIX, key,
                &(struct meta){.type = META_DIRECTORY, .has_mode = true, .mode = 0700});
}

static inline enum err_code tree_rename(struct tree *tree, struct kv_rename rename,
                                        int64_t *ret_moved)
{
    struct kv_op op = {.kind = KV_OP_RENAME, .rename = rename};
    struct kv_op_result result;
    enum err_code code = tree_ops(tree, &op, 1, &result);
    if (ret_moved && !code)
        *ret_moved = result.txn.results[0].rename.moved;
    return code;
}

/* The answer lives in the tree's arena until the next change. */
static inline enum err_code tree_lookup_at(struct tree *tree, const char *directory,
                                           const char *name, kv_rev at, struct kv_name *ret)
{
    struct kv_lookup lookup = {.directory = bytes_of_text(directory),
                               .name = bytes_of_text(name),
                               .revision = at};
    kv_rev revision;
    return store_lookup(tree->store, &lookup, &tree->arena, ret, &revision, &tree->err);
}

static inline enum err_code tree_lookup(struct tree *tree, const char *directory, const char *name,
                                        struct kv_name *ret)
{
    return tree_lookup_at(tree, directory, name, 0, ret);
}

/* The names of a directory as "a b/ c": with a '/' for those that are directories. */
static inline const char *tree_names_at(struct tree *tree, const char *directory, kv_rev at)
{
    static char text[4096];
    struct kv_list list = {.directory = bytes_of_text(directory), .limit = 3, .revision = at};
    size_t used = 0, count = 0;
    text[0] = 0;
    for (;;) {
        struct kv_list_result result;
        kv_rev revision;
        assert_ok(store_list(tree->store, &list, &tree->arena, &result, &revision, &tree->err));
        for (size_t i = 0; i < result.count; i++) {
            const struct kv_name *name = &result.names[i];
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s%s", count++ ? " " : "",
                                     (int)name->name.size, (const char *)name->name.data,
                                     name->is_directory ? "/" : "");
            list.after = name->name;
            list.has_after = true;
        }
        if (!result.more)
            return text;
    }
}

static inline const char *tree_names(struct tree *tree, const char *directory)
{
    return tree_names_at(tree, directory, 0);
}

/* The newest value as text in the tree's arena; NULL: there is none. */
static inline const char *tree_value(struct tree *tree, const char *key)
{
    struct kv_range range = {.key = bytes_of_text(key)};
    struct kv_range_result result;
    kv_rev revision;
    assert_ok(store_range(tree->store, &range, &tree->arena, &result, &revision, &tree->err));
    if (result.count == 0)
        return NULL;
    char *text = arena_zalloc(&tree->arena, result.items[0].value.size + 1);
    memcpy(text, result.items[0].value.data, result.items[0].value.size);
    return text;
}

#endif
