/* Opening and closing. The order of an opening, each step on disk before the next:
 *
 *   read and judge (recover.c)  ->  tidy  ->  segments behind the end go, the last one first
 *   ->  the tail is zeros  ->  every segment and the folder are synced  ->  the seal goes
 *   ->  the OPEN record
 *
 * A stop anywhere leaves a log that the next opening judges alike. */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"

#define SEGMENT_SIZE_MAX (1024 * MIB)   /* offsets are 32 bit, with room to spare */
#define ZERO_SLICE_SIZE (64 * KIB)

void wal_recovery_release(struct wal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->entry_count; i++)
        blob_unref(recovery->entries[i].payload);
    free(recovery->entries);
    blob_unref(recovery->mark.configuration);
    *recovery = (struct wal_recovery){0};
}

/* --- making the folder what recovery found --- */

static enum err_code drop_leftovers(struct recover *recover, struct err *err)
{
    const struct folder *folder = &recover->folder;
    char name[FOLDER_NAME_SIZE];
    for (size_t i = 0; i < folder->leftover_count; i++) {
        folder_path(name, recover->name, folder->leftovers[i]);
        enum err_code code = folder_drop(recover->disk, recover->name, name, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* Spare segments of another size, or too many of them, go. */
static enum err_code keep_spares(struct recover *recover, struct wal *wal, struct err *err)
{
    const struct folder *folder = &recover->folder;
    char name[FOLDER_NAME_SIZE];
    for (size_t i = 0; i < folder->spare_count; i++) {
        uint64_t size = 0;
        struct disk_file *file = NULL;
        folder_spare_name(name, recover->name, folder->spares[i]);
        enum err_code code = disk_open(recover->disk, name, DISK_READ, 0, &file, &size, err);
        disk_close(recover->disk, file);
        if (!code && size == wal->segment_size && wal->spare_count < WAL_SPARE_KEPT)
            wal_push_spare(wal, folder->spares[i]);
        else if (!code)
            code = folder_drop(recover->disk, recover->name, name, err);
        if (code)
            return code;
    }
    wal->spare_next = folder->spare_next;
    return ERR_OK;
}

static enum err_code drop_segments_behind(struct recover *recover, struct err *err)
{
    const struct folder *folder = &recover->folder;
    char name[FOLDER_NAME_SIZE];
    for (size_t i = folder->segment_count; i > 0; i--) {
        if (folder->segments[i - 1] <= recover->end.segment)
            break;
        folder_name(name, recover->name, FOLDER_SEGMENT, folder->segments[i - 1]);
        enum err_code code = folder_drop(recover->disk, recover->name, name, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

static enum err_code write_tail(struct recover *recover, struct disk_file *file, struct err *err)
{
    static const uint8_t zeros[ZERO_SLICE_SIZE];
    const struct overlay *overlay = &recover->overlay;
    enum err_code code = ERR_OK;
    if (overlay->segment == recover->end.segment && overlay->offset < recover->end.offset) {
        uint64_t size = recover->end.offset - overlay->offset;
        size = size < overlay->bytes.size ? size : overlay->bytes.size;
        code = disk_write(recover->disk, file, overlay->offset, overlay->bytes.data,
                          (size_t)size, false, err);
    }
    for (uint64_t at = recover->end.offset; at < recover->tail_end && !code;) {
        uint64_t size = recover->tail_end - at;
        size = size < sizeof zeros ? size : sizeof zeros;
        code = disk_write(recover->disk, file, at, zeros, (size_t)size, false, err);
        at += size;
    }
    return code;
}

/* Every segment is synced, and the tail of the last one is what recovery says. */
static enum err_code sync_segments(struct recover *recover, struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    for (size_t i = 0; i < recover->segment_count; i++) {
        uint64_t number = recover->segments[i].number;
        struct disk_file *file = NULL;
        folder_name(name, recover->name, FOLDER_SEGMENT, number);
        enum err_code code = disk_open(recover->disk, name, DISK_WRITE, 0, &file, NULL, err);
        if (!code && number == recover->end.segment)
            code = write_tail(recover, file, err);
        if (!code)
            code = disk_sync(recover->disk, file, err);
        disk_close(recover->disk, file);
        if (code)
            return code;
    }
    return disk_sync_folder(recover->disk, recover->name, err);
}

static enum err_code drop_seal(struct recover *recover, struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    if (!recover->folder.sealed)
        return ERR_OK;
    return folder_drop(recover->disk, recover->name, folder_path(name, recover->name, "seal"),
                       err);
}

static enum err_code settle(struct recover *recover, struct wal *wal, struct err *err)
{
    enum err_code code = drop_leftovers(recover, err);
    if (!code)
        code = keep_spares(recover, wal, err);
    if (!code)
        code = drop_segments_behind(recover, err);
    if (!code)
        code = sync_segments(recover, err);
    if (!code)
        code = drop_seal(recover, err);
    return code;
}

/* --- the log in memory --- */

static void take_over(struct wal *wal, const struct recover *recover)
{
    const struct replay *replay = &recover->replay;
    wal->place = recover->end;
    wal->state = replay->state;
    wal->mark = replay->mark;
    blob_ref(wal->mark.configuration);
    wal->durable_mark = replay->mark.index;
    wal->last_index = replay->mark.index;
    for (size_t i = 0; i < replay->count; i++)
        wal_push_term(wal, replay->entries[i].index, replay->entries[i].term);
    for (size_t i = 0; i < recover->segment_count; i++)
        wal_push_segment(wal, recover->segments[i]);
    if (wal->segment_count > 0)
        wal->limit = wal->segments[wal->segment_count - 1].size;
    wal->durable_segment = recover->end.segment;
}

/* The first flush: raft sees the log only when it is on disk. */
static enum err_code record_opening(struct wal *wal, uint64_t dropped, struct err *err)
{
    uint8_t payload[8];
    char name[FOLDER_NAME_SIZE];
    put_le64(payload, dropped);
    enum err_code code = ERR_OK;
    if (wal->place.segment > 0) {
        folder_name(name, wal->folder, FOLDER_SEGMENT, wal->place.segment);
        code = disk_open(wal->disk, name, DISK_WRITE, 0, &wal->file, NULL, err);
    }
    size_t size = record_size_of(sizeof payload);
    if (!code)
        code = wal_reserve(wal, &size, 1, 0, err);
    if (code)
        return code;
    wal_frame(wal, RECORD_OPEN, 0, bytes_of(payload, sizeof payload), BYTES_EMPTY);
    return wal_flush(wal, err);
}

static void describe_drop(const struct recover *recover, struct wal_recovery *recovery)
{
    char name[FOLDER_NAME_SIZE];
    if (recovery->dropped_bytes == 0)
        return;
    snprintf(recovery->dropped_text, sizeof recovery->dropped_text,
             "cut %" PRIu64 " bytes from the tail of \"%.100s\" at offset %" PRIu64
             ": %s; no flush of them had ended",
             recovery->dropped_bytes,
             folder_name(name, recover->name, FOLDER_SEGMENT, recover->end.segment),
             recover->end.offset, record_fault_text(recover->fault));
}

static void hand_out(struct recover *recover, struct wal *wal, struct wal_recovery *ret_recovery)
{
    struct replay *replay = &recover->replay;
    struct wal_recovery recovery = {
        .mark = replay->mark,
        .state = replay->state,
        .entries = replay->entries,
        .entry_count = replay->count,
        .created = recover->segment_count == 0,
        .sealed = recover->folder.sealed,
        .dropped_bytes = recover->tail_end - recover->end.offset,
        .opening = wal->place.opening,
    };
    describe_drop(recover, &recovery);
    *replay = (struct replay){0};
    *ret_recovery = recovery;
    TRACE(wal->trace, "wal open opening=%" PRIu32 " segment=%" PRIu64 " offset=%" PRIu64
          " entries=%zu mark=%" PRIu64 " sealed=%d dropped=%" PRIu64,
          recovery.opening, wal->place.segment, wal->place.offset, recovery.entry_count,
          recovery.mark.index, recovery.sealed, recovery.dropped_bytes);
}

static struct wal *wal_new(const struct wal_options *options)
{
    struct wal *wal = mem_xzalloc(sizeof *wal);
    wal->disk = options->disk;
    wal->folder = mem_xstrdup(options->folder);
    wal->segment_size = options->segment_size ? options->segment_size : SEGMENT_SIZE_DEFAULT;
    wal->identity = options->identity;
    wal->now_ns = options->now_ns;
    wal->trace = options->trace;
    return wal;
}

static enum err_code check_options(const struct wal_options *options, struct err *err)
{
    uint64_t size = options->segment_size;
    CHECK(strlen(options->folder) < FOLDER_NAME_SIZE - 32);
    if (size != 0 && (size < SEGMENT_SIZE_MIN || size > SEGMENT_SIZE_MAX || size % 4096 != 0))
        return err_set(err, ERR_INVALID, "a segment size of %" PRIu64 " bytes is not between %d "
                       "and %d, or not a multiple of 4096", size, SEGMENT_SIZE_MIN,
                       SEGMENT_SIZE_MAX);
    return ERR_OK;
}

/* NOT_FOUND without a log; nothing is changed before recovery has judged. */
static enum err_code read_log(const struct wal_options *options, struct recover *recover,
                              struct err *err)
{
    enum err_code code = options->create
                             ? disk_make_folder(options->disk, options->folder, err) : ERR_OK;
    if (!code)
        code = recover_read(recover, options->disk, options->folder, &options->identity, err);
    if (code)
        return code;
    if (recover->segment_count > 0 || options->create)
        return ERR_OK;
    char name[FOLDER_NAME_SIZE];
    code = recover->folder.segment_count > 0
               ? err_set(err, ERR_CORRUPT, "\"%s\" is damaged at offset 0: %s",
                         folder_name(name, options->folder, FOLDER_SEGMENT, 1),
                         record_fault_text(recover->fault))
               : err_set(err, ERR_NOT_FOUND, "there is no log in \"%s\"", options->folder);
    recover_release(recover);
    return code;
}

enum err_code wal_open(const struct wal_options *options, struct wal **ret_wal,
                       struct wal_recovery *ret_recovery, struct err *err)
{
    struct recover recover;
    enum err_code code = check_options(options, err);
    if (!code)
        code = read_log(options, &recover, err);
    if (code)
        return code;
    struct wal *wal = wal_new(options);
    code = settle(&recover, wal, err);
    if (!code) {
        take_over(wal, &recover);
        wal->place.opening = recover.opening_max + 1;
        code = record_opening(wal, recover.tail_end - recover.end.offset, err);
    }
    if (code) {
        wal_abandon(wal);
    } else {
        hand_out(&recover, wal, ret_recovery);
        *ret_wal = wal;
    }
    recover_release(&recover);
    return code;
}

/* --- closing --- */

static enum err_code sum_rest(struct wal *wal, uint32_t *ret_crc, struct err *err)
{
    uint8_t *part = mem_xalloc(MIB);
    uint32_t crc = 0;
    uint64_t offset = wal->place.offset;
    size_t got = 0;
    enum err_code code;
    do {
        code = disk_read(wal->disk, wal->file, offset, part, MIB, DISK_CACHED, &got, err);
        if (!code)
            crc = crc32c(crc, bytes_of(part, got));
        offset += got;
    } while (!code && got > 0);
    free(part);
    *ret_crc = crc;
    return code;
}

static enum err_code write_seal(struct wal *wal, struct err *err)
{
    char temporary[FOLDER_NAME_SIZE], name[FOLDER_NAME_SIZE];
    struct seal seal = {.end = wal->place};
    struct disk_file *file = NULL;
    uint8_t bytes[SEAL_SIZE];
    enum err_code code = sum_rest(wal, &seal.rest, err);
    if (code)
        return code;
    seal_encode(bytes, &seal);
    folder_path(temporary, wal->folder, "seal.tmp");
    folder_path(name, wal->folder, "seal");
    code = disk_open(wal->disk, temporary, DISK_CREATE, 0, &file, NULL, err);
    if (code)
        return code;
    code = disk_write(wal->disk, file, 0, bytes, sizeof bytes, false, err);
    if (!code)
        code = disk_sync(wal->disk, file, err);
    disk_close(wal->disk, file);
    return code ? code : folder_move(wal->disk, wal->folder, temporary, name, err);
}

static enum err_code seal_log(struct wal *wal, struct err *err)
{
    enum err_code code = wal_flush(wal, err);
    size_t size = RECORD_HEADER_SIZE;
    if (!code)
        code = wal_reserve(wal, &size, 1, 0, err);
    if (code)
        return code;
    wal_frame(wal, RECORD_SEAL, 0, BYTES_EMPTY, BYTES_EMPTY);
    code = wal_flush(wal, err);
    return code ? code : write_seal(wal, err);
}

static void release_batch(struct batch *batch)
{
    buf_release(&batch->bytes);
    free(batch->pieces);
}

void wal_abandon(struct wal *wal)
{
    if (!wal)
        return;
    if (wal->flush)
        flush_job_free(wal);
    if (wal->prepare)
        prepare_job_free(wal);
    disk_close(wal->disk, wal->file);
    release_batch(&wal->batches[0]);
    release_batch(&wal->batches[1]);
    blob_unref(wal->mark.configuration);
    free(wal->runs);
    free(wal->segments);
    free(wal->spares);
    free(wal->folder);
    free(wal);
}

enum err_code wal_close(struct wal *wal, struct err *err)
{
    CHECK(!wal->flush && !wal->prepare);
    enum err_code code = seal_log(wal, err);
    TRACE(wal->trace, "wal close %s", err_name(code));
    wal_abandon(wal);
    return code;
}
