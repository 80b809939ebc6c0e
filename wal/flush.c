/* Flushing: the pieces of a batch, in order, each on disk before the next is begun. So a HEAD or a
 * FLUSH that stands on disk proves that all before it does, which is the whole rule of the tail. */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define BUFFER_KEPT_MAX (8 * MIB)       /* a batch that grew beyond gives its memory back */

struct wal_flush_job {
    struct disk *disk;
    const char *folder;
    struct batch *batch;
    uint64_t (*now_ns)(void);
    struct disk_file *first;            /* the log's own; closed by wal_flush_end when left behind */
    struct disk_file *file;             /* written to last */
    uint64_t elapsed_ns;
    enum err_code code;
    struct err err;
};

struct wal_flush_job *wal_flush_begin(struct wal *wal)
{
    CHECK(!wal->flush);
    struct batch *batch = &wal->batches[wal->active];
    if (wal->dead || batch->piece_count == 0)
        return NULL;
    struct wal_flush_job *job = mem_xzalloc(sizeof *job);
    *job = (struct wal_flush_job){.disk = wal->disk, .folder = wal->folder, .batch = batch,
                                  .now_ns = wal->now_ns, .first = wal->file, .file = wal->file};
    wal->flush = job;
    wal->active = !wal->active;
    CHECK(wal->batches[wal->active].piece_count == 0);
    return job;
}

static enum err_code begin_segment(struct wal_flush_job *job, const struct piece *piece)
{
    char from[FOLDER_NAME_SIZE], to[FOLDER_NAME_SIZE];
    folder_spare_name(from, job->folder, piece->spare);
    folder_name(to, job->folder, FOLDER_SEGMENT, piece->segment);
    enum err_code code = folder_move(job->disk, job->folder, from, to, &job->err);
    if (code)
        return code;
    if (job->file != job->first)
        disk_close(job->disk, job->file);
    job->file = job->first;
    struct disk_file *file;
    code = disk_open(job->disk, to, DISK_WRITE, 0, &file, NULL, &job->err);
    if (!code)
        job->file = file;
    return code;
}

static enum err_code run_piece(struct wal_flush_job *job, const struct piece *piece)
{
    if (piece->size == 0)
        return ERR_OK;
    enum err_code code = piece->begins_segment ? begin_segment(job, piece) : ERR_OK;
    if (code)
        return code;
    return disk_write(job->disk, job->file, piece->offset,
                      job->batch->bytes.data + piece->start, piece->size,
                      !MUTANT(LOG_NOT_SYNCED), &job->err);
}

void wal_flush_run(struct wal_flush_job *job)
{
    uint64_t start = job->now_ns ? job->now_ns() : 0;
    for (size_t i = 0; i < job->batch->piece_count && !job->code; i++)
        job->code = run_piece(job, &job->batch->pieces[i]);
    job->elapsed_ns = job->now_ns ? job->now_ns() - start : 0;
}

static void clear_batch(struct batch *batch)
{
    batch->piece_count = 0;
    batch->mark_index = 0;
    buf_clear(&batch->bytes);
    if (batch->bytes.capacity > BUFFER_KEPT_MAX)
        buf_release(&batch->bytes);
}

static void note_flushed(struct wal *wal, const struct wal_flush_job *job)
{
    const struct batch *batch = job->batch;
    wal->durable_segment = batch->pieces[batch->piece_count - 1].segment;
    if (batch->mark_index > 0)
        wal->durable_mark = batch->mark_index;
    wal->stats.flush_count++;
    wal->stats.flushed_bytes += batch->bytes.size;
    wal->stats.flush_last_ns = job->elapsed_ns;
}

/* The file written to last becomes the log's. */
static void take_file(struct wal *wal, struct wal_flush_job *job)
{
    if (job->file == job->first)
        return;
    disk_close(wal->disk, job->first);
    wal->file = job->file;
}

void flush_job_free(struct wal *wal)
{
    take_file(wal, wal->flush);
    free(wal->flush);
    wal->flush = NULL;
}

enum err_code wal_flush_end(struct wal *wal, struct wal_flush_job *job, struct err *err)
{
    CHECK(job == wal->flush);
    enum err_code code = job->code;
    if (code) {
        err_set(err, ERR_IO, "%s", job->err.text);
        code = wal_die(wal, err);
    } else {
        note_flushed(wal, job);
    }
    clear_batch(job->batch);
    flush_job_free(wal);
    return code;
}

enum err_code wal_flush(struct wal *wal, struct err *err)
{
    if (wal->dead)
        return wal_say_dead(err);
    struct wal_flush_job *job = wal_flush_begin(wal);
    if (!job)
        return ERR_OK;
    wal_flush_run(job);
    return wal_flush_end(wal, job, err);
}
