/* The batch: an overlay of rows written and not yet in the backend, and reads that see through it. One
 * batch may hold many entries; each sees what the ones before it wrote. In front of the backend stands
 * a row cache of fixed size for the writer's point reads.
 *
 * struct view is how everything in mvcc reads: rows of a snapshot (any thread), or of a batch and what
 * lies below it (the writer). Code that takes a view serves both.
 *
 * Threads: a batch belongs to the writer. A view belongs to whoever made it.
 */
#ifndef MVCC_BATCH_H
#define MVCC_BATCH_H

#include "mvcc/backend.h"
#include "proto/base/arena.h"

struct batch;

/* Borrows the backend. */
struct batch *batch_new(struct backend *backend);
void batch_free(struct batch *batch);
/* Forgets the rows; what batch_get and batch_put_place gave out ends. The row cache stays. */
void batch_clear(struct batch *batch);

/* Both are copied. */
void batch_put(struct batch *batch, struct bytes key, struct bytes value);
/* As batch_put, with the value left to be filled in, before any other call on the batch. */
uint8_t *batch_put_place(struct batch *batch, struct bytes key, size_t value_size);
void batch_delete(struct batch *batch, struct bytes key);

/* A row that grows, one at a time: a new one with an empty value and room for so many bytes. What
 * batch_get lent of it before stays as it was. */
void batch_tail_begin(struct batch *batch, struct bytes key, size_t room);
/* That row as it is. False: there is none, or it was written to in another way. */
bool batch_tail(const struct batch *batch, struct bytes *ret_key, struct bytes *ret_value);
/* Appends so many bytes, to be filled in. NULL: there is no room for them. batch_tail holds. */
uint8_t *batch_tail_extend(struct batch *batch, size_t more);

/* The row as it would be after the batch: what was written here, else the backend's. Lives until
 * batch_clear, whatever is written to the row afterwards. NOT_FOUND (no text); IO, CORRUPT. */
enum err_code batch_get(struct batch *batch, struct bytes key, struct bytes *ret,
                        struct err *err) MUST_USE;

/* A cleared buf for building a row key; until the next call of this function. */
struct buf *batch_scratch(struct batch *batch);

/* Goes on from hash with what was written since batch_clear or the last call: each row of columns k, d, h
 * and l, in the order of writing, as it stands now. Those are the columns in which members that applied
 * the same write the same rows, however their batches are cut. */
uint64_t batch_fold(struct batch *batch, uint64_t hash);

size_t batch_bytes(const struct batch *batch);      /* keys and values written, overwritten ones too */
size_t batch_count(const struct batch *batch);      /* rows */
/* Hands all rows to the backend as one atomic batch; then batch_clear is the caller's. The row cache
 * learns what was written. An empty batch is not written. */
enum err_code batch_write(struct batch *batch, struct err *err) MUST_USE;

/* ---- reading ---- */

struct view {
    struct backend *backend;
    struct backend_snapshot *snapshot;      /* NULL: newest at each call */
    struct batch *batch;                    /* NULL for readers; else snapshot is NULL */
};

static inline struct view view_of_batch(struct batch *batch, struct backend *backend)
{
    return (struct view){.backend = backend, .batch = batch};
}
/* Takes a snapshot; view_release gives it back. */
struct view view_open(struct backend *backend);
/* The same, for reading once what is many rows: see backend.h. */
struct view view_open_passing(struct backend *backend);
void view_release(struct view *view);

/* The value, copied into arena. NOT_FOUND (no text); IO, CORRUPT. */
enum err_code view_get(const struct view *view, struct bytes key, struct arena *arena,
                       struct bytes *ret, struct err *err) MUST_USE;

/* Rows in order. Sees the backend as it is at this moment (a batch is only written between uses), and
 * the batch as it is at the last seek: after a write to the batch, seek again before anything else. */
struct view_iterator;
struct view_iterator *view_iterator_new(const struct view *view);
void view_iterator_free(struct view_iterator *iterator);
void view_iterator_seek(struct view_iterator *iterator, struct bytes key);  /* first at or after */
void view_iterator_seek_before(struct view_iterator *iterator, struct bytes key); /* last below */
void view_iterator_next(struct view_iterator *iterator);                    /* only when valid */
void view_iterator_previous(struct view_iterator *iterator);                /* only when valid */
bool view_iterator_valid(const struct view_iterator *iterator);
struct bytes view_iterator_key(const struct view_iterator *iterator);       /* until it moves */
struct bytes view_iterator_value(const struct view_iterator *iterator);
/* OK while valid, and when the rows ended; IO, CORRUPT when they ended for an error. */
enum err_code view_iterator_status(const struct view_iterator *iterator, struct err *err) MUST_USE;

#endif
