/* Rows written stand in an array, in the order of writing; the backend is given them by key (order.h). A
 * hash table finds a row by its key. Order is kept by a skip list that is linked when somebody iterates and
 * not before: a batch of puts reads points alone and never pays for it. A row that is written twice
 * keeps its slot; its older value stays in the arena, because somebody may have borrowed it.
 *
 * The row cache only holds what is in the backend: batch_write brings it up to date.
 */
#include "mvcc/batch.h"

#include <stdlib.h>

#include "mvcc/index.h"
#include "mvcc/order.h"
#include "mvcc/row_cache.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define LEVEL_MAX 12
#define NOTHING 0                       /* rows are numbered from 1 in the table and the skip list */
#define TABLE_SIZE_MIN 1024
#define TABLE_SIZE_KEPT 16384           /* a larger one is not cleared for each small batch after it */
#define SEED 0x6d766363

struct batch {
    struct backend *backend;
    struct arena arena;
    struct backend_op *ops;
    uint32_t *hashes;
    uint32_t **towers;                  /* of the linked rows: next row at each level */
    size_t count, capacity;
    uint32_t *table;
    size_t table_size;                  /* a power of two, at least twice count */
    size_t linked;                      /* the first so many rows are in the skip list */
    uint32_t head[LEVEL_MAX];
    size_t bytes;
    uint32_t *unfolded;                 /* rows that batch_fold is yet to see, once for each write */
    size_t unfolded_count, unfolded_capacity;
    size_t tail, tail_room;             /* the row that grows, from 1 (0: none); what is left in it */
    struct buf found;                   /* scratch: what the backend gave */
    struct buf scratch;                 /* lent to whoever builds a row key */
    struct row_cache *cache;            /* of what is in the backend */
    struct order order;
};

struct batch *batch_new(struct backend *backend)
{
    struct batch *batch = mem_xzalloc(sizeof(*batch));
    batch->backend = backend;
    batch->table_size = TABLE_SIZE_MIN;
    batch->table = mem_xzalloc(batch->table_size * sizeof(*batch->table));
    batch->cache = row_cache_new();
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    arena_release(&batch->arena);
    buf_release(&batch->found);
    buf_release(&batch->scratch);
    order_release(&batch->order);
    free(batch->ops);
    free(batch->hashes);
    free(batch->towers);
    free(batch->unfolded);
    free(batch->table);
    row_cache_free(batch->cache);
    free(batch);
}

void batch_clear(struct batch *batch)
{
    arena_clear(&batch->arena);
    if (batch->table_size > TABLE_SIZE_KEPT) {
        batch->table_size = TABLE_SIZE_MIN;
        free(batch->table);
        batch->table = mem_xzalloc(batch->table_size * sizeof(*batch->table));
    } else if (batch->count) {
        memset(batch->table, 0, batch->table_size * sizeof(*batch->table));
    }
    memset(batch->head, 0, sizeof(batch->head));
    batch->count = batch->linked = batch->bytes = batch->tail = 0;
    batch->unfolded_count = 0;
}

struct buf *batch_scratch(struct batch *batch)
{
    buf_clear(&batch->scratch);
    return &batch->scratch;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->bytes;
}

size_t batch_count(const struct batch *batch)
{
    return batch->count;
}

/* ---- the table ---- */

static uint32_t hash_key(struct bytes key)
{
    return (uint32_t)hash_bytes(SEED, key);
}

/* The place in the table of the row with this key, or the empty one where it would go. */
static uint32_t *table_find(const struct batch *batch, struct bytes key, uint32_t hash)
{
    size_t place = hash & (batch->table_size - 1);
    for (;;) {
        uint32_t *slot = &batch->table[place];
        if (*slot == NOTHING)
            return slot;
        size_t row = *slot - 1;
        if (batch->hashes[row] == hash && bytes_equal(batch->ops[row].key, key))
            return slot;
        place = (place + 1) & (batch->table_size - 1);
    }
}

static void table_grow(struct batch *batch)
{
    batch->table_size *= 2;
    free(batch->table);
    batch->table = mem_xzalloc(batch->table_size * sizeof(*batch->table));
    for (size_t row = 0; row < batch->count; row++) {
        size_t place = batch->hashes[row] & (batch->table_size - 1);
        while (batch->table[place] != NOTHING)
            place = (place + 1) & (batch->table_size - 1);
        batch->table[place] = (uint32_t)row + 1;
    }
}

static void rows_grow(struct batch *batch)
{
    batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
    batch->ops = mem_xrealloc(batch->ops, batch->capacity * sizeof(*batch->ops));
    batch->hashes = mem_xrealloc(batch->hashes, batch->capacity * sizeof(*batch->hashes));
    batch->towers = mem_xrealloc(batch->towers, batch->capacity * sizeof(*batch->towers));
}

/* ---- what was written, as a number ---- */

static bool is_folded(struct bytes key)
{
    return key.data[0] == COLUMN_KEY || key.data[0] == COLUMN_NAMES ||
           key.data[0] == COLUMN_HEAD || key.data[0] == COLUMN_LEASE;
}

static void fold_later(struct batch *batch, size_t row)
{
    if (!is_folded(batch->ops[row].key))
        return;
    if (batch->unfolded_count == batch->unfolded_capacity) {
        batch->unfolded_capacity = batch->unfolded_capacity ? batch->unfolded_capacity * 2 : 64;
        batch->unfolded = mem_xrealloc(batch->unfolded,
                                       batch->unfolded_capacity * sizeof(*batch->unfolded));
    }
    batch->unfolded[batch->unfolded_count++] = (uint32_t)row;
}

/* The table's hash stands for the key: it is there already. */
uint64_t batch_fold(struct batch *batch, uint64_t hash)
{
    for (size_t i = 0; i < batch->unfolded_count; i++) {
        size_t row = batch->unfolded[i];
        const struct backend_op *op = &batch->ops[row];
        hash ^= (uint64_t)batch->hashes[row] << 1 | op->is_delete;
        hash = hash_bytes(hash, op->value);
    }
    batch->unfolded_count = 0;
    return hash;
}

/* ---- writing ---- */

/* The row for key, new or there already. */
static struct backend_op *row_of(struct batch *batch, struct bytes key, size_t value_size)
{
    CHECK(key.size > 0);
    CHECK(batch->count < UINT32_MAX - 1);
    batch->bytes += key.size + value_size;
    uint32_t hash = hash_key(key);
    uint32_t *slot = table_find(batch, key, hash);
    if (*slot != NOTHING) {
        batch->tail = *slot == batch->tail ? 0 : batch->tail;
        fold_later(batch, *slot - 1);
        return &batch->ops[*slot - 1];
    }
    if (batch->count == batch->capacity)
        rows_grow(batch);
    size_t row = batch->count++;
    batch->ops[row].key = arena_copy(&batch->arena, key);
    batch->hashes[row] = hash;
    batch->towers[row] = NULL;
    *slot = (uint32_t)row + 1;
    fold_later(batch, row);
    if (batch->count * 2 > batch->table_size)
        table_grow(batch);
    return &batch->ops[row];
}

uint8_t *batch_put_place(struct batch *batch, struct bytes key, size_t value_size)
{
    struct backend_op *op = row_of(batch, key, value_size);
    uint8_t *place = arena_alloc(&batch->arena, value_size ? value_size : 1);
    op->value = bytes_of(place, value_size);
    op->is_delete = false;
    return place;
}

void batch_put(struct batch *batch, struct bytes key, struct bytes value)
{
    uint8_t *place = batch_put_place(batch, key, value.size);
    if (value.size)
        memcpy(place, value.data, value.size);
}

void batch_delete(struct batch *batch, struct bytes key)
{
    struct backend_op *op = row_of(batch, key, 0);
    op->value = BYTES_EMPTY;
    op->is_delete = true;
}

void batch_tail_begin(struct batch *batch, struct bytes key, size_t room)
{
    struct backend_op *op = row_of(batch, key, 0);
    op->value = bytes_of(arena_alloc(&batch->arena, room), 0);
    op->is_delete = false;
    batch->tail = (size_t)(op - batch->ops) + 1;
    batch->tail_room = room;
}

bool batch_tail(const struct batch *batch, struct bytes *ret_key, struct bytes *ret_value)
{
    if (!batch->tail)
        return false;
    *ret_key = batch->ops[batch->tail - 1].key;
    *ret_value = batch->ops[batch->tail - 1].value;
    return true;
}

uint8_t *batch_tail_extend(struct batch *batch, size_t more)
{
    CHECK(batch->tail);
    if (more > batch->tail_room)
        return NULL;
    struct bytes *value = &batch->ops[batch->tail - 1].value;
    uint8_t *place = (uint8_t *)value->data + value->size;
    value->size += more;
    batch->tail_room -= more;
    batch->bytes += more;
    return place;
}

/* ---- the row cache ---- */

/* Rows that are read again by their exact key: names, heads, sessions and what the store is. */
static bool cache_takes(struct bytes key)
{
    return key.data[0] == COLUMN_NAMES || key.data[0] == COLUMN_HEAD ||
           key.data[0] == COLUMN_SESSION || key.data[0] == COLUMN_META;
}

static void cache_put(struct batch *batch, struct bytes key, uint32_t hash,
                      const struct bytes *value)
{
    if (cache_takes(key))
        row_cache_put(batch->cache, key, hash, value);
}

/* ---- points ---- */

static enum err_code get_below(struct batch *batch, struct bytes key, uint32_t hash,
                               struct bytes *ret, struct err *err)
{
    struct bytes cached;
    bool is_absent;
    if (cache_takes(key) && row_cache_get(batch->cache, key, hash, &is_absent, &cached)) {
        if (is_absent)
            return ERR_NOT_FOUND;
        *ret = arena_copy(&batch->arena, cached);
        return ERR_OK;
    }
    buf_clear(&batch->found);
    enum err_code code = batch->backend->ops->get(batch->backend, NULL, key, &batch->found, err);
    if (code == ERR_NOT_FOUND)
        cache_put(batch, key, hash, NULL);
    if (code)
        return code;
    *ret = arena_copy(&batch->arena, buf_bytes(&batch->found));
    cache_put(batch, key, hash, ret);
    return ERR_OK;
}

enum err_code batch_get(struct batch *batch, struct bytes key, struct bytes *ret, struct err *err)
{
    CHECK(key.size > 0);
    uint32_t hash = hash_key(key);
    const uint32_t *slot = table_find(batch, key, hash);
    if (*slot == NOTHING)
        return get_below(batch, key, hash, ret, err);
    const struct backend_op *op = &batch->ops[*slot - 1];
    if (op->is_delete)
        return ERR_NOT_FOUND;
    *ret = op->value;
    return ERR_OK;
}

enum err_code batch_write(struct batch *batch, struct err *err)
{
    if (batch->count == 0)
        return ERR_OK;
    const struct backend_op *ops = order_rows(&batch->order, batch->ops, batch->count);
    enum err_code code = batch->backend->ops->write(batch->backend, ops, batch->count, err);
    if (code)
        return code;
    for (size_t row = 0; row < batch->count; row++) {
        const struct backend_op *op = &batch->ops[row];
        cache_put(batch, op->key, batch->hashes[row], op->is_delete ? NULL : &op->value);
    }
    return ERR_OK;
}

/* ---- order ---- */

static uint32_t *tower_of(const struct batch *batch, uint32_t row)
{
    return row == NOTHING ? (uint32_t *)batch->head : batch->towers[row - 1];
}

/* Fills in, for each level, the last row below key (NOTHING: the head). */
static void find_below(const struct batch *batch, struct bytes key, uint32_t below[LEVEL_MAX])
{
    uint32_t row = NOTHING;
    for (int level = LEVEL_MAX - 1; level >= 0; level--) {
        for (;;) {
            uint32_t next = tower_of(batch, row)[level];
            if (next == NOTHING || bytes_compare(batch->ops[next - 1].key, key) >= 0)
                break;
            row = next;
        }
        below[level] = row;
    }
}

/* Heights come from the key's hash: a quarter of the rows stand one level higher. */
static int tower_height(uint32_t hash)
{
    uint64_t bits = hash_u64(hash);
    int height = 1;
    while (height < LEVEL_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

static void link_rows(struct batch *batch)
{
    uint32_t below[LEVEL_MAX];
    for (; batch->linked < batch->count; batch->linked++) {
        size_t row = batch->linked;
        int height = tower_height(batch->hashes[row]);
        find_below(batch, batch->ops[row].key, below);
        uint32_t *tower = arena_alloc(&batch->arena, (size_t)height * sizeof(*tower));
        batch->towers[row] = tower;
        for (int level = 0; level < height; level++) {
            uint32_t *previous = &tower_of(batch, below[level])[level];
            tower[level] = *previous;
            *previous = (uint32_t)row + 1;
        }
    }
}

static uint32_t rows_seek(const struct batch *batch, struct bytes key)
{
    uint32_t below[LEVEL_MAX];
    find_below(batch, key, below);
    return tower_of(batch, below[0])[0];
}

static uint32_t rows_seek_before(const struct batch *batch, struct bytes key)
{
    uint32_t below[LEVEL_MAX];
    find_below(batch, key, below);
    return below[0];
}

/* ---- views ---- */

struct view view_open(struct backend *backend)
{
    return (struct view){.backend = backend, .snapshot = backend->ops->snapshot_new(backend, false)};
}

struct view view_open_passing(struct backend *backend)
{
    return (struct view){.backend = backend, .snapshot = backend->ops->snapshot_new(backend, true)};
}

void view_release(struct view *view)
{
    if (view->snapshot)
        view->backend->ops->snapshot_free(view->backend, view->snapshot);
    view->snapshot = NULL;
}

enum err_code view_get(const struct view *view, struct bytes key, struct arena *arena,
                       struct bytes *ret, struct err *err)
{
    struct bytes found;
    struct buf buf = {0};
    enum err_code code;
    if (view->batch) {
        code = batch_get(view->batch, key, &found, err);
    } else {
        code = view->backend->ops->get(view->backend, view->snapshot, key, &buf, err);
        found = buf_bytes(&buf);
    }
    if (!code)
        *ret = arena_copy(arena, found);
    buf_release(&buf);
    return code;
}

/* ---- iteration: the backend's rows and the batch's, merged; equal keys are the batch's ---- */

struct view_iterator {
    struct backend_iterator *below;
    struct batch *batch;                /* NULL: only below */
    uint32_t row;                       /* where the batch's side stands; NOTHING: past its end */
    bool on_batch;                      /* which side is current */
    bool forward, valid;
    struct buf key;                     /* scratch of a turn */
};

struct view_iterator *view_iterator_new(const struct view *view)
{
    struct view_iterator *iterator = mem_xzalloc(sizeof(*iterator));
    iterator->below = view->backend->ops->iterator_new(view->backend, view->snapshot);
    iterator->batch = view->batch;
    return iterator;
}

void view_iterator_free(struct view_iterator *iterator)
{
    if (!iterator)
        return;
    iterator->below->ops->free(iterator->below);
    buf_release(&iterator->key);
    free(iterator);
}

static const struct backend_op *row_at(const struct view_iterator *iterator)
{
    return &iterator->batch->ops[iterator->row - 1];
}

/* Chooses the side that is current, passing over deleted and hidden rows. */
static void settle(struct view_iterator *iterator)
{
    struct backend_iterator *below = iterator->below;
    for (;;) {
        bool has_below = below->ops->valid(below);
        /* What could not be read below may stand before the batch's next row. */
        bool has_failed = !has_below && below->ops->status(below, NULL) != ERR_OK;
        if (iterator->row == NOTHING || has_failed) {
            iterator->on_batch = false;
            iterator->valid = has_below;
            return;
        }
        const struct backend_op *op = row_at(iterator);
        int order = has_below ? bytes_compare(op->key, below->ops->key(below)) : 0;
        if (has_below && (iterator->forward ? order > 0 : order < 0)) {
            iterator->on_batch = false;
            iterator->valid = true;
            return;
        }
        if (has_below && order == 0) {
            if (iterator->forward)
                below->ops->next(below);
            else
                below->ops->previous(below);
        }
        if (!op->is_delete) {
            iterator->on_batch = true;
            iterator->valid = true;
            return;
        }
        iterator->row = iterator->forward ? iterator->batch->towers[iterator->row - 1][0]
                                          : rows_seek_before(iterator->batch, op->key);
    }
}

void view_iterator_seek(struct view_iterator *iterator, struct bytes key)
{
    iterator->forward = true;
    iterator->below->ops->seek(iterator->below, key);
    if (iterator->batch) {
        link_rows(iterator->batch);
        iterator->row = rows_seek(iterator->batch, key);
    }
    settle(iterator);
}

void view_iterator_seek_before(struct view_iterator *iterator, struct bytes key)
{
    struct backend_iterator *below = iterator->below;
    iterator->forward = false;
    below->ops->seek(below, key);
    if (below->ops->valid(below))
        below->ops->previous(below);
    else if (below->ops->status(below, NULL) == ERR_OK)     /* which another seek would forget */
        below->ops->seek_last(below);
    if (iterator->batch) {
        link_rows(iterator->batch);
        iterator->row = rows_seek_before(iterator->batch, key);
    }
    settle(iterator);
}

/* Both sides stand on the far side of the current row for one direction: a turn seeks anew. */
static void turn(struct view_iterator *iterator, bool forward)
{
    buf_assign(&iterator->key, view_iterator_key(iterator));
    struct bytes key = buf_bytes(&iterator->key);
    if (forward)
        view_iterator_seek(iterator, key);
    else
        view_iterator_seek_before(iterator, key);
}

void view_iterator_next(struct view_iterator *iterator)
{
    CHECK(iterator->valid);
    if (!iterator->forward)
        turn(iterator, true);
    if (!iterator->valid)               /* the turn failed */
        return;
    if (iterator->on_batch)
        iterator->row = iterator->batch->towers[iterator->row - 1][0];
    else
        iterator->below->ops->next(iterator->below);
    settle(iterator);
}

void view_iterator_previous(struct view_iterator *iterator)
{
    CHECK(iterator->valid);
    if (iterator->forward) {
        turn(iterator, false);          /* which is a step already */
        return;
    }
    if (iterator->on_batch)
        iterator->row = rows_seek_before(iterator->batch, row_at(iterator)->key);
    else
        iterator->below->ops->previous(iterator->below);
    settle(iterator);
}

bool view_iterator_valid(const struct view_iterator *iterator)
{
    return iterator->valid;
}

struct bytes view_iterator_key(const struct view_iterator *iterator)
{
    CHECK(iterator->valid);
    return iterator->on_batch ? row_at(iterator)->key
                              : iterator->below->ops->key(iterator->below);
}

struct bytes view_iterator_value(const struct view_iterator *iterator)
{
    CHECK(iterator->valid);
    return iterator->on_batch ? row_at(iterator)->value
                              : iterator->below->ops->value(iterator->below);
}

enum err_code view_iterator_status(const struct view_iterator *iterator, struct err *err)
{
    return iterator->below->ops->status(iterator->below, err);
}
