/* Stores in memory. A copy is one file, "rows": the rows of one state, in order.
 *
 *     "rows" 01, for each row: size of its key + 1 varint, size of its value varint, key, value; 00
 *
 * What a crash leaves is told by backend_memory, and by whether an arrival was finished: its rows are in a
 * backend_memory then, durable; before that its bytes are in a buffer that goes.
 */
#include <stdlib.h>

#include "mvcc/home_internal.h"
#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#define ROWS_NAME "rows"
#define ROWS_HEAD BYTES_LITERAL("rows\1")
#define BATCH_ROWS 256
#define ROOM_UNLIMITED ((uint64_t)1 << 50)

struct home_memory {
    struct home home;
    size_t log_size_max;
    struct backend_memory *current;     /* NULL: none yet */
    struct backend_memory *finished;    /* NULL: no finished arrival */
    uint64_t finished_id;
    enum home_verdict verdict;
    bool copies_refused, is_full;
    uint64_t free;                      /* beside the reserve */
    bool is_reserved;
    bool is_arriving;
    struct home_manifest manifest;      /* of what arrives */
    struct home_position position;
    struct buf arrived;
};

struct memory_copy {
    struct home_copy copy;
    struct buf rows;
};

static struct home_memory *self_of(struct home *home)
{
    return container_of(home, struct home_memory, home);
}

/* ---- rows as bytes ---- */

static enum err_code rows_encode(struct backend *backend, struct buf *ret, struct err *err)
{
    struct backend_iterator *iterator = backend->ops->iterator_new(backend, NULL);
    buf_append(ret, ROWS_HEAD);
    iterator->ops->seek(iterator, BYTES_EMPTY);
    for (; iterator->ops->valid(iterator); iterator->ops->next(iterator)) {
        struct bytes key = iterator->ops->key(iterator), value = iterator->ops->value(iterator);
        buf_append_varint(ret, key.size + 1);
        buf_append_varint(ret, value.size);
        buf_append(ret, key);
        buf_append(ret, value);
    }
    buf_append_u8(ret, 0);
    enum err_code code = iterator->ops->status(iterator, err);
    iterator->ops->free(iterator);
    return code;
}

/* False at the end, and when the cursor has failed. */
static bool row_decode(struct cursor *cursor, struct backend_op *ret)
{
    uint64_t key_size = cursor_varint(cursor);
    if (key_size == 0)
        return false;
    uint64_t value_size = cursor_varint(cursor);
    ret->key = cursor_take(cursor, (size_t)key_size - 1);
    ret->value = cursor_take(cursor, (size_t)value_size);
    ret->is_delete = false;
    return !cursor->failed;
}

static enum err_code rows_write(struct cursor *cursor, struct backend *backend, struct err *err)
{
    struct backend_op ops[BATCH_ROWS];
    enum err_code code = ERR_OK;
    size_t count;
    do {
        for (count = 0; count < BATCH_ROWS && row_decode(cursor, &ops[count]);)
            count++;
        if (count)
            code = backend->ops->write(backend, ops, count, err);
    } while (!code && count == BATCH_ROWS);
    return code;
}

/* Into an empty backend, durably. */
static enum err_code rows_decode(struct bytes from, struct backend *backend, struct err *err)
{
    struct cursor cursor = cursor_of(from);
    bool is_known = bytes_equal(cursor_take(&cursor, ROWS_HEAD.size), ROWS_HEAD);
    enum err_code code = is_known ? rows_write(&cursor, backend, err) : ERR_OK;
    if (!code && (!is_known || cursor.failed || cursor.rest.size))
        return err_set(err, ERR_CORRUPT, "the rows that have arrived do not decode");
    return code ? code : backend->ops->flush(backend, err);
}

static enum err_code room_lacks(struct err *err)
{
    return err_set(err, ERR_NO_SPACE, "the disk is full");
}

/* ---- the current store ---- */

static enum err_code door_open(struct home *home, bool create, struct backend **ret,
                               struct err *err)
{
    struct home_memory *self = self_of(home);
    if (self->is_full)
        return room_lacks(err);
    if (!self->current && !create)
        return err_set(err, ERR_NOT_FOUND, "no store");
    if (!self->current)
        self->current = backend_memory_new(self->log_size_max);
    *ret = backend_memory_open(self->current);
    return ERR_OK;
}

/* ---- copies ---- */

static void copy_list(struct memory_copy *copy)
{
    struct home_manifest *manifest = &copy->copy.manifest;
    manifest->files = mem_xzalloc(sizeof(*manifest->files));
    manifest->count = 1;
    manifest->files[0] = (struct home_file){.name = ROWS_NAME,
                                            .size = copy->rows.size,
                                            .crc = crc32c(0, buf_bytes(&copy->rows))};
    home_manifest_seal(manifest);
}

/* The mark is read from the copied rows: the store's may have gone on meanwhile. */
static enum err_code copy_peek(struct memory_copy *copy, struct err *err)
{
    struct backend_memory *rows = backend_memory_new(0);
    struct backend *backend = backend_memory_open(rows);
    enum err_code code = rows_decode(buf_bytes(&copy->rows), backend, err);
    if (!code)
        code = store_peek(backend, &copy->copy.mark, err);
    if (code == ERR_NOT_FOUND)
        code = err_set(err, ERR_CORRUPT, "the tables of the store hold no state");
    backend_close(backend);
    backend_memory_free(rows);
    return code;
}

static void door_copy_close(struct home_copy *base)
{
    struct memory_copy *copy = container_of(base, struct memory_copy, copy);
    home_manifest_release(&base->manifest);
    store_mark_release(&base->mark);
    buf_release(&copy->rows);
    free(copy);
}

static enum err_code door_copy_open(struct home *home, struct backend *backend,
                                    struct home_copy **ret, struct err *err)
{
    if (self_of(home)->copies_refused)
        return err_set(err, ERR_NO_SPACE, "no copies are made of this store");
    struct memory_copy *copy = mem_xzalloc(sizeof(*copy));
    copy->copy.home = home;
    enum err_code code = rows_encode(backend, &copy->rows, err);
    if (!code)
        code = copy_peek(copy, err);
    if (code) {
        door_copy_close(&copy->copy);
        return code;
    }
    copy_list(copy);
    *ret = &copy->copy;
    return ERR_OK;
}

static enum err_code door_copy_read(struct home_copy *base, size_t file, uint64_t offset, void *to,
                                    size_t size, struct err *err)
{
    struct memory_copy *copy = container_of(base, struct memory_copy, copy);
    enum err_code code = home_manifest_bounds(&base->manifest, file, offset, size, err);
    if (!code && size)
        memcpy(to, copy->rows.data + offset, size);
    return code;
}

/* ---- what arrives ---- */

static void arrival_forget(struct home_memory *self)
{
    self->is_arriving = false;
    self->position = (struct home_position){0};
    home_manifest_release(&self->manifest);
    buf_release(&self->arrived);
}

static enum err_code door_incoming_discard(struct home *home, struct err *err)
{
    (void)err;
    struct home_memory *self = self_of(home);
    arrival_forget(self);
    backend_memory_free(self->finished);
    self->finished = NULL;
    return ERR_OK;
}

static enum err_code door_incoming_begin(struct home *home, const struct home_manifest *manifest,
                                         struct home_position *ret, struct err *err)
{
    struct home_memory *self = self_of(home);
    if (self->finished && self->finished_id == manifest->id) {
        *ret = (struct home_position){manifest->count, 0};
        return ERR_OK;
    }
    if (self->finished)
        return err_set(err, ERR_BUSY, "another store has arrived and is not installed yet");
    if (self->is_full)
        return room_lacks(err);
    if (!self->is_arriving || !home_manifest_equal(&self->manifest, manifest)) {
        if (manifest->count != 1 || strcmp(manifest->files[0].name, ROWS_NAME) != 0)
            return err_set(err, ERR_INVALID, "'%s' is no file of a store", manifest->files[0].name);
        arrival_forget(self);
        home_manifest_copy(manifest, &self->manifest);
        self->is_arriving = true;
    }
    *ret = self->position;
    return ERR_OK;
}

static enum err_code door_incoming_write(struct home *home, size_t file, uint64_t offset,
                                         struct bytes from, struct home_position *ret,
                                         struct err *err)
{
    struct home_memory *self = self_of(home);
    if (!self->is_arriving)
        return err_set(err, ERR_INVALID, "no store is arriving");
    enum err_code code =
        home_position_rest(&self->manifest, &self->position, file, offset, &from, err);
    if (code)
        return code;
    if (from.size) {
        buf_append(&self->arrived, from);
        (void)home_position_advance(&self->manifest, &self->position, from.size);
    }
    *ret = self->position;
    return ERR_OK;
}

static enum err_code arrival_take(struct home_memory *self, struct err *err)
{
    struct bytes rows = buf_bytes(&self->arrived);
    if (crc32c(0, rows) != self->manifest.files[0].crc)
        return err_set(err, ERR_CORRUPT,
                       "'" ROWS_NAME "' has arrived with other bytes than its sender has");
    struct backend_memory *memory = backend_memory_new(self->log_size_max);
    struct backend *backend = backend_memory_open(memory);
    enum err_code code = rows_decode(rows, backend, err);
    backend_close(backend);
    if (code) {
        backend_memory_free(memory);
        return code;
    }
    self->finished = memory;
    self->finished_id = self->manifest.id;
    return ERR_OK;
}

static enum err_code door_incoming_finish(struct home *home, struct err *err)
{
    struct home_memory *self = self_of(home);
    if (self->finished)
        return ERR_OK;
    if (!self->is_arriving || self->position.file < self->manifest.count)
        return err_set(err, ERR_INVALID, "the store has not arrived whole");
    enum err_code code = arrival_take(self, err);
    arrival_forget(self);
    return code;
}

static enum err_code door_incoming_open(struct home *home, struct backend **ret, struct err *err)
{
    struct home_memory *self = self_of(home);
    if (!self->finished)
        return err_set(err, ERR_NOT_FOUND, "no store has arrived");
    *ret = backend_memory_open(self->finished);
    return ERR_OK;
}

static enum err_code door_flip(struct home *home, struct err *err)
{
    struct home_memory *self = self_of(home);
    if (!self->finished)
        return err_set(err, ERR_INVALID, "no store has arrived");
    backend_memory_free(self->current);
    self->current = self->finished;
    self->finished = NULL;
    self->verdict = HOME_SOUND;
    self->copies_refused = false;
    backend_memory_fill(self->current, self->is_full);
    return ERR_OK;
}

static enum err_code door_judge(struct home *home, enum home_verdict verdict, struct err *err)
{
    (void)err;
    self_of(home)->verdict = verdict;
    return ERR_OK;
}

static enum home_verdict door_verdict(const struct home *home)
{
    return container_of(home, const struct home_memory, home)->verdict;
}

static enum err_code door_room(struct home *home, uint64_t *ret_total, uint64_t *ret_free,
                               struct err *err)
{
    (void)err;
    *ret_total = ROOM_UNLIMITED;
    *ret_free = self_of(home)->is_full ? 0 : self_of(home)->free;
    return ERR_OK;
}

static enum err_code door_reserve(struct home *home, struct err *err)
{
    struct home_memory *self = self_of(home);
    if (self->is_reserved)
        return ERR_OK;
    if (self->free < HOME_RESERVE_SIZE + SPACE_LOW)
        return err_set(err, ERR_NO_SPACE, "no room is left to set aside");
    self->free -= HOME_RESERVE_SIZE;
    self->is_reserved = true;
    return ERR_OK;
}

static enum err_code door_give_back(struct home *home, struct err *err)
{
    (void)err;
    struct home_memory *self = self_of(home);
    if (self->is_reserved)
        self->free += HOME_RESERVE_SIZE;
    self->is_reserved = false;
    return ERR_OK;
}

void home_memory_set_free(struct home_memory *self, uint64_t free_bytes) { self->free = free_bytes; }

static const struct home_ops memory_home_ops = {
    .open = door_open,
    .copy_open = door_copy_open,
    .copy_read = door_copy_read,
    .copy_close = door_copy_close,
    .incoming_begin = door_incoming_begin,
    .incoming_write = door_incoming_write,
    .incoming_finish = door_incoming_finish,
    .incoming_open = door_incoming_open,
    .incoming_discard = door_incoming_discard,
    .flip = door_flip,
    .judge = door_judge,
    .verdict = door_verdict,
    .room = door_room,
    .reserve = door_reserve,
    .give_back = door_give_back,
};

/* ---- what survives ---- */

struct home_memory *home_memory_new(size_t log_size_max)
{
    struct home_memory *self = mem_xzalloc(sizeof(*self));
    self->home.ops = &memory_home_ops;
    self->free = ROOM_UNLIMITED;
    self->log_size_max = log_size_max;
    return self;
}

void home_memory_free(struct home_memory *self)
{
    if (!self)
        return;
    (void)!door_incoming_discard(&self->home, NULL);
    backend_memory_free(self->current);
    free(self);
}

struct home *home_memory_door(struct home_memory *self)
{
    return &self->home;
}

struct backend_memory *home_memory_current(struct home_memory *self)
{
    return self->current;
}

void home_memory_refuse_copies(struct home_memory *self)
{
    self->copies_refused = true;
}

void home_memory_fill(struct home_memory *self, bool is_full)
{
    self->is_full = is_full;
    if (self->current)
        backend_memory_fill(self->current, is_full);
}

static void crash_one(struct backend_memory *memory, struct rand *rand)
{
    if (!memory)
        return;
    uint64_t durable = backend_memory_durable(memory), batches = backend_memory_batches(memory);
    backend_memory_crash(memory, durable + rand_below(rand, batches - durable + 1));
}

void home_memory_crash(struct home_memory *self, struct rand *rand)
{
    arrival_forget(self);
    crash_one(self->current, rand);
    crash_one(self->finished, rand);
}
