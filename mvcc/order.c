/* Keys of one column have much in common: "kbench/00000001", "kbench/00000002". What all of a column have
 * in common is passed over, and the seven bytes behind it, with the column in front, make a word; the
 * words are sorted, which is several times quicker than comparing keys. Keys that differ later than that
 * stay in the order they came in. */
#include "mvcc/order.h"

#include <stdlib.h>

#include "proto/base/mem.h"

#define COUNT_MIN 16                    /* fewer are not worth it */
#define COUNT_KEPT 16384                /* room for more is given back */
#define COLUMNS 256

struct order_place {
    uint64_t word;
    uint32_t row;
};

void order_release(struct order *order)
{
    free(order->places);
    free(order->ops);
    *order = (struct order){0};
}

static void reserve(struct order *order, size_t count)
{
    if (order->capacity > COUNT_KEPT && count <= COUNT_KEPT)
        order_release(order);
    if (count <= order->capacity)
        return;
    order_release(order);
    order->capacity = count + count / 2;
    order->places = mem_xalloc(order->capacity * sizeof(*order->places));
    order->ops = mem_xalloc(order->capacity * sizeof(*order->ops));
}

static size_t common_size(struct bytes left, struct bytes right, size_t most)
{
    size_t size = 0;
    most = most < right.size ? most : right.size;
    while (size < most && left.data[size] == right.data[size])
        size++;
    return size;
}

/* What the keys of each column begin with, all of them; sizes of columns without a row are not set. */
static void find_common(const struct backend_op *ops, size_t count, size_t sizes[COLUMNS])
{
    struct bytes first[COLUMNS] = {0};
    for (size_t row = 0; row < count; row++) {
        struct bytes key = ops[row].key;
        uint8_t column = key.data[0];
        if (first[column].size) {
            sizes[column] = common_size(first[column], key, sizes[column]);
        } else {
            first[column] = key;
            sizes[column] = key.size;
        }
    }
}

static uint64_t word_of(struct bytes key, size_t skipped)
{
    uint8_t word[8] = {key.data[0]};
    size_t more = key.size - skipped < 7 ? key.size - skipped : 7;
    for (size_t i = 0; i < more; i++)
        word[1 + i] = key.data[skipped + i];
    return get_be64(word);
}

static int by_word(const void *left, const void *right)
{
    const struct order_place *a = left, *b = right;
    if (a->word != b->word)
        return a->word < b->word ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

const struct backend_op *order_rows(struct order *order, const struct backend_op *ops, size_t count)
{
    size_t common[COLUMNS];
    if (count < COUNT_MIN)
        return ops;
    reserve(order, count);
    find_common(ops, count, common);
    for (size_t row = 0; row < count; row++)
        order->places[row] = (struct order_place){
            word_of(ops[row].key, common[ops[row].key.data[0]]), (uint32_t)row};
    qsort(order->places, count, sizeof(*order->places), by_word);
    for (size_t row = 0; row < count; row++)
        order->ops[row] = ops[order->places[row].row];
    return order->ops;
}
