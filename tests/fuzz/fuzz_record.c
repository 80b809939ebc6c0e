/* Records of the log: framing, payloads, and what they add up to. The first byte of an input says
 * whether the rest is taken as it is, or with its checksums put right first, so that what lies behind
 * the checksum is reached. Whatever decodes must encode to the same bytes. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "wal/recover.h"
#include "wal/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wal_identity identity = {0x1111, 0x22, 0x333333};

static void put_right(uint8_t *bytes, size_t size, uint32_t seed)
{
    size_t at = 0;
    while (at + RECORD_HEADER_SIZE <= size) {
        size_t record_size = record_claimed_size(bytes + at);
        if (record_size == 0 || record_size > size - at)
            return;
        put_le32(bytes + at, crc32c(bytes[at + 28] == RECORD_HEAD ? 0 : seed,
                                    bytes_of(bytes + at + 4, record_size - 4)));
        at += record_size;
    }
}

static void check_round_trip(const struct record *record, struct bytes from, uint32_t seed)
{
    struct record_place place = {record->segment, record->offset, record->previous,
                                 record->opening, seed};
    struct buf again = {0};
    if (record->offset % RECORD_ALIGN != 0)
        return;
    record_append(&again, &place, record->type, record->kind, record->payload, BYTES_EMPTY);
    CHECK(bytes_equal(buf_bytes(&again), bytes_of(from.data, record->size)));
    buf_release(&again);
}

static void check_payload(const struct record *record)
{
    struct record_head head;
    struct hard_state state;
    struct entry entry;
    struct snapshot_mark mark;
    struct bytes rest;
    uint64_t dropped;
    int fits = record_get_head(record, &head) + record_get_state(record, &state) +
               record_get_open(record, &dropped);
    if (record_get_entry(record, &entry, &rest)) {
        CHECK(rest.size + 16 == record->payload.size);
        fits++;
    }
    if (record_get_mark(record, &mark, &rest)) {
        CHECK(rest.size + 16 == record->payload.size);
        fits++;
    }
    CHECK(fits <= 1);
}

static void check_replay(const struct replay *replay)
{
    for (size_t i = 0; i < replay->count; i++)
        CHECK(replay->entries[i].index == replay->entries[0].index + i);
    CHECK(replay->count == 0 || replay->entries[replay->count - 1].index == replay->last);
    CHECK(replay->count == 0 || replay->entries[0].index > replay->mark.index);
}

static void walk(struct bytes bytes, uint32_t seed)
{
    struct replay replay = {0};
    struct record_place place = {.segment = 1, .opening = 1, .seed = seed};
    struct record record;
    while (record_decode(bytes, seed, &record) == RECORD_FINE) {
        check_round_trip(&record, bytes, seed);
        check_payload(&record);
        if (record_check(&record, &place) == RECORD_FINE)
            record_pass(&place, &record);
        if (replay_record(&replay, &record))
            break;
        check_replay(&replay);
        bytes = bytes_skip(bytes, record.size);
    }
    (void)!replay_end(&replay);
    replay_release(&replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed = record_seed(&identity);
    struct seal seal;
    if (size == 0)
        return 0;
    struct buf copy = {0};
    buf_append(&copy, bytes_of(data + 1, size - 1));
    if (data[0] & 1)
        put_right(copy.data, copy.size, seed);
    walk(buf_bytes(&copy), seed);
    if (seal_decode(buf_bytes(&copy), seed, &seal)) {
        uint8_t again[SEAL_SIZE];
        seal_encode(again, &seal);
        CHECK(bytes_equal(bytes_of(again, SEAL_SIZE), buf_bytes(&copy)));
    }
    buf_release(&copy);
    return 0;
}
