/* Column r: what each revision changed, in order. Compaction walks it, watches catch up from it, and it
 * knows the time of each revision above the floor. Changes of one batch stand in rows of many: a row more
 * for each would be a third of what writing a put costs.
 *
 * Invariants
 *   - Rows follow each other as their changes do; no two rows overlap.
 *   - How changes are spread over rows is each member's own, as its batches are.
 *   - A row goes when all its changes are below the floor. Until then it may tell of versions that
 *     compaction has forgotten; nobody looks below the floor.
 *
 * Threads: what takes a batch belongs to the writer; what takes a view to whoever holds the view.
 * Errors of everything fallible: IO; CORRUPT (a row that does not decode).
 */
#ifndef MVCC_CHANGES_H
#define MVCC_CHANGES_H

#include "mvcc/batch.h"
#include "mvcc/revision.h"

enum change_kind { CHANGE_PUT = 1, CHANGE_DELETE = 2 };

struct change_row {
    struct revision revision;
    enum change_kind kind;
    kv_time time;
    struct bytes key;                   /* in arena */
};

/* Adds one change. Revisions only rise. */
void changes_put(struct batch *batch, struct bytes key, struct revision mod, enum change_kind kind,
                 kv_time time);

/* The first change at or after from. NOT_FOUND (no text): none. */
enum err_code changes_at(const struct view *view, struct revision from, struct arena *arena,
                         struct change_row *ret, struct err *err) MUST_USE;

/* Walks the changes at or after a revision. The view is borrowed, and not written to meanwhile. */
struct change_cursor {
    const struct view *view;
    struct revision from;
    struct view_iterator *iterator;     /* NULL before the first change */
    struct cursor rest;                 /* of the row it stands on: what was not told yet */
    kv_rev main;                        /* that row's first */
    kv_time time;
};
void change_cursor_init(struct change_cursor *cursor, const struct view *view, struct revision from);
/* The next change. NOT_FOUND (no text): none is left. */
enum err_code change_cursor_next(struct change_cursor *cursor, struct arena *arena,
                                 struct change_row *ret, struct err *err) MUST_USE;
void change_cursor_release(struct change_cursor *cursor);

/* Deletes the rows whose changes all are below a revision, beginning with the row that from stands in.
 * The view is of the batch; what it needs meanwhile is in scratch. */
enum err_code changes_forget(struct batch *batch, const struct view *view, struct revision from,
                             struct revision below, struct arena *scratch, struct err *err) MUST_USE;

#endif
