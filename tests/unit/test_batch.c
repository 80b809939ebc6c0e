/* mvcc/batch.c over both backends, and the backends through it: against a plain array of rows. */
#include "mvcc/batch.h"

#include "mvcc/index.h"
#include "proto/base/rand.h"
#include "tests/test.h"

#define KEYS 200

/* One row of the model: key i is rows[i]. */
struct row {
    bool there;
    uint8_t value;
};

struct world {
    struct backend_memory *memory;
    char *folder;
    struct backend *backend;
    struct batch *batch;
    struct row rows[KEYS];
};

static int setup_memory(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->memory = backend_memory_new(0);
    world->backend = backend_memory_open(world->memory);
    world->batch = batch_new(world->backend);
    *state = world;
    return 0;
}

static int setup_leveldb(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->folder = test_folder_new();
    struct backend_leveldb_options options = {.folder = world->folder, .create = true};
    assert_ok(backend_leveldb_open(&world->backend, &options, NULL));
    world->batch = batch_new(world->backend);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    batch_free(world->batch);
    backend_close(world->backend);
    backend_memory_free(world->memory);
    if (world->folder)
        test_folder_remove(world->folder);
    free(world);
    return 0;
}

/* Columns that the row cache takes and others, in turn. */
static struct bytes key_of(unsigned i)
{
    static char text[16];
    snprintf(text, sizeof(text), "%ckey%04u", i % 2 ? COLUMN_NAMES : COLUMN_KEY, i / 2);
    return bytes_of_text(text);
}

/* Keys in byte order: 'd' before 'k', each by number. */
static unsigned in_order(unsigned place)
{
    return place < KEYS / 2 ? place * 2 + 1 : (place - KEYS / 2) * 2;
}

static void check_points(struct world *world)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct bytes value;
        enum err_code code = batch_get(world->batch, key_of(i), &value, NULL);
        assert_int_equal(code, world->rows[i].there ? ERR_OK : ERR_NOT_FOUND);
        if (world->rows[i].there) {
            assert_int_equal(value.size, world->rows[i].value);
            for (size_t b = 0; b < value.size; b++)
                assert_int_equal(value.data[b], world->rows[i].value);
        }
    }
}

static int next_there(const struct world *world, int place, int step)
{
    do
        place += step;
    while (place >= 0 && place < KEYS && !world->rows[in_order((unsigned)place)].there);
    return place < 0 || place >= KEYS ? -1 : place;
}

static void check_at(struct view_iterator *iterator, const struct world *world, int place)
{
    assert_int_equal(view_iterator_valid(iterator), place >= 0);
    if (place < 0)
        return;
    unsigned i = in_order((unsigned)place);
    assert_bytes_equal(view_iterator_key(iterator), key_of(i));
    assert_int_equal(view_iterator_value(iterator).size, world->rows[i].value);
}

/* A walk with turns from a drawn place. */
static void check_walk(struct world *world, struct view_iterator *iterator, struct rand *rand)
{
    int place = (int)rand_below(rand, KEYS);
    bool before = rand_chance(rand, 1, 2);
    struct bytes key = key_of(in_order((unsigned)place));
    if (before)
        view_iterator_seek_before(iterator, key);
    else
        view_iterator_seek(iterator, key);
    place = next_there(world, before ? place : place - 1, before ? -1 : 1);
    for (int step = 0; step < 30; step++) {
        check_at(iterator, world, place);
        if (place < 0)
            break;
        bool forward = rand_chance(rand, 2, 3) == before ? rand_chance(rand, 1, 4)
                                                         : rand_chance(rand, 3, 4);
        if (forward)
            view_iterator_next(iterator);
        else
            view_iterator_previous(iterator);
        place = next_there(world, place, forward ? 1 : -1);
    }
    assert_ok(view_iterator_status(iterator, NULL));
}

static void write_rows(struct world *world, struct rand *rand)
{
    uint8_t value[256];
    for (int i = 0; i < 20; i++) {
        unsigned k = (unsigned)rand_below(rand, KEYS);
        struct row *row = &world->rows[k];
        row->there = rand_chance(rand, 3, 5);
        row->value = (uint8_t)rand_below(rand, 250);
        memset(value, row->value, sizeof(value));
        if (row->there)
            batch_put(world->batch, key_of(k), bytes_of(value, row->value));
        else
            batch_delete(world->batch, key_of(k));
    }
}

static void test_model(void **state)
{
    struct world *world = *state;
    struct rand rand;
    rand_init(&rand, 7);
    for (int round = 0; round < 120; round++) {
        write_rows(world, &rand);
        check_points(world);
        struct view view = view_of_batch(world->batch, world->backend);
        struct view_iterator *iterator = view_iterator_new(&view);
        for (int walk = 0; walk < 10; walk++)
            check_walk(world, iterator, &rand);
        view_iterator_free(iterator);
        if (rand_chance(&rand, 1, 3)) {
            assert_ok(batch_write(world->batch, NULL));
            batch_clear(world->batch);
            check_points(world);
        }
    }
}

/* An iterator sees rows that were written to the batch after it was made, once it seeks. */
static void test_iterator_seeks_again(void **state)
{
    struct world *world = *state;
    struct view view = view_of_batch(world->batch, world->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    view_iterator_seek(iterator, BYTES_LITERAL("k"));
    assert_false(view_iterator_valid(iterator));
    batch_put(world->batch, BYTES_LITERAL("kb"), BYTES_LITERAL("1"));
    batch_put(world->batch, BYTES_LITERAL("ka"), BYTES_LITERAL("2"));
    view_iterator_seek(iterator, BYTES_LITERAL("k"));
    assert_bytes_equal(view_iterator_key(iterator), BYTES_LITERAL("ka"));
    view_iterator_next(iterator);
    assert_bytes_equal(view_iterator_key(iterator), BYTES_LITERAL("kb"));
    view_iterator_free(iterator);
}

/* What batch_get lent keeps its bytes when the row is written again. */
static void test_borrowed_bytes_stay(void **state)
{
    struct world *world = *state;
    struct bytes first, second;
    batch_put(world->batch, BYTES_LITERAL("ka"), BYTES_LITERAL("first"));
    assert_ok(batch_get(world->batch, BYTES_LITERAL("ka"), &first, NULL));
    batch_put(world->batch, BYTES_LITERAL("ka"), BYTES_LITERAL("other"));
    assert_ok(batch_get(world->batch, BYTES_LITERAL("ka"), &second, NULL));
    assert_bytes_equal(first, BYTES_LITERAL("first"));
    assert_bytes_equal(second, BYTES_LITERAL("other"));
    assert_int_equal(batch_count(world->batch), 1);
}

/* The tail grows, keeps what was lent, and is nobody's after another write to its row. */
static void test_tail(void **state)
{
    struct world *world = *state;
    struct bytes key, value, lent;
    assert_false(batch_tail(world->batch, &key, &value));
    batch_tail_begin(world->batch, BYTES_LITERAL("r1"), 5);
    memcpy(batch_tail_extend(world->batch, 2), "ab", 2);
    assert_ok(batch_get(world->batch, BYTES_LITERAL("r1"), &lent, NULL));
    batch_put(world->batch, BYTES_LITERAL("k"), BYTES_LITERAL("between"));
    memcpy(batch_tail_extend(world->batch, 3), "cde", 3);
    assert_null(batch_tail_extend(world->batch, 1));
    assert_bytes_equal(lent, BYTES_LITERAL("ab"));
    assert_true(batch_tail(world->batch, &key, &value));
    assert_bytes_equal(key, BYTES_LITERAL("r1"));
    assert_bytes_equal(value, BYTES_LITERAL("abcde"));
    assert_ok(batch_write(world->batch, NULL));
    batch_clear(world->batch);
    assert_false(batch_tail(world->batch, &key, &value));
    assert_ok(batch_get(world->batch, BYTES_LITERAL("r1"), &value, NULL));
    assert_bytes_equal(value, BYTES_LITERAL("abcde"));
    batch_tail_begin(world->batch, BYTES_LITERAL("r2"), 5);
    batch_delete(world->batch, BYTES_LITERAL("r2"));
    assert_false(batch_tail(world->batch, &key, &value));
}

/* Many rows in one batch: the table grows, and is small again afterwards. */
static void test_large_batch(void **state)
{
    struct world *world = *state;
    char text[32];
    struct bytes value;
    for (int i = 0; i < 30000; i++) {
        snprintf(text, sizeof(text), "k%07d", i * 7919 % 30000);
        batch_put(world->batch, bytes_of_text(text), bytes_of_text(text));
    }
    struct view view = view_of_batch(world->batch, world->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    view_iterator_seek(iterator, BYTES_LITERAL("k"));
    for (int i = 0; i < 30000; i++, view_iterator_next(iterator)) {
        snprintf(text, sizeof(text), "k%07d", i);
        assert_bytes_equal(view_iterator_key(iterator), bytes_of_text(text));
    }
    assert_false(view_iterator_valid(iterator));
    view_iterator_free(iterator);
    assert_ok(batch_write(world->batch, NULL));
    batch_clear(world->batch);
    assert_int_equal(batch_count(world->batch), 0);
    assert_ok(batch_get(world->batch, BYTES_LITERAL("k0012345"), &value, NULL));
    assert_bytes_equal(value, BYTES_LITERAL("k0012345"));
}

/* A snapshot does not see what is written after it; a view without one does. */
static void test_snapshot(void **state)
{
    struct world *world = *state;
    struct arena arena = {0};
    struct bytes value;
    batch_put(world->batch, BYTES_LITERAL("ka"), BYTES_LITERAL("1"));
    batch_put(world->batch, BYTES_LITERAL("kb"), BYTES_LITERAL("1"));
    assert_ok(batch_write(world->batch, NULL));
    batch_clear(world->batch);
    struct view old = view_open(world->backend), newest = {.backend = world->backend};
    batch_put(world->batch, BYTES_LITERAL("ka"), BYTES_LITERAL("2"));
    batch_delete(world->batch, BYTES_LITERAL("kb"));
    batch_put(world->batch, BYTES_LITERAL("kc"), BYTES_LITERAL("2"));
    assert_ok(batch_write(world->batch, NULL));
    batch_clear(world->batch);
    assert_ok(view_get(&old, BYTES_LITERAL("ka"), &arena, &value, NULL));
    assert_bytes_equal(value, BYTES_LITERAL("1"));
    assert_err(view_get(&old, BYTES_LITERAL("kc"), &arena, &value, NULL), NOT_FOUND);
    assert_ok(view_get(&newest, BYTES_LITERAL("ka"), &arena, &value, NULL));
    assert_bytes_equal(value, BYTES_LITERAL("2"));
    struct view_iterator *iterator = view_iterator_new(&old);
    view_iterator_seek_before(iterator, BYTES_LITERAL("kz"));
    assert_bytes_equal(view_iterator_key(iterator), BYTES_LITERAL("kb"));
    view_iterator_previous(iterator);
    assert_bytes_equal(view_iterator_value(iterator), BYTES_LITERAL("1"));
    view_iterator_previous(iterator);
    assert_false(view_iterator_valid(iterator));
    view_iterator_free(iterator);
    view_release(&old);
    arena_release(&arena);
}

#define ON_BOTH(name)                                                                              \
    cmocka_unit_test_setup_teardown(name, setup_memory, teardown),                                 \
        cmocka_unit_test_setup_teardown(name, setup_leveldb, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_model),
        ON_BOTH(test_iterator_seeks_again),
        ON_BOTH(test_borrowed_bytes_stay),
        ON_BOTH(test_tail),
        ON_BOTH(test_large_batch),
        ON_BOTH(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
