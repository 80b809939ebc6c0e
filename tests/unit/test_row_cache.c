/* mvcc/row_cache.c: what it knows is what was put last, and it knows what it was given just now. */
#include "mvcc/row_cache.h"

#include "proto/base/hash.h"
#include "proto/base/rand.h"
#include "tests/test.h"

#define KEYS 50000              /* more than there are places */
#define SIZE_MAX_CACHED 160     /* with its key this fits for certain */

static struct bytes key_of(char text[16], unsigned i)
{
    snprintf(text, 16, "dkey%07u", i);
    return bytes_of_text(text);
}

static bool get(struct row_cache *cache, struct bytes key, bool *ret_absent,
                struct bytes *ret_value)
{
    return row_cache_get(cache, key, (uint32_t)hash_bytes(1, key), ret_absent, ret_value);
}

static void put(struct row_cache *cache, struct bytes key, const struct bytes *value)
{
    row_cache_put(cache, key, (uint32_t)hash_bytes(1, key), value);
}

/* sizes[i]: of the newest value of key i; -1 absent, -2 never put. */
static void check(struct row_cache *cache, unsigned i, int size, bool must_know)
{
    char text[16];
    bool absent;
    struct bytes value;
    bool known = get(cache, key_of(text, i), &absent, &value);
    assert_true(known || !must_know);
    if (!known)
        return;
    assert_int_not_equal(size, -2);
    assert_int_equal(absent, size == -1);
    if (absent)
        return;
    assert_int_equal(value.size, size);
    for (size_t b = 0; b < value.size; b++)
        assert_int_equal(value.data[b], (uint8_t)size);
}

static void test_model(void **state)
{
    (void)state;
    static int sizes[KEYS];
    uint8_t bytes[300];
    char text[16];
    struct rand rand;
    struct row_cache *cache = row_cache_new();
    rand_init(&rand, 5);
    for (unsigned i = 0; i < KEYS; i++)
        sizes[i] = -2;
    for (int turn = 0; turn < 300000; turn++) {
        unsigned i = (unsigned)rand_below(&rand, turn % 2 ? 100 : KEYS);
        if (rand_chance(&rand, 1, 2)) {
            check(cache, i, sizes[i], false);
            continue;
        }
        sizes[i] = (int)rand_below(&rand, sizeof(bytes)) - 1;
        struct bytes value = bytes_of(bytes, sizes[i] < 0 ? 0 : (size_t)sizes[i]);
        memset(bytes, sizes[i], sizeof(bytes));
        put(cache, key_of(text, i), sizes[i] < 0 ? NULL : &value);
        check(cache, i, sizes[i], sizes[i] <= SIZE_MAX_CACHED);
    }
    row_cache_free(cache);
}

/* Keys with one hash, 0 among them: two are known, and the one used last stays. */
static void test_one_hash(void **state)
{
    (void)state;
    static const uint32_t hashes[] = {0, 1, 77};
    struct bytes a = BYTES_LITERAL("da"), b = BYTES_LITERAL("db"), c = BYTES_LITERAL("dc"), found;
    struct row_cache *cache = row_cache_new();
    bool absent;
    for (size_t i = 0; i < 3; i++) {
        uint32_t hash = hashes[i];
        assert_false(row_cache_get(cache, a, hash, &absent, &found));
        row_cache_put(cache, a, hash, &a);
        row_cache_put(cache, b, hash, &b);
        assert_true(row_cache_get(cache, a, hash, &absent, &found));
        row_cache_put(cache, c, hash, NULL);
        assert_false(row_cache_get(cache, b, hash, &absent, &found));
        assert_true(row_cache_get(cache, a, hash, &absent, &found));
        assert_bytes_equal(found, a);
        assert_true(row_cache_get(cache, c, hash, &absent, &found));
        assert_true(absent);
    }
    row_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_one_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
