#include "cluster/pending.h"

#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"
#include "proto/kv_pb.h"

static_assert((PENDING_PLACES & (PENDING_PLACES - 1)) == 0, "places are found by a mask");
static_assert(PENDING_PLACES > APPLY_LAG_ENTRIES_MAX, "what a leader lets in has places");

void pending_init(struct pending *pending, const struct raftlog *log)
{
    *pending = (struct pending){.log = log};
}

/* The first two fields of an encoded request; the rest is not decoded. */
bool pending_name(const struct entry *entry, uint64_t *ret_session, uint64_t *ret_number)
{
    uint64_t values[2] = {0, 0};
    if (entry->type != ENTRY_NORMAL || !entry->payload)
        return false;
    struct bytes from = bytes_skip(blob_bytes(entry->payload), ENTRY_STAMP_SIZE);
    for (uint8_t field = 1; field <= 2; field++) {
        if (from.size == 0 || from.data[0] != field << 3)
            continue;
        size_t size = varint_decode(from.data + 1, from.size - 1, &values[field - 1]);
        if (size == 0)
            return false;
        from = bytes_skip(from, 1 + size);
    }
    *ret_session = values[0];
    *ret_number = values[1];
    return *ret_number != 0;
}

static size_t place_of(uint64_t session, uint64_t number)
{
    return (hash_u64(session) ^ number) & (PENDING_PLACES - 1);
}

void pending_note(struct pending *pending, const struct entry *entry)
{
    uint64_t session, number;
    if (pending_name(entry, &session, &number))
        pending->places[place_of(session, number)] = entry->index;
}

bool pending_holds(const struct pending *pending, const struct entry *entry, raft_index applied)
{
    uint64_t session, number, held_session, held_number;
    if (!pending_name(entry, &session, &number))
        return false;
    raft_index index = pending->places[place_of(session, number)];
    return index > applied && index >= raftlog_first(pending->log) &&
           index <= raftlog_last(pending->log) &&
           pending_name(raftlog_get(pending->log, index), &held_session, &held_number) &&
           held_session == session && held_number == number;
}
