/* mvcc/changes.c: against a plain array of changes. */
#include "mvcc/changes.h"

#include <stdlib.h>

#include "proto/base/rand.h"
#include "tests/test.h"

#define CHANGES_MAX 6000
#define KEY_SIZE 3000

struct change {
    struct revision revision;
    enum change_kind kind;
    kv_time time;
    size_t key_size;
};

struct world {
    struct backend_memory *memory;
    struct backend *backend;
    struct batch *batch;
    struct arena arena;
    struct rand rand;
    struct change changes[CHANGES_MAX];
    size_t first, count;                /* those before first may be gone */
    uint8_t key[KEY_SIZE];
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->memory = backend_memory_new(0);
    world->backend = backend_memory_open(world->memory);
    world->batch = batch_new(world->backend);
    rand_init(&world->rand, 11);
    memset(world->key, 'k', sizeof(world->key));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    batch_free(world->batch);
    backend_close(world->backend);
    backend_memory_free(world->memory);
    arena_release(&world->arena);
    free(world);
    return 0;
}

static void write_batch(struct world *world)
{
    assert_ok(batch_write(world->batch, NULL));
    batch_clear(world->batch);
}

/* Sometimes many subs of one revision, sometimes a revision without changes. */
static void add_change(struct world *world)
{
    struct change last = {.revision = {1, 0}, .time = 1000};
    if (world->count)
        last = world->changes[world->count - 1];
    struct change *change = &world->changes[world->count++];
    *change = (struct change){.revision = last.revision,
                              .kind = rand_chance(&world->rand, 1, 4) ? CHANGE_DELETE : CHANGE_PUT,
                              .time = last.time,
                              .key_size = rand_below(&world->rand, 40)};
    if (rand_chance(&world->rand, 1, 50))
        change->key_size = KEY_SIZE;
    if (rand_chance(&world->rand, 1, 3)) {
        change->revision.sub++;
    } else {
        change->revision.main += 1 + (int64_t)rand_below(&world->rand, 3);
        change->revision.sub = 0;
        change->time += (int64_t)rand_below(&world->rand, 1000000);
    }
    changes_put(world->batch, bytes_of(world->key, change->key_size), change->revision,
                change->kind, change->time);
}

static void check_equal(const struct change_row *row, const struct change *change)
{
    assert_int_equal(revision_compare(row->revision, change->revision), 0);
    assert_int_equal(row->kind, change->kind);
    assert_int_equal(row->time, change->time);
    assert_int_equal(row->key.size, change->key_size);
}

static size_t first_from(const struct world *world, struct revision from)
{
    size_t i = world->first;
    while (i < world->count && revision_compare(world->changes[i].revision, from) < 0)
        i++;
    return i;
}

/* A walk from a drawn revision that is not below what was forgotten. */
static void check_walk(struct world *world)
{
    struct view view = view_of_batch(world->batch, world->backend);
    struct change_cursor cursor;
    struct change_row row;
    size_t place = world->first + rand_below(&world->rand, world->count - world->first);
    struct revision from = world->changes[place].revision;
    from.main -= place > world->first && rand_chance(&world->rand, 1, 2);
    change_cursor_init(&cursor, &view, from);
    for (size_t i = first_from(world, from); i < world->count; i++) {
        assert_ok(change_cursor_next(&cursor, &world->arena, &row, NULL));
        check_equal(&row, &world->changes[i]);
    }
    assert_err(change_cursor_next(&cursor, &world->arena, &row, NULL), NOT_FOUND);
    change_cursor_release(&cursor);
    assert_ok(changes_at(&view, from, &world->arena, &row, NULL));
    check_equal(&row, &world->changes[first_from(world, from)]);
    arena_clear(&world->arena);
}

static size_t count_rows(struct world *world)
{
    struct view view = view_of_batch(world->batch, world->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    size_t count = 0;
    for (view_iterator_seek(iterator, BYTES_LITERAL("r")); view_iterator_valid(iterator);
         view_iterator_next(iterator))
        count++;
    view_iterator_free(iterator);
    return count;
}

static void test_walks(void **state)
{
    struct world *world = *state;
    while (world->count < 2000) {
        for (size_t more = 1 + rand_below(&world->rand, 300); more > 0; more--) {
            add_change(world);
            if (rand_chance(&world->rand, 1, 100))
                check_walk(world);
        }
        write_batch(world);
        check_walk(world);
    }
    assert_true(count_rows(world) < world->count / 8);
}

static void test_forgets(void **state)
{
    struct world *world = *state;
    struct view view = view_of_batch(world->batch, world->backend);
    struct revision from = {0, 0};
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 250; i++)
            add_change(world);
        write_batch(world);
        size_t place = world->first + rand_below(&world->rand, world->count - world->first);
        struct revision below = world->changes[place].revision;
        assert_ok(changes_forget(world->batch, &view, from, below, &world->arena, NULL));
        world->first = place;
        from = below;
        check_walk(world);
        write_batch(world);
        check_walk(world);
    }
    /* All but the last change's row. */
    struct revision last = world->changes[world->count - 1].revision;
    assert_ok(changes_forget(world->batch, &view, from, last, &world->arena, NULL));
    assert_int_equal(count_rows(world), 1);
    last.sub++;
    assert_ok(changes_forget(world->batch, &view, from, last, &world->arena, NULL));
    assert_int_equal(count_rows(world), 0);
}

/* What stands before and behind the column is no change. */
static void test_other_columns(void **state)
{
    struct world *world = *state;
    struct view view = view_of_batch(world->batch, world->backend);
    struct change_row row;
    struct revision from = {1, 0};
    batch_put(world->batch, BYTES_LITERAL("mstate"), BYTES_LITERAL("1"));
    batch_put(world->batch, BYTES_LITERAL("s"), BYTES_LITERAL("1"));
    assert_err(changes_at(&view, from, &world->arena, &row, NULL), NOT_FOUND);
    assert_ok(changes_forget(world->batch, &view, from, (struct revision){9, 0}, &world->arena,
                             NULL));
    changes_put(world->batch, BYTES_LITERAL("/a"), (struct revision){5, 0}, CHANGE_PUT, 7);
    assert_ok(changes_at(&view, from, &world->arena, &row, NULL));
    assert_int_equal(row.revision.main, 5);
    assert_err(changes_at(&view, (struct revision){6, 0}, &world->arena, &row, NULL), NOT_FOUND);
    assert_int_equal(batch_count(world->batch), 3);
}

/* Every cut of a row, and a kind that is none. */
static void test_damage(void **state)
{
    struct world *world = *state;
    struct view view = view_of_batch(world->batch, world->backend);
    struct bytes key, value;
    struct change_row row;
    struct revision from = {5, 0};
    changes_put(world->batch, BYTES_LITERAL("/a"), from, CHANGE_PUT, 7);
    assert_true(batch_tail(world->batch, &key, &value));
    struct bytes copy = arena_copy(&world->arena, value);
    for (size_t size = 0; size < copy.size; size++) {
        batch_put(world->batch, key, bytes_of(copy.data, size));
        assert_err(changes_at(&view, from, &world->arena, &row, NULL), CORRUPT);
        assert_err(changes_forget(world->batch, &view, from, from, &world->arena, NULL), CORRUPT);
    }
    ((uint8_t *)copy.data)[10] = 9;
    batch_put(world->batch, key, copy);
    assert_err(changes_at(&view, from, &world->arena, &row, NULL), CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_walks), TEST(test_forgets), TEST(test_other_columns), TEST(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
