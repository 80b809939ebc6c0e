/* Keys of one column have much in common: "kbench/00000001", "kbench/00000002". What all of a column have
 * in common is passed over, and the seven bytes behind it, with the column in front, make a word; the
 * words are sorted byte by byte, the last one first, which is many times quicker than comparing keys. Keys
 * that differ later than that stay in the order they came in. */
#include "mvcc/order.h"

#include <stdlib.h>

#include "proto/base/mem.h"

#define COUNT_MIN 16                    /* fewer are not worth it */
#define COUNT_KEPT 16384                /* room for more is given back */
#define COLUMNS 256
#define WORD_SIZE 8

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
    order->places = mem_xalloc(2 * order->capacity * sizeof(*order->places));
    order->ops = mem_xalloc(order->capacity * sizeof(*order->ops));
}

/* Most often all of what was in common so far. */
static size_t common_size(struct bytes left, struct bytes right, size_t most)
{
    size_t size = 0;
    if (right.size >= most && memcmp(left.data, right.data, most) == 0)
        return most;
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
    uint8_t word[WORD_SIZE] = {key.data[0]};
    struct bytes rest = bytes_skip(key, skipped);
    if (rest.size >= WORD_SIZE - 1)
        memcpy(word + 1, rest.data, WORD_SIZE - 1);
    else
        memcpy(word + 1, rest.data, rest.size);
    return get_be64(word);
}

typedef uint32_t counts[WORD_SIZE][256];

static uint8_t byte_of(uint64_t word, unsigned byte)
{
    return (uint8_t)(word >> (8 * byte));
}

static void count_bytes(const struct order_place *places, size_t count, counts ret)
{
    memset(ret, 0, sizeof(counts));
    for (size_t i = 0; i < count; i++)
        for (unsigned byte = 0; byte < WORD_SIZE; byte++)
            ret[byte][byte_of(places[i].word, byte)]++;
}

/* By one byte, keeping the order of those that are equal in it. counted: how many have which. */
static void sort_byte(const struct order_place *from, struct order_place *to, size_t count,
                      unsigned byte, uint32_t counted[256])
{
    uint32_t begin = 0;
    for (size_t value = 0; value < 256; value++) {
        uint32_t size = counted[value];
        counted[value] = begin;
        begin += size;
    }
    for (size_t i = 0; i < count; i++)
        to[counted[byte_of(from[i].word, byte)]++] = from[i];
}

/* Returns which of the two holds the sorted ones. */
static struct order_place *sort_places(struct order_place *places, struct order_place *other,
                                       size_t count)
{
    counts counted;
    count_bytes(places, count, counted);
    for (unsigned byte = 0; byte < WORD_SIZE; byte++) {
        if (counted[byte][byte_of(places[0].word, byte)] == count)
            continue;
        sort_byte(places, other, count, byte, counted[byte]);
        struct order_place *sorted = other;
        other = places;
        places = sorted;
    }
    return places;
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
    const struct order_place *sorted = sort_places(order->places, order->places + count, count);
    for (size_t row = 0; row < count; row++)
        order->ops[row] = ops[sorted[row].row];
    return order->ops;
}
