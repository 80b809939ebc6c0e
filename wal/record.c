#include "wal/record.h"

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mutant.h"
#include "proto/base/hash.h"

static const uint8_t head_magic[8] = {'c', 'o', 'n', 'c', 'w', 'a', 'l', '\n'};

const char *record_fault_text(enum record_fault fault)
{
    static const char *const texts[] = {
        [RECORD_FINE] = "fine",
        [RECORD_ABSENT] = "nothing was written there",
        [RECORD_CUT] = "the record is cut off",
        [RECORD_DAMAGED] = "the checksum does not hold",
        [RECORD_MISPLACED] = "the record belongs elsewhere",
        [RECORD_UNCHAINED] = "the record does not follow the one before it",
        [RECORD_STALE] = "the record is of an earlier opening",
    };
    return texts[fault];
}

const char *record_type_name(enum record_type type)
{
    static const char *const names[] = {
        [RECORD_HEAD] = "head",   [RECORD_OPEN] = "open", [RECORD_FLUSH] = "flush",
        [RECORD_STATE] = "state", [RECORD_ENTRY] = "entry", [RECORD_MARK] = "mark",
        [RECORD_SEAL] = "seal",   [RECORD_END] = "end",
    };
    return type >= RECORD_HEAD && type <= RECORD_END ? names[type] : "unknown";
}

uint32_t record_seed(const struct wal_identity *identity)
{
    uint8_t bytes[24];
    put_le64(bytes, identity->cluster_id);
    put_le64(bytes + 8, identity->member_id);
    put_le64(bytes + 16, identity->generation);
    return (uint32_t)hash_bytes(0, bytes_of(bytes, sizeof bytes));
}

static uint32_t record_checksum(const uint8_t *record, size_t size, uint32_t seed)
{
    enum record_type type = record[28];
    return crc32c(type == RECORD_HEAD ? 0 : seed, bytes_of(record + 4, size - 4));
}

void record_append(struct buf *to, struct record_place *place, enum record_type type, uint8_t kind,
                   struct bytes first, struct bytes second)
{
    size_t payload_size = first.size + second.size;
    size_t size = record_size_of(payload_size);
    CHECK(size <= RECORD_SIZE_MAX);
    CHECK(place->offset % RECORD_ALIGN == 0 && place->offset <= UINT32_MAX);
    uint8_t *at = buf_extend(to, size);
    put_le32(at + 4, (uint32_t)payload_size);
    put_le64(at + 8, place->segment);
    put_le32(at + 16, (uint32_t)place->offset);
    put_le32(at + 20, place->previous);
    put_le32(at + 24, place->opening);
    at[28] = (uint8_t)type;
    at[29] = kind;
    at[30] = at[31] = 0;
    if (first.size)
        memcpy(at + RECORD_HEADER_SIZE, first.data, first.size);
    if (second.size)
        memcpy(at + RECORD_HEADER_SIZE + first.size, second.data, second.size);
    memset(at + RECORD_HEADER_SIZE + payload_size, 0, size - RECORD_HEADER_SIZE - payload_size);
    place->previous = record_checksum(at, size, place->seed);
    put_le32(at, place->previous);
    place->offset += size;
}

size_t record_claimed_size(const uint8_t *header)
{
    uint32_t payload_size = get_le32(header + 4);
    if (payload_size > RECORD_SIZE_MAX - RECORD_HEADER_SIZE)
        return 0;
    return record_size_of(payload_size);
}

bool record_claims_place(const uint8_t *header, uint64_t segment, uint64_t offset)
{
    return get_le64(header + 8) == segment && get_le32(header + 16) == offset;
}

static bool is_zero(const uint8_t *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (from[i])
            return false;
    return true;
}

enum record_fault record_decode(struct bytes from, uint32_t seed, struct record *ret_record)
{
    const uint8_t *at = from.data;
    if (from.size < RECORD_HEADER_SIZE)
        return RECORD_CUT;
    if (is_zero(at, RECORD_HEADER_SIZE))
        return RECORD_ABSENT;
    size_t size = record_claimed_size(at);
    if (size == 0)
        return RECORD_DAMAGED;
    if (size > from.size)
        return RECORD_CUT;
    uint32_t checksum = record_checksum(at, size, seed), payload_size = get_le32(at + 4);
    if (checksum != get_le32(at) && !MUTANT(TORN_RECORD_TAKEN))
        return RECORD_DAMAGED;
    if (at[28] < RECORD_HEAD || at[28] > RECORD_END || at[30] || at[31] ||
        !is_zero(at + RECORD_HEADER_SIZE + payload_size, size - RECORD_HEADER_SIZE - payload_size))
        return RECORD_DAMAGED;
    *ret_record = (struct record){
        .type = at[28],
        .kind = at[29],
        .segment = get_le64(at + 8),
        .offset = get_le32(at + 16),
        .previous = get_le32(at + 20),
        .opening = get_le32(at + 24),
        .checksum = MUTANT(TORN_RECORD_TAKEN) ? get_le32(at) : checksum,
        .payload = bytes_of(at + RECORD_HEADER_SIZE, payload_size),
        .size = size,
    };
    return RECORD_FINE;
}

enum record_fault record_check(const struct record *record, const struct record_place *place)
{
    if (record->segment != place->segment || record->offset != place->offset)
        return RECORD_MISPLACED;
    if (record->opening < place->opening)
        return RECORD_STALE;
    if (record->previous != place->previous)
        return RECORD_UNCHAINED;
    if (record->opening > place->opening && !record_may_begin_opening(record->type))
        return RECORD_UNCHAINED;
    if ((record->type == RECORD_HEAD) != (place->offset == 0))
        return RECORD_UNCHAINED;
    return RECORD_FINE;
}

void record_pass(struct record_place *place, const struct record *record)
{
    place->offset = record->offset + record->size;
    place->previous = record->checksum;
    place->opening = record->opening;
}

void record_put_head(uint8_t to[RECORD_HEAD_SIZE], const struct record_head *head)
{
    memcpy(to, head_magic, 8);
    put_le32(to + 8, head->version);
    put_le32(to + 12, head->fresh ? 1 : 0);
    put_le64(to + 16, head->segment_size);
    put_le64(to + 24, head->identity.cluster_id);
    put_le64(to + 32, head->identity.member_id);
    put_le64(to + 40, head->identity.generation);
}

bool record_get_head(const struct record *record, struct record_head *ret_head)
{
    const uint8_t *at = record->payload.data;
    if (record->type != RECORD_HEAD || record->payload.size != RECORD_HEAD_SIZE ||
        memcmp(at, head_magic, 8) != 0)
        return false;
    *ret_head = (struct record_head){
        .version = get_le32(at + 8),
        .fresh = get_le32(at + 12) & 1,
        .segment_size = get_le64(at + 16),
        .identity = {get_le64(at + 24), get_le64(at + 32), get_le64(at + 40)},
    };
    return true;
}

void record_put_state(uint8_t to[24], const struct hard_state *state)
{
    put_le64(to, state->term);
    put_le64(to + 8, state->vote);
    put_le64(to + 16, state->commit);
}

bool record_get_state(const struct record *record, struct hard_state *ret_state)
{
    const uint8_t *at = record->payload.data;
    if (record->type != RECORD_STATE || record->payload.size != 24)
        return false;
    *ret_state = (struct hard_state){get_le64(at), get_le64(at + 8), get_le64(at + 16)};
    return true;
}

bool record_get_entry(const struct record *record, struct entry *ret_entry,
                      struct bytes *ret_payload)
{
    const uint8_t *at = record->payload.data;
    if (record->type != RECORD_ENTRY || record->payload.size < 16 ||
        record->kind > ENTRY_CONF_CHANGE_V2)
        return false;
    *ret_entry = (struct entry){get_le64(at), get_le64(at + 8), record->kind, NULL};
    *ret_payload = bytes_skip(record->payload, 16);
    return true;
}

bool record_get_mark(const struct record *record, struct snapshot_mark *ret_mark,
                     struct bytes *ret_configuration)
{
    const uint8_t *at = record->payload.data;
    if (record->type != RECORD_MARK || record->payload.size < 16 || record->kind > 3)
        return false;
    *ret_mark = (struct snapshot_mark){get_le64(at), get_le64(at + 8), NULL};
    *ret_configuration = bytes_skip(record->payload, 16);
    return ret_configuration->size == 0 || (record->kind & RECORD_MARK_CONFIGURATION);
}

bool record_get_open(const struct record *record, uint64_t *ret_dropped)
{
    if (record->type != RECORD_OPEN || record->payload.size != 8)
        return false;
    *ret_dropped = get_le64(record->payload.data);
    return true;
}
