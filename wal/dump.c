#include "wal/dump.h"

#include <inttypes.h>
#include <stdio.h>

#include "wal/recover.h"

#define SCAN_SIZE (256 * 1024)
#define HERE "."                /* the folder, seen from a disk that is rooted in it */

struct dump {
    struct disk *disk;
    struct folder folder;
    struct wal_identity identity;
    uint32_t seed;
    struct record_place place;  /* what the next record must say; segment 0: not known yet */
    void (*on_line)(void *context, const char *line);
    void *context;
    struct buf line;
};

static void say(struct dump *dump)
{
    buf_append_u8(&dump->line, 0);
    dump->on_line(dump->context, (const char *)dump->line.data);
    buf_clear(&dump->line);
}

/* --- finding out whose log it is --- */

static enum err_code read_at(struct reader *reader, uint64_t offset, uint32_t seed,
                             struct record *ret_record, enum record_fault *ret_fault,
                             struct err *err)
{
    struct bytes bytes;
    enum err_code code = reader_get(reader, offset, RECORD_HEADER_SIZE, &bytes, err);
    size_t size = !code && bytes.size == RECORD_HEADER_SIZE ? record_claimed_size(bytes.data) : 0;
    if (size > 0)
        code = reader_get(reader, offset, size, &bytes, err);
    if (!code)
        *ret_fault = record_decode(bytes, seed, ret_record);
    return code;
}

static enum err_code open_number(struct dump *dump, uint64_t number, struct reader *ret_reader,
                                 struct err *err)
{
    char name[FOLDER_NAME_SIZE];
    folder_name(name, HERE, FOLDER_SEGMENT, number);
    return reader_open(ret_reader, dump->disk, name, number, NULL, err);
}

/* The first head that reads tells; without one no checksum but a head's can hold. */
static enum err_code find_identity(struct dump *dump, struct err *err)
{
    for (size_t i = 0; i < dump->folder.segment_count; i++) {
        struct reader reader;
        struct record record;
        struct record_head head;
        enum record_fault fault = RECORD_ABSENT;
        enum err_code code = open_number(dump, dump->folder.segments[i], &reader, err);
        if (!code)
            code = read_at(&reader, 0, 0, &record, &fault, err);
        bool found = !code && !fault && record_get_head(&record, &head);
        reader_close(&reader);
        if (code)
            return code;
        if (found) {
            dump->identity = head.identity;
            dump->seed = record_seed(&head.identity);
            return ERR_OK;
        }
    }
    return ERR_OK;
}

/* --- one record --- */

static void describe_payload(struct buf *line, const struct record *record)
{
    struct record_head head;
    struct hard_state state;
    struct entry entry;
    struct snapshot_mark mark;
    struct bytes rest;
    uint64_t dropped;
    if (record_get_head(record, &head))
        buf_append_format(line, " version=%" PRIu32 " fresh=%d cluster=%" PRIx64
                          " member=%" PRIx64 " generation=%" PRIx64 " segment_size=%" PRIu64,
                          head.version, head.fresh, head.identity.cluster_id,
                          head.identity.member_id, head.identity.generation, head.segment_size);
    else if (record_get_open(record, &dropped))
        buf_append_format(line, " cut=%" PRIu64, dropped);
    else if (record_get_state(record, &state))
        buf_append_format(line, " term=%" PRIu64 " vote=%" PRIx64 " commit=%" PRIu64, state.term,
                          state.vote, state.commit);
    else if (record_get_entry(record, &entry, &rest))
        buf_append_format(line, " term=%" PRIu64 " index=%" PRIu64 " kind=%d size=%zu",
                          entry.term, entry.index, (int)entry.type, rest.size);
    else if (record_get_mark(record, &mark, &rest))
        buf_append_format(line, " term=%" PRIu64 " index=%" PRIu64 " replace=%d size=%zu",
                          mark.term, mark.index, record->kind & RECORD_MARK_REPLACE ? 1 : 0,
                          rest.size);
    else if (record->payload.size > 0)
        buf_append_format(line, " size=%zu", record->payload.size);
}

/* "ok" where the record follows the one printed before, else why not. */
static const char *chain_text(const struct dump *dump, const struct record *record)
{
    if (dump->place.segment == 0)
        return "first";
    enum record_fault fault = record_check(record, &dump->place);
    return fault ? record_fault_text(fault) : "ok";
}

static void print_record(struct dump *dump, const struct record *record)
{
    buf_append_format(&dump->line, "%" PRIu64 " %" PRIu64 " %s opening=%" PRIu32,
                      record->segment, record->offset, record_type_name(record->type),
                      record->opening);
    describe_payload(&dump->line, record);
    buf_append_format(&dump->line, " checksum=%08" PRIx32 " ok, chain: %s", record->checksum,
                      chain_text(dump, record));
    say(dump);
}

/* --- one segment --- */

/* The next place from offset on where a record of this segment stands; the end of the file without
 * one. */
static enum err_code find_record(struct dump *dump, struct reader *reader, uint64_t offset,
                                 uint64_t *ret_offset, struct err *err)
{
    while (offset + RECORD_HEADER_SIZE <= reader->size) {
        struct bytes bytes;
        struct record record;
        enum record_fault fault;
        enum err_code code = reader_get(reader, offset, SCAN_SIZE, &bytes, err);
        if (code)
            return code;
        size_t at = 0;
        while (at + RECORD_HEADER_SIZE <= bytes.size &&
               !record_claims_place(bytes.data + at, reader->segment, offset + at))
            at += RECORD_ALIGN;
        bool claim = at + RECORD_HEADER_SIZE <= bytes.size;
        offset += at;
        if (!claim && at == 0)
            break;
        if (!claim)
            continue;
        code = read_at(reader, offset, dump->seed, &record, &fault, err);
        if (code)
            return code;
        if (!fault) {
            *ret_offset = offset;
            return ERR_OK;
        }
        offset += RECORD_ALIGN;
    }
    *ret_offset = reader->size;
    return ERR_OK;
}

static enum err_code print_gap(struct dump *dump, struct reader *reader, uint64_t offset,
                               enum record_fault fault, uint64_t *ret_next, struct err *err)
{
    uint64_t next;
    enum err_code code = find_record(dump, reader, offset + RECORD_ALIGN, &next, err);
    if (code)
        return code;
    bool unused = next == reader->size &&
                  (fault == RECORD_ABSENT || fault == RECORD_MISPLACED || fault == RECORD_DAMAGED);
    buf_append_format(&dump->line, "%" PRIu64 " %" PRIu64 " %s length=%" PRIu64 " (%s)",
                      reader->segment, offset, unused ? "unused" : "bad", next - offset,
                      record_fault_text(fault));
    say(dump);
    *ret_next = next;
    return ERR_OK;
}

static enum err_code print_segment(struct dump *dump, struct reader *reader, struct err *err)
{
    uint64_t offset = 0;
    while (offset < reader->size) {
        struct record record;
        enum record_fault fault;
        enum err_code code = read_at(reader, offset, dump->seed, &record, &fault, err);
        if (code)
            return code;
        if (!fault && (record.segment != reader->segment || record.offset != offset))
            fault = RECORD_MISPLACED;
        if (dump->place.segment > 0) {
            dump->place.segment = reader->segment;
            dump->place.offset = offset;
        }
        if (fault) {
            code = print_gap(dump, reader, offset, fault, &offset, err);
            if (code)
                return code;
            continue;
        }
        print_record(dump, &record);
        dump->place.segment = record.segment;
        dump->place.seed = dump->seed;
        record_pass(&dump->place, &record);
        offset += record.size;
    }
    return ERR_OK;
}

static enum err_code print_all(struct dump *dump, struct err *err)
{
    enum err_code code = find_identity(dump, err);
    for (size_t i = 0; i < dump->folder.segment_count && !code; i++) {
        struct reader reader;
        code = open_number(dump, dump->folder.segments[i], &reader, err);
        if (!code)
            code = print_segment(dump, &reader, err);
        reader_close(&reader);
    }
    if (!code && dump->folder.sealed) {
        buf_append_format(&dump->line, "sealed");
        say(dump);
    }
    return code;
}

/* The same judgement as an opening's, on whom the log says it is of. */
static enum err_code judge(struct dump *dump, struct err *err)
{
    struct recover recover;
    enum err_code code = recover_read(&recover, dump->disk, HERE, &dump->identity, err);
    if (!code)
        recover_release(&recover);
    return code == ERR_CONFLICT || code == ERR_INVALID ? err_wrap(err, ERR_CORRUPT, "refused")
                                                       : code;
}

enum err_code wal_dump(const char *path, void (*on_line)(void *context, const char *line),
                       void *context, struct err *err)
{
    struct dump dump = {.on_line = on_line, .context = context};
    enum err_code code = disk_posix_new(path, &dump.disk, err);
    if (code)
        return code;
    code = folder_read(dump.disk, HERE, &dump.folder, err);
    if (!code && dump.folder.segment_count == 0)
        code = err_set(err, ERR_NOT_FOUND, "there is no log in \"%s\"", path);
    if (!code)
        code = print_all(&dump, err);
    if (!code)
        code = judge(&dump, err);
    folder_release(&dump.folder);
    buf_release(&dump.line);
    disk_posix_free(dump.disk);
    return code;
}
