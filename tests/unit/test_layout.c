/* layout: names both ways for every byte string, paths, attributes. */
#include "tests/test.h"

#include <sys/stat.h>

#include "fs/layout.h"
#include "proto/base/rand.h"

#define ALPHABET "a./%_@+0\x00\xff%25EeFfSs -s"

/* The file names of one component, and back; checks that each chunk decodes and fits. */
static void check_component(struct bytes component, enum layout_place place)
{
    uint8_t name[NAME_SIZE_MAX], whole[4096];
    size_t at = 0, size, whole_size = 0;
    bool partial;
    do {
        enum layout_place here = at ? LAYOUT_IN_PARTIAL : place;
        assert_true(layout_chunk_fits(component, at, place));
        size_t covers = layout_encode_chunk(component, at, place, name, &size, &partial);
        assert_true(size <= NAME_SIZE_MAX && size > 0);
        assert_null(memchr(name, '/', size));
        assert_null(memchr(name, 0, size));
        struct layout_name decoded;
        assert_true(layout_decode_name(bytes_of(name, size), here, &decoded));
        assert_int_equal(decoded.kind, partial ? LAYOUT_PARTIAL : LAYOUT_COMPONENT);
        assert_int_equal(decoded.size, covers);
        memcpy(whole + whole_size, decoded.raw, decoded.size);
        whole_size += decoded.size;
        at += covers;
    } while (partial);
    assert_int_equal(at, component.size);
    assert_bytes_equal(component, bytes_of(whole, whole_size));
}

static void every_short_component(void **state)
{
    (void)state;
    uint8_t raw[3];
    for (int size = 0; size <= 2; size++)
        for (int bits = 0; bits < 1 << (8 * size); bits++) {
            for (int i = 0; i < size; i++)
                raw[i] = (uint8_t)(bits >> (8 * i));
            if (size && memchr(raw, '/', (size_t)size))
                continue;
            check_component(bytes_of(raw, (size_t)size), LAYOUT_IN_ROOT);
            check_component(bytes_of(raw, (size_t)size), LAYOUT_IN_DIRECTORY);
        }
    const char *alphabet = ALPHABET;
    size_t count = sizeof(ALPHABET) - 1;
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++)
            for (size_t c = 0; c < count; c++) {
                uint8_t three[] = {(uint8_t)alphabet[a], (uint8_t)alphabet[b], (uint8_t)alphabet[c]};
                if (!memchr(three, '/', 3))
                    check_component(bytes_of(three, 3), LAYOUT_IN_ROOT);
            }
}

/* Each file name that decodes is the one that encodes, so that two names never reach one component. */
static void every_short_name(void **state)
{
    (void)state;
    static const char alphabet[] = "a.%_@+02345E_eF";
    size_t count = sizeof(alphabet) - 1, accepted = 0;
    for (uint32_t number = 0; number < count * count * count * count * count; number++) {
        uint8_t name[5], again[NAME_SIZE_MAX];
        uint32_t rest = number;
        for (int i = 0; i < 5; i++, rest /= (uint32_t)count)
            name[i] = (uint8_t)alphabet[rest % count];
        for (size_t size = 1; size <= 5; size++) {
            struct layout_name decoded;
            if (!layout_decode_name(bytes_of(name, size), LAYOUT_IN_DIRECTORY, &decoded))
                continue;
            if (decoded.kind == LAYOUT_OWN)
                continue;
            size_t again_size;
            bool partial;
            layout_encode_chunk(bytes_of(decoded.raw, decoded.size), 0, LAYOUT_IN_DIRECTORY, again,
                                &again_size, &partial);
            assert_false(partial);
            assert_bytes_equal(bytes_of(name, size), bytes_of(again, again_size));
            accepted++;
        }
    }
    assert_true(accepted > 1000);
}

static void long_components(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 7);
    uint8_t raw[1200];
    for (int round = 0; round < 3000; round++) {
        size_t size = (size_t)rand_below(&rand, sizeof(raw));
        bool special = rand_chance(&rand, 1, 2);
        for (size_t i = 0; i < size; i++) {
            raw[i] = special ? (uint8_t)"%\0a.\xff"[rand_below(&rand, 5)] : (uint8_t)rand_u32(&rand);
            if (raw[i] == '/')
                raw[i] = 'x';
        }
        check_component(bytes_of(raw, size), LAYOUT_IN_DIRECTORY);
    }
}

static void exact_sizes(void **state)
{
    (void)state;
    uint8_t raw[700];
    memset(raw, 'x', sizeof(raw));
    for (size_t size = 245; size < 700; size++) {
        check_component(bytes_of(raw, size), LAYOUT_IN_ROOT);
        raw[size - 1] = '%';
        check_component(bytes_of(raw, size), LAYOUT_IN_ROOT);
        raw[size - 1] = 'x';
    }
}

static void check_name(const char *component, size_t size, const char *name)
{
    uint8_t to[NAME_SIZE_MAX];
    size_t to_size;
    bool partial;
    layout_encode_chunk(bytes_of(component, size), 0, LAYOUT_IN_ROOT, to, &to_size, &partial);
    assert_bytes_equal(bytes_of(to, to_size), bytes_of_text(name));
}

static void worked_names(void **state)
{
    (void)state;
    check_name("", 0, "%_");
    check_name(".", 1, "%2E");
    check_name("..", 2, "%2E%2E");
    check_name("...", 3, "...");
    check_name(".snapshot", 9, "%2Esnapshot");
    check_name(".fs", 3, "%2Efs");
    check_name("100%", 4, "100%25");
    check_name("a\0b", 3, "a%00b");
    check_name("\xff", 1, "\xff");
}

static void refused_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "%41", "%2e", "%", "a%", "%2", "%2Ea", "a%2E", "%2Esnapshots", ".", "..", ".snapshot", "%+",
        "abc%+", "%25%+", "%_a", "%__", "%2E%2E%2E", "%2E.", "%@x", "%0", "%00%", "%5F", "a/b"};
    struct layout_name decoded;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (layout_decode_name(bytes_of_text(names[i]), LAYOUT_IN_DIRECTORY, &decoded))
            fail_msg("\"%s\" was taken", names[i]);
    assert_false(layout_decode_name(bytes_of_text(".fs"), LAYOUT_IN_ROOT, &decoded));
    assert_true(layout_decode_name(bytes_of_text(".fs"), LAYOUT_IN_DIRECTORY, &decoded));
    assert_false(layout_decode_name(bytes_of_text("%2Efs"), LAYOUT_IN_DIRECTORY, &decoded));
    assert_false(layout_decode_name(bytes_of_text("%@"), LAYOUT_IN_ROOT, &decoded));
    assert_false(layout_decode_name(bytes_of_text("%_"), LAYOUT_IN_PARTIAL, &decoded));
    assert_false(layout_decode_name(BYTES_EMPTY, LAYOUT_IN_ROOT, &decoded));
    char longest[NAME_SIZE_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(layout_decode_name(bytes_of(longest, NAME_SIZE_MAX), LAYOUT_IN_ROOT, &decoded));
    assert_false(layout_decode_name(bytes_of(longest, sizeof(longest)), LAYOUT_IN_ROOT, &decoded));
}

static void check_path(const char *prefix, const char *key, const char *path)
{
    struct buf to_path = {0}, to_key = {0};
    assert_true(layout_path_of_key(bytes_of_text(prefix), bytes_of_text(key), &to_path));
    assert_bytes_equal(buf_bytes(&to_path), bytes_of_text(path));
    assert_true(layout_key_of_path(bytes_of_text(prefix), bytes_of_text(path), &to_key));
    assert_bytes_equal(buf_bytes(&to_key), bytes_of_text(key));
    buf_release(&to_path);
    buf_release(&to_key);
}

static void worked_paths(void **state)
{
    (void)state;
    check_path("/", "/a", "a");
    check_path("/", "/app/port", "app/port");
    check_path("/", "//x", "%_/x");
    check_path("/", "/a/", "a/%_");
    check_path("/", "/", "%_");
    check_path("/cfg/", "/cfg/.fs/x", "%2Efs/x");
    check_path("/cfg/", "/cfg/a/.fs", "a/.fs");
    check_path("", "/a", "%_/a");
    check_path("", "a", "a");
    struct buf out = {0};
    assert_false(layout_path_of_key(BYTES_LITERAL("/cfg/"), BYTES_LITERAL("/cfx/a"), &out));
    assert_true(layout_key_of_path(BYTES_LITERAL("/"), BYTES_LITERAL("a/b/%@"), &out));
    assert_bytes_equal(buf_bytes(&out), BYTES_LITERAL("/a/b"));
    assert_false(layout_key_of_path(BYTES_LITERAL("/"), BYTES_LITERAL("%@"), &out));
    assert_false(layout_key_of_path(BYTES_LITERAL("/"), BYTES_LITERAL("%@/x"), &out));
    assert_false(layout_key_of_path(BYTES_LITERAL("/"), BYTES_LITERAL("a//b"), &out));
    assert_false(layout_key_of_path(BYTES_LITERAL("/"), BYTES_LITERAL("a/.snapshot/b"), &out));
    assert_bytes_equal(buf_bytes(&out), BYTES_LITERAL("/a/b"));
    buf_release(&out);
}

static void random_paths(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 11);
    for (int round = 0; round < 2000; round++) {
        uint8_t raw[900];
        size_t size = (size_t)rand_below(&rand, sizeof(raw)) + 1;
        for (size_t i = 0; i < size; i++)
            raw[i] = rand_chance(&rand, 1, 60) ? '/' : (uint8_t)rand_u32(&rand);
        struct buf path = {0}, key = {0};
        buf_append(&key, BYTES_LITERAL("/"));
        buf_append(&key, bytes_of(raw, size));
        struct buf again = {0};
        assert_true(layout_path_of_key(BYTES_LITERAL("/"), buf_bytes(&key), &path));
        assert_true(layout_key_of_path(BYTES_LITERAL("/"), buf_bytes(&path), &again));
        assert_bytes_equal(buf_bytes(&key), buf_bytes(&again));
        buf_release(&path);
        buf_release(&key);
        buf_release(&again);
    }
}

static void a_path_too_long_is_refused(void **state)
{
    (void)state;
    struct buf path = {0}, key = {0};
    for (int i = 0; i < KEY_SIZE_MAX; i++)
        buf_append(&path, BYTES_LITERAL("a/"));
    buf_append(&path, BYTES_LITERAL("b"));
    assert_false(layout_key_of_path(BYTES_LITERAL("/"), buf_bytes(&path), &key));
    assert_int_equal(key.size, 0);
    buf_release(&path);
    buf_release(&key);
}

/* ---- attributes ---- */

static const struct layout layout = {.cluster_id = 5, .uid = 7, .gid = 8, .file_mode = 0644,
                                     .directory_mode = 0755, .has_names = true};

static struct bytes encoded(const struct meta *meta, struct arena *arena)
{
    struct buf out = {0};
    meta_encode(meta, &out);
    struct bytes copy = arena_copy(arena, buf_bytes(&out));
    buf_release(&out);
    return copy;
}

static void a_key_without_a_record(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct kv_name name = {.name = BYTES_LITERAL("port"), .has_value = true, .create_revision = 3,
                           .mod_revision = 9, .size = 5, .mod_time = 1500000000, .create_time = 1};
    struct fs_file file;
    assert_true(layout_file(&layout, BYTES_LITERAL("/app/"), &name, false, 0, &arena, &file));
    assert_int_equal(file.attr.st_mode, S_IFREG | 0644);
    assert_int_equal(file.attr.st_uid, 7);
    assert_int_equal(file.attr.st_gid, 8);
    assert_int_equal(file.attr.st_size, 5);
    assert_int_equal(file.attr.st_nlink, 1);
    assert_int_equal(file.attr.st_mtim.tv_sec, 1);
    assert_int_equal(file.attr.st_mtim.tv_nsec, 500000000);
    uint64_t live = file.attr.st_ino;
    assert_true(live > 1 && !(live >> 63));
    assert_false(layout_file(&layout, BYTES_LITERAL("/app/"), &name, true, 0, &arena, &file));
    assert_true(layout_file(&layout, BYTES_LITERAL("/app/"), &name, false, 12, &arena, &file));
    uint64_t past = file.attr.st_ino;
    assert_true(past >> 63);
    assert_true(layout_file(&layout, BYTES_LITERAL("/app/"), &name, false, 99, &arena, &file));
    assert_true(past == file.attr.st_ino);      /* an equal version */
    arena_release(&arena);
}

static void a_record_counts(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct meta meta = {.type = META_SYMLINK, .has_mode = true, .mode = 0700, .has_owner = true,
                        .uid = 1, .gid = 2, .has_mtime = true, .mtime = 77, .mtime_for = 9};
    struct kv_name name = {.name = BYTES_LITERAL("link"), .has_value = true, .create_revision = 3,
                           .mod_revision = 9, .mod_time = 1000, .meta = encoded(&meta, &arena),
                           .meta_mod_revision = 10, .meta_mod_time = 2000};
    struct fs_file file;
    assert_true(layout_file(&layout, BYTES_LITERAL("/"), &name, false, 0, &arena, &file));
    assert_int_equal(file.attr.st_mode, S_IFLNK | 0700);
    assert_int_equal(file.attr.st_uid, 1);
    assert_int_equal(file.attr.st_mtim.tv_nsec, 77);
    assert_int_equal(file.attr.st_ctim.tv_nsec, 2000);
    name.mod_revision = 11;                     /* written since: the time no longer counts */
    name.mod_time = 3000;
    assert_true(layout_file(&layout, BYTES_LITERAL("/"), &name, false, 0, &arena, &file));
    assert_int_equal(file.attr.st_mtim.tv_nsec, 3000);
    name.meta = BYTES_LITERAL("\xff\xff\xff");  /* not a record: as if there were none */
    assert_true(layout_file(&layout, BYTES_LITERAL("/"), &name, false, 0, &arena, &file));
    assert_int_equal(file.attr.st_mode, S_IFREG | 0644);
    assert_int_equal(file.meta_mod_revision, 0);
    arena_release(&arena);
}

static void a_directory_and_its_own_value(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct kv_name name = {.name = BYTES_LITERAL("a"), .has_value = true, .is_directory = true,
                           .create_revision = 3, .mod_revision = 4, .size = 2, .mod_time = 10,
                           .name_count = 5, .directory_count = 2, .change_revision = 8,
                           .change_time = 80};
    struct fs_file file, own;
    assert_true(layout_file(&layout, BYTES_LITERAL("/"), &name, false, 0, &arena, &file));
    assert_int_equal(file.attr.st_mode, S_IFDIR | 0755);
    assert_int_equal(file.attr.st_nlink, 4);
    assert_int_equal(file.attr.st_mtim.tv_nsec, 80);
    assert_true(file.is_implicit);
    assert_true(layout_file(&layout, BYTES_LITERAL("/"), &name, true, 0, &arena, &own));
    assert_int_equal(own.attr.st_mode, S_IFREG | 0644);
    assert_int_equal(own.attr.st_size, 2);
    assert_true(own.attr.st_ino != file.attr.st_ino);
    arena_release(&arena);
}

static void the_root_always_stands(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct fs_file file;
    layout_root(&layout, NULL, 0, &arena, &file);
    assert_int_equal(file.attr.st_mode, S_IFDIR | 0755);
    assert_int_equal(file.attr.st_ino, 1);
    assert_int_equal(file.attr.st_nlink, 2);
    arena_release(&arena);
}

static void prefixes(void **state)
{
    (void)state;
    assert_true(layout_prefix_is_valid(BYTES_LITERAL("")));
    assert_true(layout_prefix_is_valid(BYTES_LITERAL("/")));
    assert_true(layout_prefix_is_valid(BYTES_LITERAL("/cfg/")));
    assert_false(layout_prefix_is_valid(BYTES_LITERAL("/cfg")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_component), cmocka_unit_test(every_short_name),
        cmocka_unit_test(long_components),       cmocka_unit_test(exact_sizes),
        cmocka_unit_test(worked_names),          cmocka_unit_test(refused_names),
        cmocka_unit_test(worked_paths),          cmocka_unit_test(random_paths),
        cmocka_unit_test(a_path_too_long_is_refused),
        cmocka_unit_test(a_key_without_a_record), cmocka_unit_test(a_record_counts),
        cmocka_unit_test(a_directory_and_its_own_value), cmocka_unit_test(the_root_always_stands),
        cmocka_unit_test(prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
