/* mvcc/home.h, on disk and in memory alike: copies, arrivals, the flip; and mvcc/adopt.c. */
#include "mvcc/store_internal.h"
#include "tests/unit/home_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/rand.h"
#include "proto/base/crc32c.h"

/* Each test runs on both. */
#define BOTH(name)                                                                                 \
    static void name##_memory(void **state) { (void)state; name(false); }                          \
    static void name##_disk(void **state) { (void)state; name(true); }
#define BOTH_TESTS(name) cmocka_unit_test(name##_memory), cmocka_unit_test(name##_disk)

/* ---- the way of a store ---- */

static void test_install(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct store *old = place_open(&to, &receiver_options);
    fill(old, 0, 10);
    store_close(old);
    struct entry entry = {.term = 3, .index = store_applied(source.store) + 1};
    store_begin(source.store);
    assert_ok(store_apply_configuration(source.store, &entry, B("the members"), NULL));
    assert_ok(store_commit(source.store, NULL));
    uint64_t hash = hash_of(source.store);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    fill(source.store, 120, 130);
    assert_int_equal(copy->mark.applied, entry.index);
    assert_int_equal(copy->mark.term, 3);
    assert_int_equal(copy->mark.revision, 121);
    assert_bytes_equal(buf_bytes(&copy->mark.configuration), B("the members"));
    struct store *store = install(copy, &to);
    home_copy_close(copy);
    assert_int_equal(store_applied(store), entry.index);
    assert_int_equal(hash_of(store), hash);
    fixture_validate(store);
    /* It goes on from there as the sender did. */
    fill(store, 120, 130);
    assert_int_equal(hash_of(store), hash_of(source.store));
    store_close(store);
    place_restart(&to);
    store = place_open(&to, &receiver_options);
    assert_true(store_applied(store) >= entry.index);
    store_close(store);
    place_free(&to);
    source_free(&source);
}
BOTH(test_install)

/* From one to the next, and back: each flip ends an older one. */
static void test_install_again(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    for (int i = 0; i < 3; i++) {
        struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
        struct store *store = install(copy, &to);
        assert_int_equal(hash_of(store), hash_of(source.store));
        store_close(store);
        home_copy_close(copy);
        fill(source.store, 200 + i * 10, 210 + i * 10);
        if (i == 1)
            place_restart(&to);
    }
    place_free(&to);
    source_free(&source);
}
BOTH(test_install_again)

/* H4: whatever is written, the bytes and the list stay. */
static void test_copy_stays(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    uint64_t hash = hash_of(source.store);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct home_copy *same = copy_of(&source.place, source.store, source.backend);
    for (int i = 0; i < 8; i++) {
        fill(source.store, 0, 60);
        assert_ok(store_checkpoint(source.store, NULL));
    }
    struct home_copy *other = copy_of(&source.place, source.store, source.backend);
    assert_true(copy->manifest.id != other->manifest.id);
    home_copy_close(same);
    struct store *store = install(copy, &to);
    assert_int_equal(hash_of(store), hash);
    store_close(store);
    home_copy_close(other);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_copy_stays)

static void test_copy_read_refuses(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    uint64_t size = copy->manifest.files[0].size;
    uint8_t byte;
    assert_err(home_copy_read(copy, copy->manifest.count, 0, &byte, 1, NULL), INVALID);
    assert_err(home_copy_read(copy, SIZE_MAX, 0, &byte, 1, NULL), INVALID);
    assert_err(home_copy_read(copy, 0, size, &byte, 1, NULL), INVALID);
    assert_err(home_copy_read(copy, 0, UINT64_MAX, &byte, 2, NULL), INVALID);
    assert_ok(home_copy_read(copy, 0, size - 1, &byte, 1, NULL));
    assert_ok(home_copy_read(copy, 0, size, &byte, 0, NULL));
    home_copy_close(copy);
    home_copy_close(NULL);
    source_free(&source);
}
BOTH(test_copy_read_refuses)

static void test_open_refuses(bool on_disk)
{
    struct place place = place_new(on_disk);
    struct backend *backend = NULL;
    struct home_copy *copy = NULL;
    assert_err(home_open(place.home, false, &backend, NULL), NOT_FOUND);
    assert_ok(home_open(place.home, true, &backend, NULL));
    struct err err = {0};
    assert_err(home_copy_open(place.home, backend, &copy, &err), CORRUPT);
    assert_non_null(strstr(err.text, "no state"));
    backend_close(backend);
    place_free(&place);
}
BOTH(test_open_refuses)

/* ---- what arrives ---- */

static void test_arrival_resumes(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct home_position position, again;
    uint8_t first[16];
    assert_ok(home_incoming_begin(to.home, &copy->manifest, &position, NULL));
    assert_int_equal(position.file + position.offset, 0);
    for (int i = 0; i < 3; i++)
        send_chunk(copy, to.home, &position);
    assert_ok(home_incoming_begin(to.home, &copy->manifest, &again, NULL));
    assert_int_equal(again.file, position.file);
    assert_int_equal(again.offset, position.offset);
    /* What is there already is passed over, whatever it says now. */
    assert_ok(home_copy_read(copy, 0, 0, first, sizeof(first), NULL));
    first[0] ^= 1;
    assert_ok(home_incoming_write(to.home, 0, 0, bytes_of(first, sizeof(first)), &again, NULL));
    assert_int_equal(again.file, position.file);
    assert_int_equal(again.offset, position.offset);
    /* A part that is, and a part that is not. */
    if (position.offset >= 7)
        position.offset -= 7;
    send_chunk(copy, to.home, &position);
    while (position.file < copy->manifest.count)
        send_chunk(copy, to.home, &position);
    assert_ok(home_incoming_finish(to.home, NULL));
    assert_ok(home_incoming_finish(to.home, NULL));
    assert_ok(home_incoming_begin(to.home, &copy->manifest, &again, NULL));
    assert_int_equal(again.file, copy->manifest.count);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_arrival_resumes)

static void test_arrival_refuses(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct home_manifest *manifest = &copy->manifest;
    struct home_position position;
    struct backend *backend = NULL;
    uint8_t bytes[2] = {0};
    assert_err(home_incoming_write(to.home, 0, 0, bytes_of(bytes, 1), &position, NULL), INVALID);
    assert_err(home_incoming_finish(to.home, NULL), INVALID);
    assert_err(home_incoming_open(to.home, &backend, NULL), NOT_FOUND);
    assert_err(home_flip(to.home, NULL), INVALID);
    assert_ok(home_incoming_discard(to.home, NULL));
    assert_ok(home_incoming_begin(to.home, manifest, &position, NULL));
    assert_err(home_incoming_write(to.home, 0, 1, bytes_of(bytes, 1), &position, NULL), INVALID);
    assert_err(home_incoming_write(to.home, manifest->count, 0, bytes_of(bytes, 1), &position, NULL),
               INVALID);
    assert_err(home_incoming_write(to.home, 0, manifest->files[0].size, bytes_of(bytes, 1),
                                   &position, NULL),
               INVALID);
    assert_err(home_incoming_write(to.home, 0, UINT64_MAX, bytes_of(bytes, 2), &position, NULL),
               INVALID);
    assert_err(home_incoming_finish(to.home, NULL), INVALID);
    assert_err(home_flip(to.home, NULL), INVALID);
    send_all(copy, to.home);
    finish(to.home);
    /* A finished one is not thrown away for another. */
    manifest->id++;
    assert_err(home_incoming_begin(to.home, manifest, &position, NULL), BUSY);
    manifest->id--;
    assert_ok(home_incoming_discard(to.home, NULL));
    assert_err(home_incoming_open(to.home, &backend, NULL), NOT_FOUND);
    assert_ok(home_incoming_begin(to.home, manifest, &position, NULL));
    assert_int_equal(position.file + position.offset, 0);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_arrival_refuses)

/* An unfinished one gives way to another. */
static void test_arrival_replaced(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct home_position position;
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    assert_ok(home_incoming_begin(to.home, &copy->manifest, &position, NULL));
    send_chunk(copy, to.home, &position);
    send_chunk(copy, to.home, &position);
    fill(source.store, 300, 310);
    struct home_copy *next = copy_of(&source.place, source.store, source.backend);
    struct store *store = install(next, &to);
    assert_int_equal(hash_of(store), hash_of(source.store));
    store_close(store);
    home_copy_close(next);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_arrival_replaced)

/* H3 at each step of an arrival. */
static void test_crash_between_calls(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    uint64_t hash = hash_of(source.store);
    for (int step = 0; step < 6; step++) {
        struct place to = place_new(on_disk);
        struct store_mark mark = {0};
        struct home_position position;
        struct backend *backend = NULL;
        struct store *store = place_open(&to, &receiver_options);
        fill(store, 0, 5);
        assert_ok(store_checkpoint(store, NULL));
        uint64_t before = hash_of(store);
        store_close(store);
        if (step >= 1)
            assert_ok(home_incoming_begin(to.home, &copy->manifest, &position, NULL));
        if (step >= 2)
            send_all(copy, to.home);
        if (step >= 3)
            finish(to.home);
        if (step >= 4)
            adopt(to.home, &receiver_options, &mark);
        if (step >= 5)
            assert_ok(home_flip(to.home, NULL));
        place_restart(&to);
        enum err_code arrived = home_incoming_open(to.home, &backend, NULL);
        assert_int_equal(arrived, step == 3 || step == 4 ? ERR_OK : ERR_NOT_FOUND);
        backend_close(backend);
        store = place_open(&to, &receiver_options);
        assert_int_equal(hash_of(store), step == 5 ? hash : before);
        store_close(store);
        if (!arrived) {
            adopt(to.home, &receiver_options, &mark);
            assert_ok(home_flip(to.home, NULL));
            store = place_open(&to, &receiver_options);
            assert_int_equal(hash_of(store), hash);
            store_close(store);
        }
        store_mark_release(&mark);
        place_free(&to);
    }
    home_copy_close(copy);
    source_free(&source);
}
BOTH(test_crash_between_calls)

/* ---- damage ---- */

/* Sends a copy with one byte of one file altered. blessed: the list says that it has to be so, as when
 * the sender's own disk has done it. */
static enum err_code send_damaged(struct home_copy *copy, struct home *to, size_t file,
                                  uint64_t offset, bool blessed)
{
    struct home_manifest list = copy->manifest;
    struct home_position position;
    struct buf bytes = {0};
    list.files = mem_xalloc(list.count * sizeof(*list.files));
    memcpy(list.files, copy->manifest.files, list.count * sizeof(*list.files));
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            assert_ok(home_incoming_begin(to, &list, &position, NULL));
        for (size_t i = 0; i < list.count; i++) {
            size_t size = (size_t)list.files[i].size;
            buf_clear(&bytes);
            uint8_t *data = buf_extend(&bytes, size);
            assert_ok(home_copy_read(copy, i, 0, data, size, NULL));
            if (i == file)
                data[offset] ^= (uint8_t)(1 << offset % 8);
            if (pass == 0 && blessed)
                list.files[i].crc = crc32c(0, buf_bytes(&bytes));
            if (pass == 1)
                assert_ok(home_incoming_write(to, i, 0, buf_bytes(&bytes), &position, NULL));
        }
    }
    free(list.files);
    buf_release(&bytes);
    return home_incoming_finish(to, NULL);
}

static void test_flipped_bits_are_refused(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct home_position position;
    struct rand rand;
    rand_init(&rand, 11);
    for (size_t i = 0; i < copy->manifest.count; i++) {
        for (int n = 0; n < 6; n++) {
            uint64_t offset = rand_below(&rand, copy->manifest.files[i].size);
            assert_err(send_damaged(copy, to.home, i, offset, false), CORRUPT);
            assert_err(home_incoming_finish(to.home, NULL), INVALID);
            assert_err(home_incoming_write(to.home, 0, 0, BYTES_EMPTY, &position, NULL), INVALID);
            assert_err(home_flip(to.home, NULL), INVALID);
        }
    }
    /* Of no use, and nothing of it in the way. */
    struct store *store = install(copy, &to);
    assert_int_equal(hash_of(store), hash_of(source.store));
    store_close(store);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_flipped_bits_are_refused)

/* The sender's disk has damaged a table: its list fits the damage. LevelDB's checksums tell, or the bytes
 * meant nothing. */
static void test_damage_at_the_sender(void **state)
{
    (void)state;
    struct source source = source_new(true);
    struct place to = place_new(true);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct rand rand;
    int refused = 0;
    rand_init(&rand, 12);
    for (int n = 0; n < 50; n++) {
        size_t file = 1 + rand_below(&rand, copy->manifest.count - 1);
        uint64_t offset = rand_below(&rand, copy->manifest.files[file].size);
        enum err_code code = send_damaged(copy, to.home, file, offset, true);
        refused += code != ERR_OK;
        if (!code) {
            struct store_mark mark = {0};
            adopt(to.home, &receiver_options, &mark);
            store_mark_release(&mark);
            assert_ok(home_flip(to.home, NULL));
            struct store *store = place_open(&to, &receiver_options);
            assert_int_equal(hash_of(store), hash_of(source.store));
            fixture_validate(store);
            store_close(store);
        }
        assert_ok(home_incoming_discard(to.home, NULL));
    }
    assert_true(refused > 25);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}

static char *arriving(const struct place *to, const char *name)
{
    return mem_xformat("%s/store-1/%s", to->folder, name);
}

/* What the receiver's disk has made of a file: cut, grown, gone. */
static void test_files_of_another_size(void **state)
{
    (void)state;
    struct source source = source_new(true);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    for (size_t i = 0; i < copy->manifest.count; i++) {
        off_t size = (off_t)copy->manifest.files[i].size;
        off_t wrong[] = {0, size - 1, size + 1, -1};
        for (size_t n = 0; n < 4; n++) {
            struct place to = place_new(true);
            send_all(copy, to.home);
            char *path = arriving(&to, copy->manifest.files[i].name);
            assert_int_equal(wrong[n] < 0 ? unlink(path) : truncate(path, wrong[n]), 0);
            free(path);
            enum err_code code = home_incoming_finish(to.home, NULL);
            assert_int_equal(code, wrong[n] < 0 ? ERR_IO : ERR_CORRUPT);
            assert_err(home_flip(to.home, NULL), INVALID);
            place_free(&to);
        }
    }
    home_copy_close(copy);
    source_free(&source);
}

static void test_foreign_names_are_refused(void **state)
{
    (void)state;
    const char *wrong[] = {"OWNER", "LOCK", "000001.log", "MANIFEST-", "MANIFEST-1x", "1.ldbx",
                           ".ldb", "x.sst", "LOG", "000005.ldb.", "aside", "CURRENT.dbtmp"};
    struct place to = place_new(true);
    struct home_position position;
    struct home_file files[] = {{"CURRENT", 1, 0}, {"MANIFEST-000002", 1, 0}, {"000005.ldb", 1, 0}};
    struct home_manifest list = {.id = 1, .files = files, .count = 3};
    assert_ok(home_incoming_begin(to.home, &list, &position, NULL));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(files[2].name, sizeof(files[2].name), "%s", wrong[i]);
        list.id++;
        assert_err(home_incoming_begin(to.home, &list, &position, NULL), INVALID);
    }
    snprintf(files[2].name, sizeof(files[2].name), "MANIFEST-000003");
    assert_err(home_incoming_begin(to.home, &list, &position, NULL), INVALID);
    list.count = 1;
    assert_err(home_incoming_begin(to.home, &list, &position, NULL), INVALID);
    place_free(&to);
}

static void test_no_room(void **state)
{
    (void)state;
    struct place to = place_new(true);
    struct home_position position;
    struct home_file files[] = {{"CURRENT", 1, 0}, {"MANIFEST-000002", 1, 0},
                                {"000005.ldb", HOME_FILE_SIZE_MAX, 0}, {"6.ldb", HOME_FILE_SIZE_MAX, 0}};
    struct home_manifest list = {.id = 1, .files = files, .count = 4};
    struct err err = {0};
    assert_err(home_incoming_begin(to.home, &list, &position, &err), NO_SPACE);
    assert_non_null(strstr(err.text, "MiB"));
    char *path = arriving(&to, "");
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
    place_free(&to);
}

/* ---- the data folder ---- */

static void put_file(const struct place *place, const char *name, const char *text)
{
    char *path = mem_xformat("%s/%s", place->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static bool is_there(const struct place *place, const char *name)
{
    char *path = mem_xformat("%s/%s", place->folder, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static void make(const struct place *place, const char *name)
{
    char *path = mem_xformat("%s/%s", place->folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

/* Whatever a start does not know stays, and what nothing names goes. */
static void test_start_sweeps(void **state)
{
    (void)state;
    struct source source = source_new(true);
    struct place to = place_new(true);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    store_close(install(copy, &to));
    home_copy_close(copy);
    assert_false(is_there(&to, "store"));
    const char *gone[] = {"store", "store-2", "store-77", "copies"};
    const char *kept[] = {"store-", "store-1x", "store-x", "wal", "storey"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        make(&to, gone[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        make(&to, kept[i]);
    put_file(&to, "store-2/000001.ldb", "x");
    make(&to, "store-2/aside");
    put_file(&to, "store-2/aside/x", "x");
    put_file(&to, "current.new", "x");
    put_file(&to, "arrival.new", "x");
    place_restart(&to);
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        assert_false(is_there(&to, gone[i]));
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_true(is_there(&to, kept[i]));
    assert_false(is_there(&to, "current.new"));
    assert_false(is_there(&to, "arrival.new"));
    store_close(place_open(&to, &receiver_options));
    place_free(&to);
    source_free(&source);
}

/* Not guessed at, and nothing goes. */
static void test_damaged_pointers_are_refused(void **state)
{
    (void)state;
    const char *names[] = {"current", "arrival"};
    for (size_t i = 0; i < 2; i++) {
        struct place place = place_new(true);
        struct home *home = NULL;
        struct err err = {0};
        make(&place, "store");
        make(&place, "store-4");
        put_file(&place, names[i], "concordfs current\nfolder 4\nid 0000000000000000\n"
                                   "crc32c 00000000\n");
        assert_err(home_leveldb_new(place.folder, &home, &err), CORRUPT);
        assert_non_null(strstr(err.text, names[i]));
        put_file(&place, names[i], "");
        assert_err(home_leveldb_new(place.folder, &home, &err), CORRUPT);
        assert_true(is_there(&place, "store"));
        assert_true(is_there(&place, "store-4"));
        place_free(&place);
    }
}

static void test_current_folder_gone(void **state)
{
    (void)state;
    struct source source = source_new(true);
    struct place to = place_new(true);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct home *home = NULL;
    store_close(install(copy, &to));
    home_copy_close(copy);
    make(&to, "store");
    char *from = arriving(&to, ""), *away = mem_xformat("%s/away", to.folder);
    from[strlen(from) - 1] = '\0';
    assert_int_equal(rename(from, away), 0);
    assert_err(home_leveldb_new(to.folder, &home, NULL), CORRUPT);
    assert_true(is_there(&to, "store"));
    free(from);
    free(away);
    place_free(&to);
    source_free(&source);
}

/* ---- adopting ---- */

static void test_adopt_whose(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct store_options options = receiver_options;
    struct store_mark mark = {0};
    struct err err = {0};
    send_all(copy, to.home);
    finish(to.home);
    assert_ok(home_incoming_open(to.home, &options.backend, NULL));
    options.cluster_id = 8;
    assert_err(store_adopt(&options, &mark, &err), CORRUPT);
    assert_non_null(strstr(err.text, "cluster"));
    options.cluster_id = 7;
    for (int i = 0; i < 2; i++) {
        assert_ok(store_adopt(&options, &mark, NULL));
        assert_int_equal(mark.revision, 121);
        store_mark_release(&mark);
    }
    backend_close(options.backend);
    assert_ok(home_flip(to.home, NULL));
    /* The sender's ids are not in it any more. */
    struct store *store = NULL;
    struct store_options senders = sender_options;
    assert_ok(home_open(to.home, false, &senders.backend, NULL));
    assert_err(store_open(&store, &senders, &err), CORRUPT);
    assert_non_null(strstr(err.text, "member"));
    store = place_open(&to, &receiver_options);
    assert_int_equal(hash_of(store), hash_of(source.store));
    store_close(store);
    home_copy_close(copy);
    place_free(&to);
    source_free(&source);
}
BOTH(test_adopt_whose)

static void put_row(struct backend *backend, struct bytes key, struct bytes value)
{
    struct backend_op op = {.key = key, .value = value};
    assert_ok(backend->ops->write(backend, &op, 1, NULL));
}

static void test_adopt_refuses(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    struct store_options options = receiver_options;
    struct store_mark mark = {0};
    struct err err = {0};
    options.backend = backend;
    assert_err(store_adopt(&options, &mark, &err), NOT_FOUND);
    assert_err(store_peek(backend, &mark, &err), NOT_FOUND);
    put_row(backend, B("k"), B("x"));
    assert_err(store_adopt(&options, &mark, &err), CORRUPT);
    uint8_t identity[28] = {STORE_FORMAT + 1, 0, 0, 0, 7};
    put_row(backend, B("m_identity"), bytes_of(identity, sizeof(identity)));
    assert_err(store_adopt(&options, &mark, &err), CORRUPT);
    assert_non_null(strstr(err.text, "format 3"));
    identity[0] = STORE_FORMAT;
    put_row(backend, B("m_identity"), bytes_of(identity, sizeof(identity)));
    assert_err(store_adopt(&options, &mark, &err), CORRUPT);
    assert_non_null(strstr(err.text, "mstate"));
    assert_err(store_peek(backend, &mark, &err), CORRUPT);
    backend_close(backend);
    backend_memory_free(memory);
}

/* Each call to the backend fails in turn; then it is done again, as a start does. */
static void test_adopt_fails_anywhere(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct store *store = fixture_open(backend_memory_open(memory));
    fill(store, 0, 30);
    uint64_t hash = hash_of(store);
    store_close(store);
    enum err_code code = ERR_IO;
    for (uint64_t fail_at = 1; code; fail_at++) {
        struct fault_backend fault;
        struct store_options options = receiver_options;
        struct store_mark mark = {0};
        struct backend *below = backend_memory_open(memory);
        fault_init(&fault, below, fail_at);
        options.backend = &fault.backend;
        code = store_adopt(&options, &mark, NULL);
        assert_int_equal(code, fault.failed ? ERR_IO : ERR_OK);
        store_mark_release(&mark);
        backend_close(below);
        assert_true(fail_at < 1000);
    }
    struct store_options options = receiver_options;
    options.backend = backend_memory_open(memory);
    assert_ok(store_open(&store, &options, NULL));
    assert_int_equal(hash_of(store), hash);
    store_close(store);
    backend_memory_free(memory);
}

/* A copy made in the middle of a walk has the walk's place: it ends with the same figure, and the entry
 * that credits it is taken by both. */
static void test_walk_goes_on(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    bool done;
    kv_rev revision;
    uint64_t bytes;
    for (int i = 0; i < 2500; i++)
        fixture_put(source.store, B("/counter"), B("one of many"));
    kv_rev target = store_revision(source.store) - 10;
    assert_ok(fixture_compact(source.store, target));
    assert_ok(store_compact_step(source.store, &done, &revision, &bytes, NULL));
    assert_false(done);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct store *store = install(copy, &to);
    home_copy_close(copy);
    assert_true(store_compact_pending(store));
    uint64_t figure = fixture_walk(source.store, target);
    assert_true(figure > 0);
    assert_int_equal(fixture_walk(store, target), figure);
    struct entry_request credit = {.kind = ENTRY_COMPACTED,
                                   .compact = {.revision = target},
                                   .compacted_bytes = figure};
    struct store_result result;
    assert_ok(fixture_apply(source.store, &credit, &result, NULL));
    assert_ok(fixture_apply(store, &credit, &result, NULL));
    assert_int_equal(hash_of(store), hash_of(source.store));
    fixture_validate(store);
    store_close(store);
    place_free(&to);
    source_free(&source);
}
BOTH(test_walk_goes_on)

/* A verdict survives a restart, and ends with the store that it is about. */
static void test_verdict(bool on_disk)
{
    struct source source = source_new(on_disk);
    struct place to = place_new(on_disk);
    store_close(place_open(&to, &receiver_options));
    assert_int_equal(home_verdict(to.home), HOME_SOUND);
    const enum home_verdict verdicts[] = {HOME_CONDEMNED, HOME_TO_FETCH, HOME_SOUND, HOME_TO_FETCH};
    for (size_t i = 0; i < ARRAY_COUNT(verdicts); i++) {
        assert_ok(home_judge(to.home, verdicts[i], NULL));
        assert_int_equal(home_verdict(to.home), verdicts[i]);
        place_restart(&to);
        assert_int_equal(home_verdict(to.home), verdicts[i]);
    }
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    struct store *store = install(copy, &to);
    assert_int_equal(home_verdict(to.home), HOME_SOUND);
    assert_int_equal(hash_of(store), hash_of(source.store));
    store_close(store);
    home_copy_close(copy);
    place_restart(&to);
    assert_int_equal(home_verdict(to.home), HOME_SOUND);
    place_free(&to);
    source_free(&source);
}
BOTH(test_verdict)

static void write_verdict(const char *folder, const char *lines)
{
    char path[512];
    snprintf(path, sizeof path, "%s/verdict", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%scrc32c %08x\n", lines, crc32c(0, bytes_of_text(lines)));
    assert_int_equal(fclose(file), 0);
}

/* What was said of a store that is gone says nothing of this one; what nobody can have said is refused. */
static void test_verdict_files(void **state)
{
    (void)state;
    struct place place = place_new(true);
    struct err err = {0};
    store_close(place_open(&place, &receiver_options));
    write_verdict(place.folder, "concordfs verdict\nfolder 7\nid 0000000000000002\n");
    place_restart(&place);
    assert_int_equal(home_verdict(place.home), HOME_SOUND);
    write_verdict(place.folder, "concordfs verdict\nfolder 0\nid 0000000000000002\n");
    place_restart(&place);
    assert_int_equal(home_verdict(place.home), HOME_TO_FETCH);
    const char *wrong[] = {"concordfs verdict\nfolder 0\nid 0000000000000003\n", "concordfs verdict\n"};
    home_leveldb_free(place.home);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        write_verdict(place.folder, wrong[i]);
        assert_err(home_leveldb_new(place.folder, &place.home, &err), CORRUPT);
        assert_non_null(strstr(err.text, "verdict"));
    }
    test_folder_remove(place.folder);
}

/* ---- room ---- */

static void test_room_is_set_aside(bool on_disk)
{
    struct place place = place_new(on_disk);
    uint64_t total, before, between, after;
    assert_ok(home_room(place.home, &total, &before, NULL));
    assert_true(before <= total);
    if (before < HOME_RESERVE_SIZE + 2 * SPACE_LOW) {
        place_free(&place);
        skip();
    }
    assert_ok(home_reserve(place.home, NULL));
    assert_ok(home_reserve(place.home, NULL));
    if (on_disk) {
        struct stat found;
        char *path = mem_xformat("%s/reserve", place.folder);
        assert_int_equal(stat(path, &found), 0);
        assert_true((uint64_t)found.st_blocks * 512 >= HOME_RESERVE_SIZE);
        place_restart(&place);
        assert_int_equal(access(path, F_OK), 0);
        /* Cut short: of no use, and gone at a start. */
        assert_int_equal(truncate(path, 4096), 0);
        place_restart(&place);
        assert_int_equal(access(path, F_OK), -1);
        free(path);
    } else {
        assert_ok(home_room(place.home, &total, &between, NULL));
        assert_int_equal(before - between, HOME_RESERVE_SIZE);
        assert_ok(home_give_back(place.home, NULL));
        assert_ok(home_room(place.home, &total, &after, NULL));
        assert_int_equal(after, before);
        home_memory_set_free(place.memory, HOME_RESERVE_SIZE + SPACE_LOW - 1);
        assert_err(home_reserve(place.home, NULL), NO_SPACE);
    }
    assert_ok(home_give_back(place.home, NULL));
    assert_ok(home_give_back(place.home, NULL));
    place_free(&place);
}
BOTH(test_room_is_set_aside)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_TESTS(test_install),
        BOTH_TESTS(test_install_again),
        BOTH_TESTS(test_copy_stays),
        BOTH_TESTS(test_copy_read_refuses),
        BOTH_TESTS(test_open_refuses),
        BOTH_TESTS(test_arrival_resumes),
        BOTH_TESTS(test_arrival_refuses),
        BOTH_TESTS(test_arrival_replaced),
        BOTH_TESTS(test_crash_between_calls),
        BOTH_TESTS(test_flipped_bits_are_refused),
        cmocka_unit_test(test_damage_at_the_sender),
        cmocka_unit_test(test_files_of_another_size),
        cmocka_unit_test(test_foreign_names_are_refused),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_start_sweeps),
        cmocka_unit_test(test_damaged_pointers_are_refused),
        cmocka_unit_test(test_current_folder_gone),
        BOTH_TESTS(test_adopt_whose),
        cmocka_unit_test(test_adopt_refuses),
        cmocka_unit_test(test_adopt_fails_anywhere),
        BOTH_TESTS(test_walk_goes_on),
        BOTH_TESTS(test_verdict),
        BOTH_TESTS(test_room_is_set_aside),
        cmocka_unit_test(test_verdict_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
