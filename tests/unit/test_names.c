/* The live names: what stands at a name, what a directory holds, and the same in the past. */
#include "tests/unit/tree_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "proto/base/limits.h"
#include "proto/base/rand.h"

static void a_key_makes_its_directories(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/app/port", "8080");
    assert_ok(tree_lookup(tree, "/app/", "port", &name));
    assert_true(name.has_value && !name.is_directory && !name.has_node);
    assert_bytes_equal(name.name, B("port"));
    assert_int_equal(name.size, 4);
    assert_int_equal(name.create_revision, 2);
    assert_int_equal(name.mod_revision, 2);
    assert_int_equal(name.version, 1);
    assert_int_equal(name.mod_time, tree->clock);
    assert_int_equal(name.meta_mod_revision, 0);
    assert_ok(tree_lookup(tree, "/", "app", &name));
    assert_true(name.is_directory && !name.has_value);
    assert_int_equal(name.name_count, 1);
    assert_int_equal(name.directory_count, 0);
    assert_int_equal(name.directory_create_revision, 0);
    assert_int_equal(name.change_revision, 2);
    assert_int_equal(name.change_time, tree->clock);
    assert_ok(tree_lookup(tree, "", "", &name));                /* the directory "/" */
    assert_int_equal(name.name_count, 1);
    assert_int_equal(name.directory_count, 1);
    assert_ok(tree_lookup(tree, "", "/", &name));               /* the directory "" */
    assert_true(name.is_directory);
    assert_int_equal(name.name_count, 1);
    assert_err(tree_lookup(tree, "/app/", "por", &name), NOT_FOUND);
    assert_err(tree_lookup(tree, "/ap", "p", &name), NOT_FOUND);
    assert_err(tree_lookup(tree, "/", "app/port", &name), NOT_FOUND);
    tree_free(tree);
}

static void an_empty_store_has_no_root(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    assert_err(tree_lookup(tree, "", "", &name), NOT_FOUND);
    assert_err(tree_lookup(tree, "", "/", &name), NOT_FOUND);
    assert_string_equal(tree_names(tree, "/"), "");
    tree_mkdir(tree, "");                                       /* the record of "/" */
    assert_ok(tree_lookup(tree, "", "", &name));
    assert_true(name.is_directory);
    assert_int_equal(name.directory_create_revision, 2);
    tree_free(tree);
}

static void implicit_directories_go_with_their_last_name(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a/b/c", "1");
    tree_put(tree, "/a/x", "1");
    tree_delete(tree, "/a/b/c");
    assert_string_equal(tree_names(tree, "/a/"), "x");
    assert_err(tree_lookup(tree, "/a/", "b", &name), NOT_FOUND);
    assert_ok(tree_lookup(tree, "/", "a", &name));
    assert_int_equal(name.change_revision, 4);
    assert_int_equal(name.directory_count, 0);
    tree_delete(tree, "/a/x");
    assert_err(tree_lookup(tree, "", "", &name), NOT_FOUND);
    tree_free(tree);
}

static void a_record_alone_makes_a_directory(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_mkdir(tree, "/x/empty");
    assert_string_equal(tree_names(tree, "/"), "x/");
    assert_ok(tree_lookup(tree, "/x/", "empty", &name));
    assert_true(name.is_directory);
    assert_int_equal(name.name_count, 0);
    assert_int_equal(name.directory_create_revision, 2);
    assert_int_equal(name.directory_create_time, tree->clock);
    assert_int_equal(name.change_revision, 2);
    assert_true(name.directory_record.size > 0);
    tree_put(tree, "/x/empty/f", "1");
    tree_delete(tree, "/x/empty/f");
    assert_ok(tree_lookup(tree, "/x/", "empty", &name));        /* it stays without names */
    assert_int_equal(name.change_revision, 4);
    tree_delete(tree, ".concordfs/dir//x/empty");
    assert_err(tree_lookup(tree, "/", "x", &name), NOT_FOUND);
    tree_free(tree);
}

static void a_directory_with_its_own_value(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a", "own");
    assert_ok(tree_lookup(tree, "/", "a", &name));
    assert_true(name.has_value && !name.is_directory);
    tree_put(tree, "/a/b", "below");
    assert_ok(tree_lookup(tree, "/", "a", &name));
    assert_true(name.has_value && name.is_directory);
    assert_int_equal(name.size, 3);
    tree_delete(tree, "/a");
    assert_ok(tree_lookup(tree, "/", "a", &name));
    assert_true(!name.has_value && name.is_directory);
    tree_put(tree, "/a/", "trailing");                          /* name "" in /a/ */
    assert_string_equal(tree_names(tree, "/a/"), " b");
    assert_ok(tree_lookup(tree, "/a/", "", &name));
    assert_int_equal(name.size, 8);
    tree_free(tree);
}

static void a_record_counts_for_its_key(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    struct meta meta = {.has_mode = true, .mode = 0600};
    (void)state;
    tree_put(tree, "/f", "1");
    tree_meta(tree, "/f", &meta);                               /* later, and not said for what */
    assert_ok(tree_lookup(tree, "/", "f", &name));
    assert_int_equal(name.meta_mod_revision, 0);
    meta.for_create = 2;
    tree_meta(tree, "/f", &meta);
    assert_ok(tree_lookup(tree, "/", "f", &name));
    assert_int_equal(name.meta_mod_revision, 4);
    assert_int_equal(name.meta_mod_time, tree->clock);
    assert_true(name.meta.size > 0);
    tree_put(tree, "/f", "2");                                  /* another version of the same file */
    assert_ok(tree_lookup(tree, "/", "f", &name));
    assert_int_equal(name.meta_mod_revision, 4);
    tree_delete(tree, "/f");                                    /* takes the record along */
    assert_null(tree_value(tree, ".concordfs/meta//f"));
    tree_put(tree, "/f", "3");
    assert_ok(tree_lookup(tree, "/", "f", &name));
    assert_int_equal(name.meta_mod_revision, 0);
    tree_free(tree);
}

static void fifos_are_records_without_a_key(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_meta(tree, "/d/pipe", &(struct meta){.type = META_FIFO});
    assert_string_equal(tree_names(tree, "/d/"), "pipe");
    assert_ok(tree_lookup(tree, "/d/", "pipe", &name));
    assert_true(name.has_node && !name.has_value && !name.is_directory);
    assert_int_equal(name.create_revision, 2);
    assert_int_equal(name.meta_mod_revision, 2);
    tree_put(tree, "/d/pipe", "now a file");
    assert_ok(tree_lookup(tree, "/d/", "pipe", &name));
    assert_true(name.has_value && !name.has_node);
    assert_int_equal(name.meta_mod_revision, 0);
    tree_delete(tree, "/d/pipe");
    assert_string_equal(tree_names(tree, "/"), "");
    /* A record of an ordinary file makes no name before its key comes. */
    tree_meta(tree, "/e/file", &(struct meta){.has_mode = true, .mode = 0600});
    assert_err(tree_lookup(tree, "/e/", "file", &name), NOT_FOUND);
    assert_string_equal(tree_names(tree, "/"), "");
    tree_free(tree);
}

static void records_that_do_not_decode(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    assert_ok(tree_put_bytes(tree, B(".concordfs/dir//x"), B("\xff")));
    assert_err(tree_lookup(tree, "/", "x", &name), NOT_FOUND);
    assert_ok(tree_put_bytes(tree, B(".concordfs/meta//y"), B("\xff")));
    tree_put(tree, "/y", "1");
    assert_ok(tree_lookup(tree, "/", "y", &name));
    assert_int_equal(name.meta_mod_revision, 0);
    assert_err(tree_lookup_at(tree, "/", "x", 4, &name), NOT_FOUND);
    tree_free(tree);
}

static void large_records_stand_apart(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    static uint8_t big[5000];
    struct meta_xattr xattr = {B("user.big"), bytes_of(big, sizeof(big))};
    struct meta meta = {.has_mode = true, .mode = 0600, .xattrs = &xattr, .xattr_count = 1};
    (void)state;
    meta.for_create = 2;
    tree_put(tree, "/f", "1");
    tree_meta(tree, "/f", &meta);
    meta.for_create = 0;
    meta.type = META_DIRECTORY;
    tree_record(tree, KV_DIR_PREFIX, "/d", &meta);
    for (kv_rev at = 0; at <= 4; at += 4) {
        assert_ok(tree_lookup_at(tree, "/", "f", at, &name));
        assert_true(name.meta.size > sizeof(big));
        assert_ok(tree_lookup_at(tree, "/", "d", at, &name));
        assert_true(name.directory_record.size > sizeof(big));
    }
    tree_put(tree, "/f", "2");
    assert_ok(tree_lookup(tree, "/", "f", &name));
    assert_true(name.meta.size > sizeof(big));
    tree_free(tree);
}

static void names_come_in_byte_order(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree_put(tree, "/d/a!", "1");
    tree_put(tree, "/d/a/x", "1");
    tree_put(tree, "/d/a-b.txt", "1");
    tree_put(tree, "/d/b", "1");
    tree_put(tree, "/d/ab", "1");
    tree_put(tree, "/e", "1");
    tree_put(tree, "/d/\xff", "1");
    const char *want = "a/ a! a-b.txt ab b \xff";
    assert_string_equal(tree_names(tree, "/d/"), want);
    assert_string_equal(tree_names_at(tree, "/d/", store_revision(tree->store)), want);
    assert_string_equal(tree_names(tree, "/none/"), "");
    assert_string_equal(tree_names(tree, "/d"), "");            /* not a directory's spelling */
    tree_free(tree);
}

static void the_past_stays(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a/x", "one");                              /* 2 */
    tree_mkdir(tree, "/a/d");                                   /* 3 */
    tree_meta(tree, "/a/p", &(struct meta){.type = META_FIFO}); /* 4 */
    tree_put(tree, "/a/x", "twotwo");                           /* 5 */
    tree_delete(tree, "/a/x");                                  /* 6 */
    tree_delete(tree, ".concordfs/dir//a/d");                   /* 7 */
    tree_delete(tree, ".concordfs/meta//a/p");                  /* 8 */
    assert_string_equal(tree_names_at(tree, "/a/", 1), "");
    assert_string_equal(tree_names_at(tree, "/a/", 2), "x");
    assert_string_equal(tree_names_at(tree, "/a/", 3), "d/ x");
    assert_string_equal(tree_names_at(tree, "/a/", 5), "d/ p x");
    assert_string_equal(tree_names_at(tree, "/a/", 6), "d/ p");
    assert_string_equal(tree_names_at(tree, "/", 7), "a/");
    assert_string_equal(tree_names_at(tree, "/", 8), "");
    assert_ok(tree_lookup_at(tree, "/a/", "x", 4, &name));
    assert_int_equal(name.size, 3);
    assert_int_equal(name.mod_revision, 2);
    assert_int_equal(name.mod_time, 1001 * SECOND);
    assert_ok(tree_lookup_at(tree, "/", "a", 7, &name));
    assert_true(name.is_directory);
    assert_int_equal(name.directory_count, UINT64_MAX);
    assert_int_equal(name.name_count, 0);
    assert_ok(tree_lookup_at(tree, "/a/", "p", 7, &name));
    assert_true(name.has_node);
    assert_err(tree_lookup_at(tree, "/", "a", 8, &name), NOT_FOUND);
    assert_ok(tree_lookup_at(tree, "", "/", 7, &name));
    assert_err(tree_lookup_at(tree, "/", "a", 9, &name), FUTURE);
    tree_free(tree);
}

static void the_system_range_has_no_names(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/quota"), B("2000000")));
    assert_ok(tree_put_bytes(tree, B(".concordfs/pin/x"), B("5")));
    assert_string_equal(tree_names(tree, ""), "");
    assert_string_equal(tree_names_at(tree, "", 3), "");
    assert_string_equal(tree_names_at(tree, ".concordfs/", 3), "");
    assert_err(tree_lookup(tree, "", ".concordfs", &name), NOT_FOUND);
    assert_err(tree_lookup_at(tree, "", ".concordfs", 3, &name), NOT_FOUND);
    assert_err(tree_lookup_at(tree, "", "/", 3, &name), NOT_FOUND);
    tree_put(tree, "z", "1");
    assert_string_equal(tree_names_at(tree, "", 4), "z");
    tree_free(tree);
}

static void too_deep_for_a_name(void **state)
{
    struct tree *tree = tree_new();
    char key[2 * NAME_DEPTH_MAX + 8];
    struct kv_name name;
    size_t size = 0;
    (void)state;
    for (int i = 0; i < NAME_DEPTH_MAX; i++)
        size += (size_t)sprintf(key + size, "/a");
    assert_int_equal(size, 2 * NAME_DEPTH_MAX);
    tree_put(tree, key, "deep");                /* one component more than NAME_DEPTH_MAX */
    assert_string_equal(tree_value(tree, key), "deep");
    assert_string_equal(tree_names(tree, "/"), "");
    assert_string_equal(tree_names_at(tree, "/", 2), "");
    tree_put(tree, key, "again");
    key[size - 2] = 0;
    tree_put(tree, key, "fits");
    assert_string_equal(tree_names(tree, "/"), "a/");
    assert_string_equal(tree_names_at(tree, "/", 4), "a/");
    key[size - 2] = '/';
    tree_delete(tree, key);
    assert_null(tree_value(tree, key));
    assert_ok(tree_lookup(tree, "", "", &name));
    tree_free(tree);
}

static void names_survive_a_restart(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a/x", "1");
    store_close(tree->store);
    tree_reopen(tree);
    tree_put(tree, "/a/y", "1");
    assert_string_equal(tree_names(tree, "/a/"), "x y");
    assert_ok(tree_lookup(tree, "/", "a", &name));
    assert_int_equal(name.name_count, 2);
    tree_free(tree);
}

static void row_is(struct tree *tree, struct bytes key, const char *format, kv_time time)
{
    struct buf want = {0}, found = {0};
    for (const char *at = format; *at; at++) {
        if (*at == 'T')
            buf_append_le64(&want, (uint64_t)time);
        else if (*at != ' ')
            buf_append_u8(&want, (uint8_t)strtoul((char[]){at[0], at[1], 0}, NULL, 16));
        at += *at != ' ' && *at != 'T';
    }
    assert_ok(tree->backend->ops->get(tree->backend, NULL, key, &found, NULL));
    assert_bytes_equal(buf_bytes(&found), buf_bytes(&want));
    buf_release(&want);
    buf_release(&found);
}

/* The worked example of mvcc/FORMAT, and a record of either kind beside it. */
static void rows_as_the_format_says(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree_put(tree, "/a", "hi");
    kv_time time = tree->clock;
    row_is(tree, B("d"), "20 01 01 02 T", time);
    row_is(tree, B("d\0\0"), "20 01 00 02 T", time);
    row_is(tree, B("d/\0\0" "a"), "01 02 00 12 T 01 02", time);
    row_is(tree, B("mquota"), "04 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00", time);
    tree_meta(tree, "/p", &(struct meta){.type = META_FIFO, .for_create = 9});
    row_is(tree, B("d/\0\0" "p"), "02 02 09 03 00 12 T 01 04 04 08 02 58 09", tree->clock);
    tree_record(tree, KV_DIR_PREFIX, "/d", &(struct meta){.has_mode = true, .mode = 1});
    row_is(tree, B("d/\0\0" "d"), "28 04 00 12 T 01 02 02 10 01 00 00 04 T", tree->clock);
    tree_free(tree);
}

/* ---- against a model; SEED=number draws other changes ---- */

#define MODEL_ROUNDS 400
#define MODEL_KEPT 8            /* one revision in this many is remembered */

static const char *const components[] = {"a", "a!", "b", "", "a-", "\xff"};

static void random_key(struct rand *rand, char *ret)
{
    size_t depth = 1 + rand_below(rand, 4), size = 0;
    for (size_t i = 0; i < depth; i++)
        size += (size_t)sprintf(ret + size, "%s%s", i ? "/" : (rand_chance(rand, 3, 4) ? "/" : ""),
                                components[rand_below(rand, sizeof(components) / sizeof(components[0]))]);
    if (size == 0)
        strcpy(ret, "q");
}

static void random_change(struct tree *tree, struct rand *rand)
{
    static const enum meta_type types[] = {META_FILE, META_FIFO, META_SYMLINK, META_DIRECTORY};
    struct meta meta = {.type = types[rand_below(rand, 4)], .has_mode = true, .mode = 0640,
                        .for_create = (kv_rev)rand_below(rand, 4)};
    struct kv_op del = {.kind = KV_OP_DELETE};
    char key[64], other[64];
    random_key(rand, key);
    random_key(rand, other);
    switch (rand_below(rand, 9)) {
    case 0: case 1: case 2: tree_put(tree, key, "value"); break;
    case 3: tree_delete(tree, key); break;
    case 4: tree_meta(tree, key, &meta); break;
    case 5: tree_mkdir(tree, key); break;
    case 6: {
        char record[96];
        sprintf(record, "%s%s", rand_chance(rand, 1, 2) ? KV_DIR_PREFIX : KV_META_PREFIX, key);
        tree_delete(tree, record);
        break;
    }
    case 7: {
        struct buf end = {0};
        kv_prefix_end(&end, bytes_of_text(key));
        del.del = (struct kv_delete){.key = bytes_of_text(key), .range_end = buf_bytes(&end)};
        assert_ok(tree_ops(tree, &del, 1, NULL));
        buf_release(&end);
        break;
    }
    case 8: {
        enum err_code code = tree_rename(
            tree, (struct kv_rename){.from = bytes_of_text(key), .to = bytes_of_text(other),
                                     .value_only = rand_chance(rand, 1, 3),
                                     .replace = rand_chance(rand, 1, 3)}, NULL);
        assert_true(code == ERR_OK || code == ERR_NOT_FOUND || code == ERR_EXISTS ||
                    code == ERR_INVALID);
        break;
    }
    }
}

/* All that a tree shows, directory after directory. */
static void describe(struct tree *tree, const char *directory, kv_rev at, struct buf *ret)
{
    struct kv_list list = {.directory = bytes_of_text(directory), .limit = 2, .revision = at};
    struct arena arena = {0};
    for (bool more = true; more;) {
        struct kv_list_result result;
        kv_rev revision;
        assert_ok(store_list(tree->store, &list, &arena, &result, &revision, NULL));
        for (size_t i = 0; i < result.count; i++) {
            const struct kv_name *name = &result.names[i];
            buf_append_format(ret, "%s|%.*s|%d%d%d %lld %lld %llu %lld %zu %lld %lld %zu\n",
                              directory, (int)name->name.size, (const char *)name->name.data,
                              name->has_value, name->has_node, name->is_directory,
                              (long long)name->create_revision, (long long)name->mod_revision,
                              (unsigned long long)name->size, (long long)name->mod_time,
                              name->meta.size, (long long)name->meta_mod_revision,
                              (long long)name->directory_mod_revision,
                              name->directory_record.size);
            if (name->is_directory) {
                char *below = NULL;
                assert_true(asprintf(&below, "%s%.*s/", directory, (int)name->name.size,
                                     (const char *)name->name.data) > 0);
                describe(tree, below, at, ret);
                free(below);
            }
            list.after = name->name;
            list.has_after = true;
        }
        more = result.more;
    }
    arena_release(&arena);
}

/* Returns the hash of what the store is at the end. */
static uint64_t model_run(struct tree *tree, unsigned group)
{
    struct buf kept[MODEL_ROUNDS / MODEL_KEPT + 1];
    kv_rev revisions[MODEL_ROUNDS / MODEL_KEPT + 1];
    size_t count = 0;
    uint64_t hash;
    struct rand rand;
    memset(kept, 0, sizeof(kept));
    rand_init(&rand, getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 20261124);
    tree->group = group;
    for (int i = 0; i < MODEL_ROUNDS; i++) {
        random_change(tree, &rand);
        if (i % MODEL_KEPT || tree->pending)
            continue;
        revisions[count] = store_revision(tree->store);
        describe(tree, "", 0, &kept[count++]);
    }
    for (size_t i = 0; i < count; i++) {
        struct buf past = {0};
        describe(tree, "", revisions[i], &past);
        buf_append_u8(&past, 0);
        buf_append_u8(&kept[i], 0);
        assert_string_equal((char *)past.data, (char *)kept[i].data);
        buf_release(&past);
        buf_release(&kept[i]);
    }
    assert_true(count > 0);
    tree_commit(tree);
    assert_ok(store_hash(tree->store, &hash, NULL));
    tree_free(tree);
    return hash;
}

/* What entries do depends neither on how many share a batch nor on the backend. */
static void model(void **state)
{
    (void)state;
    uint64_t hash = model_run(tree_new(), 1);
    assert_int_equal(model_run(tree_new(), 3), hash);
    assert_int_equal(model_run(tree_new_leveldb(), 7), hash);
}

/* ---- beside the writer ---- */

struct reader {
    struct tree *tree;
    atomic_bool stop;
    atomic_uint listings;
};

/* One name goes to and fro between two spellings: whoever looks sees exactly one of them. */
static void *read_names(void *argument)
{
    struct reader *reader = argument;
    struct arena arena = {0};
    while (!atomic_load(&reader->stop)) {
        struct kv_list list = {.directory = B("/d/"), .limit = 8};
        struct kv_lookup lookup = {.directory = B("/"), .name = B("d")};
        struct kv_list_result result;
        struct kv_name name;
        struct store_settings settings;
        kv_rev newest, revision;
        CHECK(store_list(reader->tree->store, &list, &arena, &result, &newest, NULL) == ERR_OK);
        CHECK(result.count == 1 && !result.more);
        list.revision = newest;
        CHECK(store_list(reader->tree->store, &list, &arena, &result, &revision, NULL) == ERR_OK);
        CHECK(result.count == 1 && !result.more);
        CHECK(store_lookup(reader->tree->store, &lookup, &arena, &name, &revision, NULL) == ERR_OK);
        CHECK(name.name_count == 1);
        store_settings_get(reader->tree->store, &settings);
        CHECK(settings.heartbeat_ms == 50 || settings.heartbeat_ms == 77);
        arena_clear(&arena);
        atomic_fetch_add(&reader->listings, 1);
    }
    arena_release(&arena);
    return NULL;
}

static void readers_see_whole_batches(void **state)
{
    struct reader reader = {.tree = tree_new()};
    pthread_t thread;
    (void)state;
    tree_put(reader.tree, "/d/x", "1");
    reader.tree->unchecked = true;
    assert_int_equal(pthread_create(&thread, NULL, read_names, &reader), 0);
    for (unsigned i = 0; i < 300 || atomic_load(&reader.listings) < 20; i++) {
        bool odd = i % 2;
        assert_ok(tree_rename(reader.tree, (struct kv_rename){.from = odd ? B("/d/y") : B("/d/x"),
                                                              .to = odd ? B("/d/x") : B("/d/y")},
                              NULL));
        assert_ok(tree_put_bytes(reader.tree, B(".concordfs/config/heartbeat"),
                                 odd ? B("50") : B("77")));
    }
    atomic_store(&reader.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    tree_check(reader.tree);
    tree_free(reader.tree);
}

/* names_validate is worth something: it sees a row that was tampered with. */
static void the_check_sees_a_wrong_row(void **state)
{
    struct tree *tree = tree_new();
    struct backend_op op = {.key = B("d/a/\0\0x"), .is_delete = true};
    struct view view;
    struct err err;
    (void)state;
    tree_put(tree, "/a/x", "1");
    assert_ok(tree->backend->ops->write(tree->backend, &op, 1, NULL));
    view = view_open(tree->backend);
    assert_err(names_validate(&view, 2, &err), CORRUPT);
    assert_non_null(strstr(err.text, "\"/a/x\" has no row"));
    view_release(&view);
    op = (struct backend_op){.key = B("d/a/\0\0y"), .value = B("\0")};
    assert_ok(tree->backend->ops->write(tree->backend, &op, 1, NULL));
    view = view_open(tree->backend);
    assert_err(names_validate(&view, 2, &err), CORRUPT);
    view_release(&view);
    op.value = B("\x81");
    assert_ok(tree->backend->ops->write(tree->backend, &op, 1, NULL));
    struct kv_name name;
    assert_err(tree_lookup(tree, "/a/", "y", &name), CORRUPT);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_makes_its_directories),
        cmocka_unit_test(an_empty_store_has_no_root),
        cmocka_unit_test(implicit_directories_go_with_their_last_name),
        cmocka_unit_test(a_record_alone_makes_a_directory),
        cmocka_unit_test(a_directory_with_its_own_value),
        cmocka_unit_test(a_record_counts_for_its_key),
        cmocka_unit_test(fifos_are_records_without_a_key),
        cmocka_unit_test(records_that_do_not_decode),
        cmocka_unit_test(large_records_stand_apart),
        cmocka_unit_test(names_come_in_byte_order),
        cmocka_unit_test(the_past_stays),
        cmocka_unit_test(the_system_range_has_no_names),
        cmocka_unit_test(too_deep_for_a_name),
        cmocka_unit_test(names_survive_a_restart),
        cmocka_unit_test(rows_as_the_format_says),
        cmocka_unit_test(model),
        cmocka_unit_test(readers_see_whole_batches),
        cmocka_unit_test(the_check_sees_a_wrong_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
