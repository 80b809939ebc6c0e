#include "mvcc/watch_read.h"

#include "mvcc/changes.h"
#include "mvcc/store_internal.h"
#include "proto/base/limits.h"

struct scan {
    struct watch_reading *reading;
    struct view view;
    kv_rev floor;
    struct change_cursor changes;
    struct change_row row;              /* the next one */
    bool has_row;                       /* there is one, at or below reading->to */
    size_t rows, bytes;                 /* looked at; read */
};

static enum err_code row_look(struct scan *scan, struct err *err)
{
    struct watch_reading *reading = scan->reading;
    enum err_code code = change_cursor_next(&scan->changes, &reading->tell.arena, &scan->row, err);
    scan->has_row = !code && scan->row.revision.main <= reading->to;
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static bool is_over(const struct scan *scan, size_t rows, size_t bytes)
{
    return scan->reading->on_loop && (rows > RANGE_CHUNK_ROWS || bytes > WATCH_LOOP_BYTES);
}

/* The rows of one revision become drafts. */
static enum err_code rows_add(struct scan *scan, struct err *err)
{
    struct watch_reading *reading = scan->reading;
    kv_rev main = scan->row.revision.main;
    enum err_code code = ERR_OK;
    while (!code && scan->has_row && scan->row.revision.main == main) {
        struct head head = {.mod = scan->row.revision,
                            .mod_time = scan->row.time,
                            .is_tombstone = scan->row.kind == CHANGE_DELETE};
        watch_tell_add(&reading->tell, scan->row.key, &head);
        if (is_over(scan, ++scan->rows, scan->bytes))
            return ERR_OK;
        code = row_look(scan, err);
    }
    return code;
}

static enum err_code heads_read(struct scan *scan, struct err *err)
{
    struct watch_tell *tell = &scan->reading->tell;
    enum err_code code = ERR_OK;
    for (size_t i = tell->kept; i < tell->count && !code; i++) {
        struct watch_draft *draft = tell->drafts[i];
        if (!draft->is_wanted)
            continue;
        code = watch_draft_read_row(tell, draft, &scan->view, err);
        scan->bytes += draft->key.size + draft->head.size;
    }
    return code;
}

static enum err_code build(struct scan *scan, struct err *err)
{
    struct watch_tell *tell = &scan->reading->tell;
    enum err_code code = ERR_OK;
    for (size_t i = tell->kept; i < tell->count && !code; i++) {
        struct watch_draft *draft = tell->drafts[i];
        if (!draft->is_wanted)
            continue;
        code = watch_draft_build(tell, draft, &scan->view, scan->floor, err);
        scan->bytes += draft->full.previous.size;
        if (is_over(scan, scan->rows, scan->bytes))
            break;
    }
    return code;
}

/* *ret_stop: this revision is too much, and was taken back. */
static enum err_code revision_read(struct scan *scan, bool *ret_stop, struct err *err)
{
    struct watch_reading *reading = scan->reading;
    kv_rev main = scan->row.revision.main;
    enum err_code code = rows_add(scan, err);
    watch_tell_end_revision(&reading->tell);
    if (!code && !is_over(scan, scan->rows, scan->bytes))
        code = heads_read(scan, err);
    if (!code && !is_over(scan, scan->rows, scan->bytes))
        code = build(scan, err);
    if (code)
        return code;
    *ret_stop = is_over(scan, scan->rows, scan->bytes);
    if (*ret_stop) {
        watch_tell_drop_revision(&reading->tell);
        reading->is_too_wide = reading->covered < reading->from;
        return ERR_OK;
    }
    watch_tell_keep(&reading->tell);
    reading->covered = main;
    return ERR_OK;
}

static enum err_code read_all(struct scan *scan, struct err *err)
{
    struct watch_reading *reading = scan->reading;
    bool stop = false;
    enum err_code code = row_look(scan, err);
    while (!code && scan->has_row && !stop && scan->rows < WATCH_READ_ROWS &&
           scan->bytes < WATCH_READ_BYTES)
        code = revision_read(scan, &stop, err);
    if (!code && !scan->has_row && !stop)
        reading->covered = reading->to;
    return code;
}

void watch_reading_run(struct watch_reading *reading)
{
    struct scan scan = {.reading = reading, .view = view_open(reading->store->backend)};
    watch_tell_begin(&reading->tell, &reading->index);
    reading->covered = reading->from - 1;
    reading->is_too_wide = false;
    /* Looked at after the snapshot was taken: what that may lack is below this floor. */
    scan.floor = reading->store->floor;
    if (reading->from < scan.floor) {
        reading->code = ERR_COMPACTED;
    } else {
        change_cursor_init(&scan.changes, &scan.view, (struct revision){reading->from, 0});
        reading->code = read_all(&scan, &reading->err);
        change_cursor_release(&scan.changes);
    }
    view_release(&scan.view);
}
