/* Segments ahead and behind: released ones become spare ones by a rename, oldest first and each on
 * disk before the next, so that a log never has a hole; missing spare ones are written as zeros. */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

/* A segment that leaves the log, and the spare one it becomes; number 0: it is removed. */
struct leaving {
    uint64_t segment;
    uint64_t spare;
};

struct wal_prepare_job {
    struct disk *disk;
    const char *folder;
    uint64_t segment_size;
    struct leaving *leaving;
    size_t leaving_count, left_count;   /* left_count: done */
    uint64_t zero;                      /* the spare one to write; 0 for none */
    bool zero_done;
    atomic_bool stop;
    enum err_code code;
    struct err err;
};

void wal_release(struct wal *wal, raft_index index)
{
    CHECK(index <= wal->durable_mark);
    if (MUTANT(RELEASE_BEYOND_MARK))
        index = wal->last_index;
    while (wal->released_count < wal->segment_count) {
        const struct segment *segment = &wal->segments[wal->released_count];
        if (segment->number >= wal->durable_segment || segment->last_index > index)
            break;
        wal->released_count++;
    }
}

static size_t missing_spares(const struct wal *wal)
{
    return wal->spare_count < WAL_SPARE_COUNT ? WAL_SPARE_COUNT - wal->spare_count : 0;
}

/* Takes the released segments out of the log's list and gives each its future. */
static void plan_leaving(struct wal *wal, struct wal_prepare_job *job)
{
    size_t missing = missing_spares(wal);
    size_t wanted = wal->spare_count < WAL_SPARE_KEPT ? WAL_SPARE_KEPT - wal->spare_count : 0;
    job->leaving_count = wal->released_count;
    job->leaving = mem_xzalloc((job->leaving_count + 1) * sizeof *job->leaving);
    for (size_t i = 0; i < job->leaving_count; i++) {
        bool reuse = wanted > 0 && wal->segments[i].size == wal->segment_size;
        job->leaving[i] = (struct leaving){wal->segments[i].number,
                                           reuse ? wal->spare_next++ : 0};
        wanted -= reuse;
        missing -= reuse && missing > 0;
    }
    if (missing > 0)
        job->zero = wal->spare_next++;
    wal->segment_count -= job->leaving_count;
    wal->released_count = 0;
    memmove(wal->segments, wal->segments + job->leaving_count,
            wal->segment_count * sizeof *wal->segments);
}

struct wal_prepare_job *wal_prepare_begin(struct wal *wal)
{
    if (wal->dead || wal->prepare || (wal->released_count == 0 && missing_spares(wal) == 0))
        return NULL;
    struct wal_prepare_job *job = mem_xzalloc(sizeof *job);
    job->disk = wal->disk;
    job->folder = wal->folder;
    job->segment_size = wal->segment_size;
    plan_leaving(wal, job);
    wal->prepare = job;
    return job;
}

static enum err_code leave(struct wal_prepare_job *job, const struct leaving *leaving)
{
    char from[FOLDER_NAME_SIZE], to[FOLDER_NAME_SIZE];
    folder_name(from, job->folder, FOLDER_SEGMENT, leaving->segment);
    if (leaving->spare == 0)
        return folder_drop(job->disk, job->folder, from, &job->err);
    folder_name(to, job->folder, FOLDER_USED, leaving->spare);
    return folder_move(job->disk, job->folder, from, to, &job->err);
}

void wal_prepare_run(struct wal_prepare_job *job)
{
    while (job->left_count < job->leaving_count && !job->code) {
        if (leave(job, &job->leaving[job->left_count]))
            job->code = ERR_IO;         /* a full disk, too: which names stand is not known */
        else
            job->left_count++;
    }
    if (job->code || job->zero == 0)
        return;
    job->code = folder_make_spare(job->disk, job->folder, job->zero, job->segment_size,
                                  &job->stop, &job->err);
    job->zero_done = job->code == ERR_OK;
}

void wal_prepare_stop(struct wal_prepare_job *job) { atomic_store(&job->stop, true); }

void prepare_job_free(struct wal *wal)
{
    free(wal->prepare->leaving);
    free(wal->prepare);
    wal->prepare = NULL;
}

enum err_code wal_prepare_end(struct wal *wal, struct wal_prepare_job *job, struct err *err)
{
    CHECK(job == wal->prepare);
    for (size_t i = 0; i < job->left_count; i++)
        if (job->leaving[i].spare > 0)
            wal_push_spare(wal, (struct spare){job->leaving[i].spare, false});
    if (job->zero_done)
        wal_push_spare(wal, (struct spare){job->zero, true});
    enum err_code code = job->code == ERR_CANCELED ? ERR_OK : job->code;
    if (code == ERR_NO_SPACE)
        err_set(err, code, "%s", job->err.text);
    else if (code) {
        err_set(err, ERR_IO, "%s", job->err.text);
        code = wal_die(wal, err);
    }
    TRACE(wal->trace, "wal prepare left=%zu zero=%d spares=%zu", job->left_count, job->zero_done,
          wal->spare_count);
    prepare_job_free(wal);
    return code;
}
