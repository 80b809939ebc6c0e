/* mvcc/order.c: the same rows, by key. */
#include "mvcc/order.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "tests/test.h"

#define ROWS 40000

struct rows {
    struct order order;
    struct backend_op ops[ROWS];
    char keys[ROWS][32];
    uint8_t seen[ROWS];
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct rows));
    return 0;
}

static int teardown(void **state)
{
    struct rows *rows = *state;
    order_release(&rows->order);
    free(rows);
    return 0;
}

static void set_key(struct rows *rows, size_t row, const char *beginning, unsigned number)
{
    snprintf(rows->keys[row], sizeof(rows->keys[row]), "%s/%06u", beginning, number);
    rows->ops[row] = (struct backend_op){.key = bytes_of_text(rows->keys[row]),
                                         .value = bytes_of(&rows->seen[row], 1)};
}

/* Each row is there once; its value is where it was noted. */
static void check_same(struct rows *rows, const struct backend_op *ordered, size_t count)
{
    memset(rows->seen, 0, sizeof(rows->seen));
    for (size_t i = 0; i < count; i++) {
        size_t row = (size_t)(ordered[i].value.data - rows->seen);
        assert_int_equal(rows->seen[row]++, 0);
        assert_bytes_equal(ordered[i].key, rows->ops[row].key);
    }
}

/* Two columns in turn, each with a beginning in common that is longer than a word. */
static void test_by_key(void **state)
{
    struct rows *rows = *state;
    static const size_t counts[] = {16, 100, ROWS, 3000};
    for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
        for (size_t i = 0; i < counts[c]; i++)
            set_key(rows, i, i % 2 ? "k/common/beginning" : "d/another",
                    (unsigned)(i * 7919 % 900001));
        const struct backend_op *ordered = order_rows(&rows->order, rows->ops, counts[c]);
        check_same(rows, ordered, counts[c]);
        for (size_t i = 1; i < counts[c]; i++)
            assert_true(bytes_compare(ordered[i - 1].key, ordered[i].key) < 0);
    }
}

/* Keys of all lengths, from the column's byte alone on, with ends and zeros anywhere. */
static void test_drawn_keys(void **state)
{
    struct rows *rows = *state;
    struct rand rand;
    rand_init(&rand, 3);
    for (int round = 0; round < 200; round++) {
        size_t count = rand_below(&rand, 200);
        for (size_t i = 0; i < count; i++) {
            size_t size = 1 + rand_below(&rand, round % 2 ? 4 : 24);
            for (size_t b = 0; b < size; b++)
                rows->keys[i][b] = (char)(rand_below(&rand, 3) * 127);
            rows->ops[i] = (struct backend_op){.key = bytes_of(rows->keys[i], size),
                                               .value = bytes_of(&rows->seen[i], 1)};
        }
        check_same(rows, order_rows(&rows->order, rows->ops, count), count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drawn_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
