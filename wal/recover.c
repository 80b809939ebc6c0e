#include "wal/recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

#define BLOCK_SIZE 4096             /* what one direct read covers at least */
#define SCAN_SIZE (256 * 1024)

static enum err_code corrupt(const struct recover *recover, uint64_t segment, uint64_t offset,
                             const char *why, struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    return err_set(err, ERR_CORRUPT, "\"%s\" is damaged at offset %" PRIu64 ": %s",
                   folder_name(name, recover->name, FOLDER_SEGMENT, segment), offset, why);
}

static enum err_code open_segment(struct recover *recover, uint64_t number,
                                  struct reader *ret_reader, struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    folder_name(name, recover->name, FOLDER_SEGMENT, number);
    return reader_open(ret_reader, recover->disk, name, number, &recover->overlay, err);
}

/* The record at offset, if one stands there by itself. */
static enum err_code read_record(struct reader *reader, uint64_t offset, uint32_t seed,
                                 struct record *ret_record, enum record_fault *ret_fault,
                                 struct err *err)
{
    struct bytes bytes;
    enum err_code code = reader_get(reader, offset, RECORD_HEADER_SIZE, &bytes, err);
    if (code)
        return code;
    size_t size = bytes.size == RECORD_HEADER_SIZE ? record_claimed_size(bytes.data) : 0;
    if (size > 0)
        code = reader_get(reader, offset, size, &bytes, err);
    if (!code)
        *ret_fault = record_decode(bytes, seed, ret_record);
    return code;
}

/* --- the walk --- */

static bool identity_equal(const struct wal_identity *a, const struct wal_identity *b)
{
    return a->cluster_id == b->cluster_id && a->member_id == b->member_id &&
           a->generation == b->generation;
}

static enum err_code check_head(struct recover *recover, const struct record *record,
                                uint64_t file_size, struct err *err)
{
    struct record_head head;
    char name[FOLDER_NAME_SIZE];
    folder_name(name, recover->name, FOLDER_SEGMENT, record->segment);
    if (!record_get_head(record, &head))
        return corrupt(recover, record->segment, 0, "it does not begin as a segment", err);
    if (head.version != RECORD_VERSION)
        return err_set(err, ERR_INVALID, "\"%s\" has format %" PRIu32 ", this program knows %d",
                       name, head.version, RECORD_VERSION);
    if (!identity_equal(&head.identity, &recover->identity))
        return err_set(err, ERR_CONFLICT,
                       "\"%s\" is the log of member %" PRIx64 " of cluster %" PRIx64
                       ", generation %" PRIx64 ", and not of member %" PRIx64
                       " of cluster %" PRIx64 ", generation %" PRIx64,
                       name, head.identity.member_id, head.identity.cluster_id,
                       head.identity.generation, recover->identity.member_id,
                       recover->identity.cluster_id, recover->identity.generation);
    if (head.segment_size != file_size)
        return corrupt(recover, record->segment,
                       file_size < head.segment_size ? file_size : head.segment_size,
                       "the file does not have the length its head says", err);
    recover->segments = mem_xrealloc(recover->segments, (recover->segment_count + 1) *
                                                            sizeof *recover->segments);
    recover->segments[recover->segment_count++] =
        (struct segment){record->segment, file_size, 0, head.fresh};
    return ERR_OK;
}

/* What the log is made of so far ends before a mark that replaces it. */
static void note_entry(struct recover *recover, const struct record *record)
{
    struct segment *last = &recover->segments[recover->segment_count - 1];
    if (record->type == RECORD_ENTRY) {
        raft_index index = get_le64(record->payload.data + 8);
        if (index > last->last_index)
            last->last_index = index;
    }
    if (record->type == RECORD_MARK && (record->kind & RECORD_MARK_REPLACE))
        for (size_t i = 0; i < recover->segment_count; i++)
            if (recover->segments[i].last_index > recover->replay.mark.index)
                recover->segments[i].last_index = recover->replay.mark.index;
}

static enum err_code take_record(struct recover *recover, const struct record *record,
                                 uint64_t file_size, struct err *err)
{
    enum err_code code = ERR_OK;
    if (record->type == RECORD_HEAD)
        code = check_head(recover, record, file_size, err);
    if (code)
        return code;
    const char *why = replay_record(&recover->replay, record);
    if (record->type == RECORD_END && record->offset + record->size != file_size)
        why = "the segment ends too early";
    if (why)
        return corrupt(recover, record->segment, record->offset, why, err);
    note_entry(recover, record);
    if (record_is_durable_mark(record->type))
        recover->durable_offset = record->offset;
    recover->end_is_seal = record->type == RECORD_SEAL;
    record_pass(&recover->end, record);
    if (record->opening > recover->opening_max)
        recover->opening_max = record->opening;
    return ERR_OK;
}

/* Where a segment begins: behind the last record of the one before, or, for the oldest, anywhere. */
static struct record_place segment_start(const struct recover *recover, uint64_t number,
                                         const struct record *record)
{
    struct record_place place = recover->end;
    place.segment = number;
    place.offset = 0;
    if (recover->segment_count == 0) {
        place.previous = record->previous;
        place.opening = record->opening;
    }
    return place;
}

/* Walks one segment to its end or to the first fault. */
static enum err_code walk_segment(struct recover *recover, struct reader *reader, struct err *err)
{
    uint64_t offset = 0;
    if (reader->size < SEGMENT_SIZE_MIN || reader->size % BLOCK_SIZE != 0)
        return corrupt(recover, reader->segment, reader->size, "the file ends there", err);
    while (offset < reader->size || offset == 0) {
        struct record record;
        enum record_fault fault;
        enum err_code code = read_record(reader, offset, recover->end.seed, &record, &fault, err);
        if (code)
            return code;
        struct record_place place = recover->end;
        if (!fault && offset == 0)
            place = segment_start(recover, reader->segment, &record);
        if (!fault)
            fault = record_check(&record, &place);
        if (fault) {
            recover->fault = fault;
            recover->fault_segment = reader->segment;
            return ERR_OK;
        }
        recover->end = place;
        code = take_record(recover, &record, reader->size, err);
        if (code)
            return code;
        offset = recover->end.offset;
    }
    return ERR_OK;
}

static void walk_reset(struct recover *recover)
{
    replay_release(&recover->replay);
    recover->segment_count = 0;
    recover->end = (struct record_place){.seed = record_seed(&recover->identity)};
    recover->end_is_seal = false;
    recover->fault = RECORD_FINE;
    recover->fault_segment = 0;
    recover->durable_offset = 0;
    recover->tail_end = 0;
}

static enum err_code walk(struct recover *recover, struct err *err)
{
    walk_reset(recover);
    for (size_t i = 0; i < recover->folder.segment_count && !recover->fault_segment; i++) {
        struct reader reader;
        enum err_code code = open_segment(recover, recover->folder.segments[i], &reader, err);
        if (code)
            return code;
        code = walk_segment(recover, &reader, err);
        reader_close(&reader);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* --- behind the end --- */

struct scan {
    struct recover *recover;
    struct reader reader;
    uint64_t offset;            /* looking from here on */
    bool fresh;                 /* what is not zero was written by this log */
    uint64_t end;               /* behind the last thing written for this segment */
    bool durable;               /* a durable mark stands at durable_offset */
    uint64_t durable_offset;
};

/* A header stands here that names this place: is it a whole record? */
static enum err_code scan_claim(struct scan *scan, uint64_t offset, struct err *err)
{
    struct recover *recover = scan->recover;
    struct record record;
    enum record_fault fault;
    struct bytes header;
    enum err_code code = reader_get(&scan->reader, offset, RECORD_HEADER_SIZE, &header, err);
    if (code)
        return code;
    size_t size = record_claimed_size(header.data);
    uint64_t end = offset + (size ? size : RECORD_HEADER_SIZE);
    end = end < scan->reader.size ? end : scan->reader.size;
    scan->end = end > scan->end ? end : scan->end;
    code = read_record(&scan->reader, offset, recover->end.seed, &record, &fault, err);
    if (code || fault || record.opening < recover->end.opening)
        return code;
    if ((record.type == RECORD_HEAD) != (offset == 0))
        return ERR_OK;
    if (record.opening > recover->opening_max)
        recover->opening_max = record.opening;
    if (record_is_durable_mark(record.type) && !scan->durable) {
        scan->durable = true;
        scan->durable_offset = offset;
    }
    return ERR_OK;
}

/* Whether what stands where the log ends was meant to go on with it, though it is no record: a single
 * bad byte leaves either its segment or its link to the record before it whole. */
static enum err_code scan_first(struct scan *scan, struct err *err)
{
    const struct record_place *end = &scan->recover->end;
    struct bytes header;
    enum err_code code = reader_get(&scan->reader, end->offset, RECORD_HEADER_SIZE, &header, err);
    if (code || header.size < RECORD_HEADER_SIZE ||
        (get_le64(header.data + 8) != end->segment && get_le32(header.data + 20) != end->previous))
        return code;
    size_t size = record_claimed_size(header.data);
    uint64_t stop = end->offset + (size ? size : RECORD_HEADER_SIZE);
    scan->end = stop < scan->reader.size ? stop : scan->reader.size;
    return ERR_OK;
}

/* Looks through one stretch; *ret_claim is the first place of a header that names itself, or the
 * end of what was looked through. */
static bool scan_stretch(struct scan *scan, struct bytes bytes, uint64_t *ret_next)
{
    size_t at = 0;
    for (; at + RECORD_HEADER_SIZE <= bytes.size; at += RECORD_ALIGN) {
        const uint8_t *header = bytes.data + at;
        if (scan->fresh && get_le64(header) != 0 && scan->offset + at + RECORD_ALIGN > scan->end)
            scan->end = scan->offset + at + RECORD_ALIGN;
        if (record_claims_place(header, scan->reader.segment, scan->offset + at)) {
            *ret_next = scan->offset + at;
            return true;
        }
    }
    *ret_next = scan->offset + at;
    return false;
}

/* The last bytes of a segment are too few for a header. */
static void scan_rest(struct scan *scan, struct bytes bytes)
{
    for (size_t i = 0; scan->fresh && i < bytes.size; i++)
        if (bytes.data[i] && scan->offset + i + 1 > scan->end)
            scan->end = scan->offset + i + 1;
}

static enum err_code scan_file(struct scan *scan, struct err *err)
{
    for (;;) {
        struct bytes bytes;
        enum err_code code = reader_get(&scan->reader, scan->offset, SCAN_SIZE, &bytes, err);
        if (code)
            return code;
        if (bytes.size < RECORD_HEADER_SIZE) {
            scan_rest(scan, bytes);
            return ERR_OK;
        }
        uint64_t next;
        bool claim = scan_stretch(scan, bytes, &next);
        if (claim)
            code = scan_claim(scan, next, err);
        if (code)
            return code;
        scan->offset = claim ? next + RECORD_ALIGN : next;
    }
}

static enum err_code scan_segment(struct recover *recover, uint64_t number, struct scan *ret_scan,
                                  struct err *err)
{
    bool is_end = number == recover->end.segment;
    struct scan scan = {
        .recover = recover,
        .offset = is_end ? recover->end.offset : 0,
        .end = is_end ? recover->end.offset : 0,
        .fresh = is_end && recover->segments[recover->segment_count - 1].fresh,
    };
    enum err_code code = open_segment(recover, number, &scan.reader, err);
    if (!code && is_end)
        code = scan_first(&scan, err);
    if (!code)
        code = scan_file(&scan, err);
    reader_close(&scan.reader);
    *ret_scan = scan;
    return code;
}

/* Looks behind the end for proof that what should stand there had been on disk. */
static enum err_code scan_behind(struct recover *recover, struct err *err)
{
    recover->tail_end = recover->end.offset;
    for (size_t i = 0; i < recover->folder.segment_count; i++) {
        uint64_t number = recover->folder.segments[i];
        if (number < recover->end.segment)
            continue;
        struct scan scan;
        enum err_code code = scan_segment(recover, number, &scan, err);
        if (code)
            return code;
        if (scan.durable && !MUTANT(DAMAGE_CUT_OFF)) {
            char why[160];
            snprintf(why, sizeof why, "%s, and a later flush began at offset %" PRIu64
                     " of segment %" PRIu64, record_fault_text(recover->fault),
                     scan.durable_offset, number);
            bool in_end = recover->fault_segment == recover->end.segment;
            return corrupt(recover, recover->fault_segment, in_end ? recover->end.offset : 0, why,
                           err);
        }
        if (number == recover->end.segment)
            recover->tail_end = scan.end;
    }
    return ERR_OK;
}

/* --- what the disk itself holds --- */

static enum err_code read_both(struct recover *recover, uint64_t offset, size_t size,
                               struct buf *cached, struct buf *direct, struct err *err)
{
    struct reader reader;
    enum err_code code = open_segment(recover, recover->end.segment, &reader, err);
    size_t got[2] = {0, 0};
    uint8_t *to[2] = {buf_extend(cached, size), buf_extend(direct, size)};
    if (!code)
        code = disk_read(recover->disk, reader.file, offset, to[0], size, DISK_CACHED, &got[0],
                         err);
    if (!code)
        code = disk_read(recover->disk, reader.file, offset, to[1], size, DISK_DIRECT, &got[1],
                         err);
    reader_close(&reader);
    cached->size = got[0];
    direct->size = got[1];
    return code;
}

/* A flush that failed leaves pages that read as written and are not on disk. Only what follows the
 * last durable mark can be such: there the disk has the word, *ret_differs says whether it had to. */
static enum err_code ask_disk(struct recover *recover, bool *ret_differs, struct err *err)
{
    *ret_differs = false;
    if (recover->end.segment == 0)
        return ERR_OK;
    uint64_t offset = recover->durable_offset / BLOCK_SIZE * BLOCK_SIZE;
    uint64_t end = (recover->tail_end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    struct buf cached = {0}, direct = {0};
    enum err_code code = read_both(recover, offset, (size_t)(end - offset), &cached, &direct, err);
    if (!code && !bytes_equal(buf_bytes(&cached), buf_bytes(&direct))) {
        *ret_differs = true;
        recover->overlay = (struct overlay){recover->end.segment, offset, direct};
        direct = (struct buf){0};
    }
    buf_release(&cached);
    buf_release(&direct);
    return code;
}

static enum err_code recover_unsealed(struct recover *recover, struct err *err)
{
    enum err_code code = walk(recover, err);
    if (!code)
        code = scan_behind(recover, err);
    bool differs = false;
    if (!code)
        code = ask_disk(recover, &differs, err);
    if (code || !differs)
        return code;
    uint64_t segment = recover->end.segment, tail_end = recover->tail_end;
    code = walk(recover, err);
    if (!code)
        code = scan_behind(recover, err);
    if (!code && recover->end.segment == segment && recover->tail_end < tail_end)
        recover->tail_end = tail_end;
    return code;
}

/* --- sealed logs --- */

static enum err_code read_seal(struct recover *recover, struct seal *ret_seal, struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    struct disk_file *file = NULL;
    uint8_t bytes[SEAL_SIZE + 1];
    size_t got = 0;
    folder_path(name, recover->name, "seal");
    enum err_code code = disk_open(recover->disk, name, DISK_READ, 0, &file, NULL, err);
    if (!code)
        code = disk_read(recover->disk, file, 0, bytes, sizeof bytes, DISK_CACHED, &got, err);
    disk_close(recover->disk, file);
    if (code)
        return code;
    if (!seal_decode(bytes_of(bytes, got), record_seed(&recover->identity), ret_seal))
        return err_set(err, ERR_CORRUPT, "\"%s\" is damaged at offset 0: it is not the seal of "
                       "this log", name);
    return ERR_OK;
}

static enum err_code check_rest(struct recover *recover, const struct seal *seal, struct err *err)
{
    struct reader reader;
    enum err_code code = open_segment(recover, seal->end.segment, &reader, err);
    uint32_t crc = 0;
    uint64_t offset = seal->end.offset, touched = 0;
    bool fresh = recover->segments[recover->segment_count - 1].fresh;
    while (!code && offset < reader.size) {
        struct bytes bytes;
        code = reader_get(&reader, offset, SCAN_SIZE, &bytes, err);
        if (code || bytes.size == 0)
            break;
        crc = crc32c(crc, bytes);
        for (size_t i = 0; fresh && !touched && i < bytes.size; i++)
            touched = bytes.data[i] ? offset + i : 0;
        offset += bytes.size;
    }
    reader_close(&reader);
    if (!code && crc != seal->rest)
        return corrupt(recover, seal->end.segment, touched ? touched : seal->end.offset,
                       "the unused space behind the seal was changed", err);
    return code;
}

static bool ends_at(const struct recover *recover, const struct seal *seal)
{
    return recover->end_is_seal && recover->end.segment == seal->end.segment &&
           recover->end.offset == seal->end.offset &&
           recover->end.previous == seal->end.previous &&
           recover->end.opening == seal->end.opening;
}

static enum err_code recover_sealed(struct recover *recover, struct err *err)
{
    struct seal seal;
    enum err_code code = walk(recover, err);
    if (!code)
        code = read_seal(recover, &seal, err);
    if (code)
        return code;
    size_t count = recover->folder.segment_count;
    bool extra = count > 0 && recover->folder.segments[count - 1] > seal.end.segment;
    if (!ends_at(recover, &seal) || extra) {
        char why[160];
        snprintf(why, sizeof why, "%s, and the log was sealed at offset %" PRIu64
                 " of segment %" PRIu64, record_fault_text(recover->fault), seal.end.offset,
                 seal.end.segment);
        bool in_end = recover->fault_segment == recover->end.segment;
        return corrupt(recover, recover->fault_segment ? recover->fault_segment
                                                       : seal.end.segment,
                       in_end ? recover->end.offset : 0, why, err);
    }
    recover->tail_end = recover->end.offset;
    return check_rest(recover, &seal, err);
}

/* --- the whole --- */

static enum err_code check_numbers(const struct recover *recover, struct err *err)
{
    const struct folder *folder = &recover->folder;
    for (size_t i = 1; i < folder->segment_count; i++)
        if (folder->segments[i] != folder->segments[i - 1] + 1) {
            char name[FOLDER_NAME_SIZE];
            return err_set(err, ERR_CORRUPT, "\"%s\" is missing, at offset 0 and on",
                           folder_name(name, recover->name, FOLDER_SEGMENT,
                                       folder->segments[i - 1] + 1));
        }
    return ERR_OK;
}

/* A log whose very first flush never ended: nobody has relied on it. A later one that begins with a
 * bad head has lost its beginning. */
static enum err_code check_start(const struct recover *recover, struct err *err)
{
    const struct folder *folder = &recover->folder;
    if (folder->segment_count == 0 || recover->segment_count > 0)
        return ERR_OK;
    if (folder->segments[0] == 1 && folder->segment_count == 1)
        return ERR_OK;
    return corrupt(recover, folder->segments[0], 0, record_fault_text(recover->fault), err);
}

static enum err_code recover_all(struct recover *recover, struct err *err)
{
    enum err_code code = folder_read(recover->disk, recover->name, &recover->folder, err);
    if (code)
        return code;
    code = check_numbers(recover, err);
    if (code)
        return code;
    if (recover->folder.sealed && recover->folder.segment_count == 0)
        return err_set(err, ERR_CORRUPT, "\"%s\" holds a seal and no segment", recover->name);
    code = recover->folder.sealed ? recover_sealed(recover, err)
                                  : recover_unsealed(recover, err);
    if (!code)
        code = check_start(recover, err);
    const char *why = code ? NULL : replay_end(&recover->replay);
    if (why)
        return corrupt(recover, recover->folder.segments[0], 0, why, err);
    return code;
}

enum err_code recover_read(struct recover *recover, struct disk *disk, const char *name,
                           const struct wal_identity *identity, struct err *err)
{
    *recover = (struct recover){.disk = disk, .name = name, .identity = *identity};
    enum err_code code = recover_all(recover, err);
    if (code)
        recover_release(recover);
    return code;
}

void recover_release(struct recover *recover)
{
    folder_release(&recover->folder);
    replay_release(&recover->replay);
    free(recover->segments);
    buf_release(&recover->overlay.bytes);
    recover->segments = NULL;
    recover->segment_count = 0;
}
