/* Readers beside the writer: what they see is whole, and never goes back. For ThreadSanitizer too. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

/* LevelDB and what it is built on are not compiled with the sanitizer, which therefore does not see how
 * they order their own memory. Everything of ours is C, and is watched. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libleveldb.so\nrace:libsnappy.so\nrace:libstdc++.so\n";
}

#define KEYS 8
#define ROUNDS 150

struct stage {
    struct store *store;
    atomic_bool done;
};

/* CHECK, because what fails on a thread of its own does not end a test. */

/* Each txn writes the same text to all keys; no reader ever sees two texts at one revision. */
static void read_range(struct store *store, kv_rev *last)
{
    struct arena arena = {0};
    struct kv_range range = {.key = B("/k"), .range_end = B("/l")};
    struct kv_range_result result;
    kv_rev revision;
    CHECK(store_range(store, &range, &arena, &result, &revision, NULL) == ERR_OK);
    CHECK(revision >= *last);
    *last = revision;
    CHECK(result.count == KEYS || revision == 1);
    for (size_t i = 1; i < result.count; i++) {
        CHECK(bytes_equal(result.items[i].value, result.items[0].value));
        CHECK(result.items[i].mod_revision == result.items[0].mod_revision);
    }
    arena_release(&arena);
}

/* What a listing shows can be read at its own revision and as the newest: no name is ahead of its key. */
static void read_listed(struct store *store, kv_rev listed, kv_rev mod_revision)
{
    struct arena arena = {0};
    struct kv_range range = {.key = B("/k0")};
    struct kv_range_result result;
    kv_rev revision;
    CHECK(mod_revision <= listed && listed <= store_revision(store));
    CHECK(store_range(store, &range, &arena, &result, &revision, NULL) == ERR_OK);
    CHECK(result.count == 1 && result.items[0].mod_revision >= mod_revision);
    CHECK(revision >= listed);
    range.revision = listed;
    enum err_code code = store_range(store, &range, &arena, &result, &revision, NULL);
    CHECK(code == ERR_OK || code == ERR_COMPACTED);
    CHECK(code || (result.count == 1 && result.items[0].mod_revision == mod_revision));
    arena_release(&arena);
}

static void read_names(struct store *store)
{
    struct arena arena = {0};
    struct kv_list list = {.directory = B("/"), .limit = 100};
    struct kv_lookup lookup = {.directory = B("/"), .name = B("k0")};
    struct kv_list_result result;
    struct kv_name name;
    struct kv_item item;
    kv_rev revision;
    enum err_code code = store_list(store, &list, &arena, &result, &revision, NULL);
    CHECK(code == ERR_OK || code == ERR_NOT_FOUND);
    if (!code && result.count) {
        CHECK(result.count == KEYS);
        read_listed(store, revision, result.names[0].mod_revision);
        code = store_get_version(store, B("/k0"), result.names[0].mod_revision, &arena, &item, NULL);
        CHECK(code == ERR_OK || code == ERR_COMPACTED);
    }
    code = store_lookup(store, &lookup, &arena, &name, &revision, NULL);
    CHECK(code == ERR_OK || code == ERR_NOT_FOUND);
    if (!code)
        read_listed(store, revision, name.mod_revision);
    arena_release(&arena);
}

static void read_past(struct store *store)
{
    struct arena arena = {0};
    struct kv_range range = {.key = B("/k"), .range_end = B("/l")};
    struct kv_range_result result;
    kv_rev revision;
    kv_time time;
    range.revision = store_compact_revision(store);
    enum err_code code = store_range(store, &range, &arena, &result, &revision, NULL);
    CHECK(code == ERR_OK || code == ERR_COMPACTED);
    if (!code && range.revision)
        CHECK(result.count == KEYS);
    code = store_time(store, store_revision(store), &time, NULL);
    CHECK(code == ERR_OK || code == ERR_NOT_FOUND);
    (void)store_durable_index(store);
    arena_release(&arena);
}

static void *reader(void *context)
{
    struct stage *stage = context;
    kv_rev last = 0;
    while (!stage->done) {
        read_range(stage->store, &last);
        read_names(stage->store);
        read_past(stage->store);
    }
    return NULL;
}

static void write_round(struct store *store, int round)
{
    static const char *const keys[KEYS] = {"/k0", "/k1", "/k2", "/k3", "/k4", "/k5", "/k6", "/k7"};
    char text[2000];
    struct kv_op ops[KEYS];
    struct store_result result;
    memset(text, 'a' + round % 26, sizeof(text));
    for (int i = 0; i < KEYS; i++)
        ops[i] = (struct kv_op){.kind = KV_OP_PUT,
                                .put = {.key = bytes_of_text(keys[i]),
                                        .value = bytes_of(text, round % 2 ? sizeof(text) : 9)}};
    assert_ok(fixture_txn(store, &(struct kv_txn){.success = ops, .success_count = KEYS}, &result));
    arena_release(&result.arena);
}

static void run(struct backend *backend)
{
    struct stage stage = {.store = fixture_open(backend)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &stage), 0);
    for (int round = 0; round < ROUNDS; round++) {
        write_round(stage.store, round);
        if (round % 20 == 19) {
            kv_rev target = store_revision(stage.store) - 5;
            assert_ok(fixture_compact(stage.store, target));
            fixture_walk(stage.store, target);
        }
        if (round % 50 == 49)
            assert_ok(store_checkpoint(stage.store, NULL));
    }
    stage.done = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    fixture_validate(stage.store);
    store_close(stage.store);
}

/* ---- between the batch and its publication ---- */

/* A backend whose writer dawdles between a batch and its publication, or lets someone read there. */
static struct store *store_between;
static unsigned reads_between;
static struct backend_ops slow_ops;
static enum err_code (*write_below)(struct backend *backend, const struct backend_op *ops,
                                    size_t count, struct err *err);

static void read_between(struct store *store);

static enum err_code slow_write(struct backend *backend, const struct backend_op *ops, size_t count,
                                struct err *err)
{
    enum err_code code = write_below(backend, ops, count, err);
    if (!code && store_between)
        read_between(store_between);
    else
        usleep(100);
    return code;
}

static struct backend *slow_backend(struct backend *backend)
{
    slow_ops = *backend->ops;
    write_below = slow_ops.write;
    slow_ops.write = slow_write;
    backend->ops = &slow_ops;
    return backend;
}

static void read_between(struct store *store)
{
    kv_rev revision = store_revision(store);
    struct arena arena = {0};
    struct kv_name name;
    struct kv_lookup lookup = {.directory = B("/"), .name = B("k0")};
    kv_time time;
    kv_rev seen;
    assert_ok(store_lookup(store, &lookup, &arena, &name, &seen, NULL));
    assert_int_equal(seen, revision + 1);
    assert_int_equal(name.mod_revision, seen);
    assert_ok(store_time(store, seen, &time, NULL));
    read_listed(store, seen, name.mod_revision);
    arena_release(&arena);
    reads_between++;
}

static void test_before_publication(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct store *store = fixture_open(slow_backend(backend_memory_open(memory)));
    store_between = store;
    for (int round = 0; round < 4; round++)
        write_round(store, round);
    store_between = NULL;
    assert_int_equal(reads_between, 4);
    assert_int_equal(store_revision(store), 5);
    store_close(store);
    backend_memory_free(memory);
}

/* ---- beside the writer ---- */

static void test_memory(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    run(slow_backend(backend_memory_open(memory)));
    backend_memory_free(memory);
}

static void test_leveldb(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend;
    struct backend_leveldb_options options = {
        .folder = folder, .create = true, .write_buffer_size = 64 * 1024};
    assert_ok(backend_leveldb_open(&backend, &options, NULL));
    run(backend);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_publication),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_leveldb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
