/* The form of a MANIFEST, from LevelDB's description of it (doc/log_format.md, db/version_edit.cc):
 *
 *     blocks of 32 KiB, each filled with fragments:
 *         masked crc32c of the rest but the size (4), size (2), kind (1: whole, 2 first, 3 middle, 4 last)
 *         payload
 *     a rest of fewer than 7 bytes is zeros; a record goes on in the next block
 *
 *     a record is an edit, fields in any number:
 *         1 comparator   2, 3, 4, 9 numbers   5 compact pointer: level, key
 *         6 a table goes: level, number       7 a table comes: level, number, size, least and greatest key
 *
 * The first edit holds a whole version, those after it what changed. A table that moves to another level
 * goes and comes in one edit.
 */
#include "mvcc/manifest.h"

#include <stdlib.h>

#include "proto/base/crc32c.h"
#include "proto/base/mem.h"

#define BLOCK_SIZE 32768
#define FRAGMENT_HEAD 7
#define CRC_MASK_DELTA 0xa282ead8u

enum fragment_kind { FRAGMENT_WHOLE = 1, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

enum field {
    FIELD_COMPARATOR = 1,
    FIELD_LOG = 2,
    FIELD_NEXT_FILE = 3,
    FIELD_LAST_SEQUENCE = 4,
    FIELD_COMPACT_POINTER = 5,
    FIELD_TABLE_GOES = 6,
    FIELD_TABLE_COMES = 7,
    FIELD_PREVIOUS_LOG = 9,
};

/* A table at a level; in order of number, then level. */
struct placed {
    uint64_t number, level, size;
};

struct reader {
    struct bytes from;
    size_t at;                          /* the next fragment */
    size_t edits, end;                  /* whole ones, and where the last of them ends */
    struct buf record;                  /* fragments of one that is not whole yet */
    bool in_record;
    struct placed *tables;
    size_t count, capacity, tables_max;
};

static enum err_code damaged(const struct reader *reader, const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the store's MANIFEST is damaged near offset %zu: %s",
                   reader->at, what);
}

/* ---- the tables ---- */

/* Where the table stands, or would. */
static size_t place_of(const struct reader *reader, uint64_t number, uint64_t level, bool *ret_found)
{
    size_t low = 0, high = reader->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct placed *table = &reader->tables[middle];
        if (table->number < number || (table->number == number && table->level < level))
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < reader->count && reader->tables[low].number == number &&
                 reader->tables[low].level == level;
    return low;
}

static enum err_code table_comes(struct reader *reader, struct placed table, struct err *err)
{
    bool found;
    size_t place = place_of(reader, table.number, table.level, &found);
    if (found)
        return damaged(reader, "a table comes twice", err);
    if (reader->count == reader->tables_max)
        return err_set(err, ERR_TOO_BIG, "the store has more than %zu tables", reader->tables_max);
    if (reader->count == reader->capacity) {
        reader->capacity = reader->capacity ? reader->capacity * 2 : 64;
        reader->tables =
            mem_xrealloc(reader->tables, reader->capacity * sizeof(*reader->tables));
    }
    memmove(&reader->tables[place + 1], &reader->tables[place],
            (reader->count - place) * sizeof(*reader->tables));
    reader->tables[place] = table;
    reader->count++;
    return ERR_OK;
}

static enum err_code table_goes(struct reader *reader, uint64_t number, uint64_t level,
                                struct err *err)
{
    bool found;
    size_t place = place_of(reader, number, level, &found);
    if (!found)
        return damaged(reader, "a table goes that is not there", err);
    reader->count--;
    memmove(&reader->tables[place], &reader->tables[place + 1],
            (reader->count - place) * sizeof(*reader->tables));
    return ERR_OK;
}

/* ---- edits ---- */

static void skip_sized(struct cursor *cursor)
{
    uint64_t size = cursor_varint(cursor);
    /* More than there is makes the cursor fail. */
    cursor_take(cursor, size < SIZE_MAX ? (size_t)size : SIZE_MAX);
}

static enum err_code field_read(struct reader *reader, uint64_t field, struct cursor *cursor,
                                struct err *err)
{
    struct placed table;
    switch (field) {
    case FIELD_COMPARATOR:
        skip_sized(cursor);
        return ERR_OK;
    case FIELD_LOG:
    case FIELD_NEXT_FILE:
    case FIELD_LAST_SEQUENCE:
    case FIELD_PREVIOUS_LOG:
        cursor_varint(cursor);
        return ERR_OK;
    case FIELD_COMPACT_POINTER:
        cursor_varint(cursor);
        skip_sized(cursor);
        return ERR_OK;
    case FIELD_TABLE_GOES:
        table.level = cursor_varint(cursor);
        table.number = cursor_varint(cursor);
        return cursor->failed ? ERR_OK : table_goes(reader, table.number, table.level, err);
    case FIELD_TABLE_COMES:
        table.level = cursor_varint(cursor);
        table.number = cursor_varint(cursor);
        table.size = cursor_varint(cursor);
        skip_sized(cursor);
        skip_sized(cursor);
        return cursor->failed ? ERR_OK : table_comes(reader, table, err);
    }
    return damaged(reader, "an unknown field", err);
}

static enum err_code edit_read(struct reader *reader, struct bytes edit, struct err *err)
{
    struct cursor cursor = cursor_of(edit);
    enum err_code code = ERR_OK;
    while (!code && !cursor.failed && cursor.rest.size)
        code = field_read(reader, cursor_varint(&cursor), &cursor, err);
    if (!code && cursor.failed)
        code = damaged(reader, "an edit does not decode", err);
    reader->edits++;
    return code;
}

/* ---- fragments ---- */

static uint32_t unmask(uint32_t masked)
{
    uint32_t rotated = masked - CRC_MASK_DELTA;
    return rotated >> 17 | rotated << 15;
}

static enum err_code fragment_take(struct reader *reader, uint8_t kind, struct bytes payload,
                                   struct err *err)
{
    bool begins = kind == FRAGMENT_WHOLE || kind == FRAGMENT_FIRST;
    if (kind < FRAGMENT_WHOLE || kind > FRAGMENT_LAST || begins == reader->in_record)
        return damaged(reader, "fragments do not follow each other", err);
    reader->in_record = kind == FRAGMENT_FIRST || kind == FRAGMENT_MIDDLE;
    if (begins)
        buf_clear(&reader->record);
    buf_append(&reader->record, payload);
    return reader->in_record ? ERR_OK : edit_read(reader, buf_bytes(&reader->record), err);
}

/* The next fragment. *ret_more is false when what is left is no whole one. */
static enum err_code fragment_read(struct reader *reader, bool *ret_more, struct err *err)
{
    size_t room = BLOCK_SIZE - reader->at % BLOCK_SIZE;
    if (room < FRAGMENT_HEAD) {
        reader->at += room;
        room = BLOCK_SIZE;
    }
    *ret_more = false;
    if (reader->at > reader->from.size || reader->from.size - reader->at < FRAGMENT_HEAD)
        return ERR_OK;
    const uint8_t *head = reader->from.data + reader->at;
    size_t size = (size_t)(head[4] | head[5] << 8);
    if (FRAGMENT_HEAD + size > room)
        return damaged(reader, "a fragment leaves its block", err);
    if (reader->from.size - reader->at < FRAGMENT_HEAD + size)
        return ERR_OK;
    if (crc32c(0, bytes_of(head + 6, 1 + size)) != unmask(get_le32(head)))
        return damaged(reader, "a checksum does not fit", err);
    enum err_code code = fragment_take(reader, head[6], bytes_of(head + FRAGMENT_HEAD, size), err);
    reader->at += FRAGMENT_HEAD + size;
    if (!reader->in_record)
        reader->end = reader->at;
    *ret_more = true;
    return code;
}

/* ---- the whole ---- */

/* A table stands at one level only, once every edit is read. */
static enum err_code tables_give(const struct reader *reader, struct manifest *ret, struct err *err)
{
    for (size_t i = 1; i < reader->count; i++)
        if (reader->tables[i - 1].number == reader->tables[i].number)
            return damaged(reader, "a table stands at two levels", err);
    *ret = (struct manifest){.count = reader->count, .size = reader->end};
    ret->tables = mem_xalloc((reader->count + 1) * sizeof(*ret->tables));
    for (size_t i = 0; i < reader->count; i++)
        ret->tables[i] =
            (struct manifest_table){reader->tables[i].number, reader->tables[i].size};
    return ERR_OK;
}

enum err_code manifest_decode(struct bytes from, size_t tables_max, struct manifest *ret,
                              struct err *err)
{
    struct reader reader = {.from = from, .tables_max = tables_max};
    enum err_code code = ERR_OK;
    bool more = true;
    while (!code && more)
        code = fragment_read(&reader, &more, err);
    if (!code && reader.edits == 0)
        code = damaged(&reader, "it holds no whole edit", err);
    if (!code)
        code = tables_give(&reader, ret, err);
    buf_release(&reader.record);
    free(reader.tables);
    return code;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->tables);
    *manifest = (struct manifest){0};
}
