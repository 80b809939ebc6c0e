/* Framing of the log: how one record lies in a segment, and what makes it stand or fall. Pure: bytes
 * in, facts out; knows no file. wal/FORMAT is the same in words, with an example.
 *
 * A record is a header of RECORD_HEADER_SIZE bytes, a payload, and zeros up to a multiple of 8:
 *
 *      0  4  checksum   CRC-32C of all that follows, padding included, begun with the log's seed
 *      4  4  size       of the payload
 *      8  8  segment    the number of the segment it was written for
 *     16  4  offset     in that segment
 *     20  4  previous   the checksum field of the record before it
 *     24  4  opening    the number of the opening that wrote it
 *     28  1  type
 *     29  1  kind       a detail of the type
 *     30  2  zero
 *
 * Invariants:
 *  - record_decode never reads outside what it is given, and never believes a size before the
 *    checksum holds.
 *  - A record that decodes is not yet part of the log: record_check says whether it is the next one.
 */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include <stdbool.h>

#include "proto/base/entry.h"
#include "proto/base/limits.h"
#include "wal/wal.h"

#define RECORD_HEADER_SIZE 32
#define RECORD_ALIGN 8
/* What one entry's record may take: below RECORD_SIZE_MAX by what an END record may take more. */
#define RECORD_ENTRY_SIZE_MAX (RECORD_SIZE_MAX - 2 * RECORD_HEADER_SIZE)

enum record_type {
    RECORD_HEAD = 1,    /* the first of every segment: struct record_head; seed 0 */
    RECORD_OPEN = 2,    /* the log was opened: le64 bytes cut from the tail */
    RECORD_FLUSH = 3,   /* a flush begins: empty */
    RECORD_STATE = 4,   /* le64 term, vote, commit */
    RECORD_ENTRY = 5,   /* le64 term, index, then the payload; kind: enum entry_type */
    RECORD_MARK = 6,    /* le64 index, term, then the configuration; kind: enum record_mark_kind */
    RECORD_SEAL = 7,    /* a clean stop: empty */
    RECORD_END = 8,     /* the segment ends: zeros up to its size */
};

enum record_mark_kind {
    RECORD_MARK_REPLACE = 1,        /* bits: no entry from before stands */
    RECORD_MARK_CONFIGURATION = 2,  /* a configuration follows, maybe an empty one */
};

/* True of the records that say by standing there that all before them is on disk: each write begins
 * with one of them, and is begun after the write before it was durable. */
static inline bool record_is_durable_mark(enum record_type type)
{
    return type == RECORD_HEAD || type == RECORD_FLUSH;
}

/* True of those that an opening may write first: one of the above, or the END of a segment that has no room
 * for a FLUSH. */
static inline bool record_may_begin_opening(enum record_type type)
{
    return record_is_durable_mark(type) || type == RECORD_END;
}

/* The payload of a HEAD. */
#define RECORD_HEAD_SIZE 48
#define RECORD_VERSION 1
struct record_head {
    uint32_t version;
    bool fresh;                 /* the segment was zeros beneath, not a recycled one */
    uint64_t segment_size;
    struct wal_identity identity;
};

/* Where the next record goes, and what it must say. */
struct record_place {
    uint64_t segment;
    uint64_t offset;
    uint32_t previous;
    uint32_t opening;
    uint32_t seed;              /* of the checksums of all but HEADs */
};

struct record {
    enum record_type type;
    uint8_t kind;
    uint64_t segment, offset;
    uint32_t previous, opening, checksum;
    struct bytes payload;       /* inside what was decoded */
    size_t size;                /* header, payload and padding */
};

enum record_fault {
    RECORD_FINE = 0,
    RECORD_ABSENT,      /* zeros stand there */
    RECORD_CUT,         /* what is given ends first */
    RECORD_DAMAGED,     /* the checksum or a fixed field does not hold */
    RECORD_MISPLACED,   /* it is of another segment or offset: stale, or written to a wrong place */
    RECORD_UNCHAINED,   /* it does not follow the record before it */
    RECORD_STALE,       /* it is of an earlier opening */
};

const char *record_fault_text(enum record_fault fault);
const char *record_type_name(enum record_type type);

/* The seed of a log's checksums: records of another log, and bytes that a user stores who does not
 * know the generation, never check. */
uint32_t record_seed(const struct wal_identity *identity);

static inline size_t record_size_of(size_t payload_size)
{
    return RECORD_HEADER_SIZE + (payload_size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* Appends a record with the payload first|second to `to`, and moves the place behind it. */
void record_append(struct buf *to, struct record_place *place, enum record_type type, uint8_t kind,
                   struct bytes first, struct bytes second);

/* Whole size of the record whose header these RECORD_HEADER_SIZE bytes are, as it says itself; 0 when
 * the size is above RECORD_SIZE_MAX. For a reader that must know how much to fetch. */
size_t record_claimed_size(const uint8_t *header);
/* Whether the header claims to have been written for this place. A cheap first look. */
bool record_claims_place(const uint8_t *header, uint64_t segment, uint64_t offset);

/* Decodes the record that from begins with. ABSENT, CUT, DAMAGED. */
enum record_fault record_decode(struct bytes from, uint32_t seed, struct record *ret_record);
/* Whether the record is the one the place calls for. MISPLACED, UNCHAINED, STALE. */
enum record_fault record_check(const struct record *record, const struct record_place *place);
/* Moves the place behind the record. */
void record_pass(struct record_place *place, const struct record *record);

/* Payloads. The decoders answer false when the payload is not one of that type. */
void record_put_head(uint8_t to[RECORD_HEAD_SIZE], const struct record_head *head);
bool record_get_head(const struct record *record, struct record_head *ret_head);
void record_put_state(uint8_t to[24], const struct hard_state *state);
bool record_get_state(const struct record *record, struct hard_state *ret_state);
/* The entry's payload is borrowed bytes, not a blob: ret_entry->payload stays NULL. */
bool record_get_entry(const struct record *record, struct entry *ret_entry,
                      struct bytes *ret_payload);
bool record_get_mark(const struct record *record, struct snapshot_mark *ret_mark,
                     struct bytes *ret_configuration);
bool record_get_open(const struct record *record, uint64_t *ret_dropped);

#endif
