/* mvcc/backend_memory.c and backend_leveldb.c: what survives, logs, refusals. The rows themselves are
 * tested through test_batch.c. */
#include "mvcc/backend.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"

static void put(struct backend *backend, const char *key, const char *value)
{
    struct backend_op op = {.key = bytes_of_text(key), .value = bytes_of_text(value)};
    assert_ok(backend->ops->write(backend, &op, 1, NULL));
}

static bool has(struct backend *backend, const char *key)
{
    struct buf found = {0};
    enum err_code code = backend->ops->get(backend, NULL, bytes_of_text(key), &found, NULL);
    buf_release(&found);
    assert_true(code == ERR_OK || code == ERR_NOT_FOUND);
    return code == ERR_OK;
}

static void test_memory_crash(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    put(backend, "a", "1");
    assert_ok(backend->ops->flush(backend, NULL));
    put(backend, "a", "2");
    put(backend, "b", "2");
    assert_int_equal(backend_memory_batches(memory), 3);
    assert_int_equal(backend_memory_durable(memory), 1);
    backend_close(backend);
    backend_memory_crash(memory, 2);
    backend = backend_memory_open(memory);
    struct buf found = {0};
    assert_ok(backend->ops->get(backend, NULL, BYTES_LITERAL("a"), &found, NULL));
    assert_bytes_equal(buf_bytes(&found), BYTES_LITERAL("2"));
    buf_release(&found);
    assert_false(has(backend, "b"));
    backend_close(backend);
    backend_memory_free(memory);
}

/* Rows older than the durable state are forgotten; those a crash can bring back are not. */
static void test_memory_crash_to_durable(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(100);
    struct backend *backend = backend_memory_open(memory);
    for (int i = 0; i < 50; i++)
        put(backend, "counter", "xxxxxxxxx");
    uint64_t durable = backend_memory_durable(memory);
    assert_true(durable > 0 && durable < 50);
    put(backend, "counter", "last");
    backend_close(backend);
    backend_memory_crash(memory, durable);
    backend = backend_memory_open(memory);
    assert_true(has(backend, "counter"));
    backend_close(backend);
    backend_memory_free(memory);
}

static void test_memory_logs(void **state)
{
    (void)state;
    uint64_t log, next;
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    assert_ok(backend->ops->log_current(backend, &log, NULL));
    assert_true(backend->ops->log_exists(backend, log));
    assert_ok(backend->ops->flush(backend, NULL));
    assert_false(backend->ops->log_exists(backend, log));
    assert_ok(backend->ops->log_current(backend, &next, NULL));
    assert_true(next > log);
    assert_ok(backend->ops->forget_logs(backend, NULL));
    backend_close(backend);
    backend_memory_free(memory);
}

/* ---- LevelDB ---- */

static struct backend *open_leveldb(const char *folder, bool create)
{
    struct backend *backend = NULL;
    struct err err = {0};
    struct backend_leveldb_options options = {.folder = folder, .create = create};
    if (backend_leveldb_open(&backend, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return backend;
}

static unsigned count_in(const char *folder, const char *suffix)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        count += dot && dot != entry->d_name && strcmp(dot, suffix) == 0;
    }
    closedir(dir);
    return count;
}

static unsigned count_aside(const char *folder)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/aside", folder);
    return count_in(path, ".log");
}

/* What no table holds is gone after a clean close too: LevelDB's log is not read. */
static void test_leveldb_log_is_not_trusted(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend = open_leveldb(folder, true);
    uint64_t log;
    put(backend, "a", "1");
    assert_ok(backend->ops->log_current(backend, &log, NULL));
    for (int i = 0; i < 100 && backend->ops->log_exists(backend, log); i++)
        assert_ok(backend->ops->flush(backend, NULL));
    assert_false(backend->ops->log_exists(backend, log));
    put(backend, "b", "1");
    backend_close(backend);
    backend = open_leveldb(folder, false);
    assert_true(has(backend, "a"));
    assert_false(has(backend, "b"));
    assert_true(count_aside(folder) > 0);
    assert_ok(backend->ops->forget_logs(backend, NULL));
    assert_int_equal(count_aside(folder), 0);
    backend_close(backend);
    test_folder_remove(folder);
}

/* Several openings without forgetting: every log is kept. */
static void test_leveldb_keeps_each_log_aside(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend = open_leveldb(folder, true);
    put(backend, "a", "1");
    backend_close(backend);
    unsigned before = 0;
    for (int i = 0; i < 4; i++) {
        backend = open_leveldb(folder, false);
        assert_true(count_aside(folder) > before);
        before = count_aside(folder);
        backend_close(backend);
    }
    test_folder_remove(folder);
}

static void test_leveldb_missing(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend = NULL;
    struct err err = {0};
    struct backend_leveldb_options options = {.folder = folder};
    assert_err(backend_leveldb_open(&backend, &options, &err), NOT_FOUND);
    assert_non_null(strstr(err.text, "no store in"));
    assert_null(backend);
    test_folder_remove(folder);
}

static void test_leveldb_locked(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend = open_leveldb(folder, true), *second = NULL;
    struct err err = {0};
    struct backend_leveldb_options options = {.folder = folder};
    /* It is refused before it touches the logs of the one that is open. */
    unsigned logs = count_in(folder, ".log");
    assert_err(backend_leveldb_open(&second, &options, &err), IO);
    assert_int_equal(count_in(folder, ".log"), logs);
    put(backend, "a", "1");
    backend_close(backend);
    test_folder_remove(folder);
}

static void damage_tables(const char *folder)
{
    char path[512];
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".ldb"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        for (int i = 0; i < 40; i++)
            fputc(0x5a, file);
        fclose(file);
    }
    closedir(dir);
}

/* A flipped byte is found by the read that meets it, and told as what it is. */
static void test_leveldb_corrupt_table(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct backend *backend = open_leveldb(folder, true);
    uint64_t log;
    put(backend, "a", "some value that is long enough to be damaged, and then some more of it");
    assert_ok(backend->ops->log_current(backend, &log, NULL));
    for (int i = 0; i < 100 && backend->ops->log_exists(backend, log); i++)
        assert_ok(backend->ops->flush(backend, NULL));
    backend_close(backend);
    damage_tables(folder);
    struct backend_leveldb_options options = {.folder = folder};
    struct err err = {0};
    enum err_code code = backend_leveldb_open(&backend, &options, &err);
    if (code == ERR_OK) {
        struct buf found = {0};
        code = backend->ops->get(backend, NULL, BYTES_LITERAL("a"), &found, &err);
        buf_release(&found);
        backend_close(backend);
    }
    assert_int_equal(code, ERR_CORRUPT);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_crash),
        cmocka_unit_test(test_memory_crash_to_durable),
        cmocka_unit_test(test_memory_logs),
        cmocka_unit_test(test_leveldb_log_is_not_trusted),
        cmocka_unit_test(test_leveldb_keeps_each_log_aside),
        cmocka_unit_test(test_leveldb_missing),
        cmocka_unit_test(test_leveldb_locked),
        cmocka_unit_test(test_leveldb_corrupt_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
