/* Appending: records are framed into the active batch, in memory, exactly as they will stand on
 * disk. A record that does not fit the rest of its segment ends it (END, zeros to the last byte) and
 * begins the next one (HEAD, then state and mark again, so that what lies before can go).
 *
 *     | HEAD OPEN | FLUSH STATE ENTRY ENTRY | FLUSH ENTRY | FLUSH MARK END 0000 |
 *     '- a flush -'------- a flush ---------'-- a flush --'- a part of a flush -'
 */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

static struct batch *active_batch(struct wal *wal)
{
    return &wal->batches[wal->active];
}

enum err_code wal_say_dead(struct err *err)
{
    return err_set(err, ERR_IO, "the log failed before and takes nothing any more");
}

enum err_code wal_die(struct wal *wal, struct err *err)
{
    wal->dead = true;
    if (err) {
        err->code = ERR_IO;
        TRACE(wal->trace, "wal dead: %s", err->text);
    }
    return ERR_IO;
}

/* --- growing arrays --- */

void wal_push_segment(struct wal *wal, struct segment segment)
{
    if (wal->segment_count == wal->segment_capacity) {
        wal->segment_capacity = wal->segment_capacity ? wal->segment_capacity * 2 : 8;
        wal->segments = mem_xrealloc(wal->segments,
                                     wal->segment_capacity * sizeof *wal->segments);
    }
    wal->segments[wal->segment_count++] = segment;
}

void wal_push_spare(struct wal *wal, struct spare spare)
{
    if (wal->spare_count == wal->spare_capacity) {
        wal->spare_capacity = wal->spare_capacity ? wal->spare_capacity * 2 : 4;
        wal->spares = mem_xrealloc(wal->spares, wal->spare_capacity * sizeof *wal->spares);
    }
    wal->spares[wal->spare_count++] = spare;
}

static struct spare take_spare(struct wal *wal)
{
    CHECK(wal->spare_count > 0);
    struct spare spare = wal->spares[0];
    wal->spare_count--;
    memmove(wal->spares, wal->spares + 1, wal->spare_count * sizeof *wal->spares);
    return spare;
}

static void push_piece(struct wal *wal, struct piece piece)
{
    struct batch *batch = active_batch(wal);
    if (batch->piece_count == batch->piece_capacity) {
        batch->piece_capacity = batch->piece_capacity ? batch->piece_capacity * 2 : 4;
        batch->pieces = mem_xrealloc(batch->pieces,
                                     batch->piece_capacity * sizeof *batch->pieces);
    }
    batch->pieces[batch->piece_count++] = piece;
}

/* --- terms --- */

raft_term wal_term_of(const struct wal *wal, raft_index index)
{
    if (index == wal->mark.index)
        return wal->mark.term;
    if (index < wal->mark.index || index > wal->last_index)
        return 0;
    for (size_t i = wal->run_count; i > 0; i--)
        if (wal->runs[i - 1].index <= index)
            return wal->runs[i - 1].term;
    return 0;
}

/* An entry of this index is the last one now. */
void wal_push_term(struct wal *wal, raft_index index, raft_term term)
{
    while (wal->run_count > 0 && wal->runs[wal->run_count - 1].index >= index)
        wal->run_count--;
    wal->last_index = index;
    if (wal->run_count > 0 && wal->runs[wal->run_count - 1].term == term)
        return;
    if (wal->run_count == wal->run_capacity) {
        wal->run_capacity = wal->run_capacity ? wal->run_capacity * 2 : 8;
        wal->runs = mem_xrealloc(wal->runs, wal->run_capacity * sizeof *wal->runs);
    }
    wal->runs[wal->run_count++] = (struct term_run){index, term};
}

/* Runs wholly at or below the index are not asked for again. */
static void forget_terms(struct wal *wal, raft_index index)
{
    size_t gone = 0;
    while (gone + 1 < wal->run_count && wal->runs[gone + 1].index <= index + 1)
        gone++;
    if (gone == 0)
        return;
    wal->run_count -= gone;
    memmove(wal->runs, wal->runs + gone, wal->run_count * sizeof *wal->runs);
}

/* --- framing --- */

/* After any record an END still fits, or the segment is full to the last byte. */
static bool fits(uint64_t offset, size_t size, uint64_t limit)
{
    return offset + size + RECORD_HEADER_SIZE <= limit;
}

static size_t mark_payload_size(const struct snapshot_mark *mark)
{
    return 16 + blob_bytes(mark->configuration).size;
}

/* What a segment begins with. */
static size_t heading_size(const struct wal *wal)
{
    size_t size = record_size_of(RECORD_HEAD_SIZE);
    if (!hard_state_is_empty(&wal->state))
        size += record_size_of(24);
    if (wal->mark.index > 0)
        size += record_size_of(mark_payload_size(&wal->mark));
    return size;
}

static void emit(struct wal *wal, enum record_type type, uint8_t kind, struct bytes first,
                 struct bytes second)
{
    struct batch *batch = active_batch(wal);
    size_t before = batch->bytes.size;
    CHECK(batch->piece_count > 0);
    record_append(&batch->bytes, &wal->place, type, kind, first, second);
    batch->pieces[batch->piece_count - 1].size += batch->bytes.size - before;
    CHECK(wal->place.offset <= wal->limit);
}

static void emit_mark(struct wal *wal, const struct snapshot_mark *mark, uint8_t kind)
{
    uint8_t fixed[16];
    put_le64(fixed, mark->index);
    put_le64(fixed + 8, mark->term);
    if (mark->configuration)
        kind |= RECORD_MARK_CONFIGURATION;
    emit(wal, RECORD_MARK, kind, bytes_of(fixed, 16), blob_bytes(mark->configuration));
}

static void emit_end(struct wal *wal)
{
    uint64_t rest = wal->limit - wal->place.offset;
    if (rest == 0)
        return;
    size_t zero_size = (size_t)rest - RECORD_HEADER_SIZE;
    void *zeros = zero_size ? mem_xzalloc(zero_size) : NULL;
    emit(wal, RECORD_END, 0, bytes_of(zeros, zero_size), BYTES_EMPTY);
    free(zeros);
}

static void emit_heading(struct wal *wal, bool fresh)
{
    uint8_t head[RECORD_HEAD_SIZE], state[24];
    record_put_head(head, &(struct record_head){RECORD_VERSION, fresh, wal->limit, wal->identity});
    emit(wal, RECORD_HEAD, 0, bytes_of(head, sizeof head), BYTES_EMPTY);
    if (!hard_state_is_empty(&wal->state)) {
        record_put_state(state, &wal->state);
        emit(wal, RECORD_STATE, 0, bytes_of(state, sizeof state), BYTES_EMPTY);
    }
    if (wal->mark.index > 0)
        emit_mark(wal, &wal->mark, 0);
}

static void cut(struct wal *wal)
{
    struct batch *batch = active_batch(wal);
    struct spare spare = take_spare(wal);
    emit_end(wal);
    wal->place.segment++;
    wal->place.offset = 0;
    wal->limit = wal->segment_size;
    push_piece(wal, (struct piece){.segment = wal->place.segment, .start = batch->bytes.size,
                                   .begins_segment = true, .spare = spare});
    wal_push_segment(wal, (struct segment){wal->place.segment, wal->limit, 0, spare.fresh});
    emit_heading(wal, spare.fresh);
    TRACE(wal->trace, "wal cut segment=%" PRIu64 " fresh=%d", wal->place.segment, spare.fresh);
}

void wal_frame(struct wal *wal, enum record_type type, uint8_t kind, struct bytes first,
               struct bytes second)
{
    struct batch *batch = active_batch(wal);
    size_t size = record_size_of(first.size + second.size);
    if (batch->piece_count == 0) {
        push_piece(wal, (struct piece){.segment = wal->place.segment,
                                       .offset = wal->place.offset});
        if (fits(wal->place.offset, RECORD_HEADER_SIZE, wal->limit))
            emit(wal, RECORD_FLUSH, 0, BYTES_EMPTY, BYTES_EMPTY);
    }
    if (!fits(wal->place.offset, size, wal->limit))
        cut(wal);
    emit(wal, type, kind, first, second);
}

/* How many cuts framing these records takes: the same steps as wal_frame, on numbers only. */
static size_t count_cuts(const struct wal *wal, const size_t *sizes, size_t count)
{
    uint64_t offset = wal->place.offset, limit = wal->limit;
    size_t cuts = 0;
    if (wal->batches[wal->active].piece_count == 0 && fits(offset, RECORD_HEADER_SIZE, limit))
        offset += RECORD_HEADER_SIZE;
    for (size_t i = 0; i < count; i++) {
        if (!fits(offset, sizes[i], limit)) {
            cuts++;
            limit = wal->segment_size;
            offset = heading_size(wal) + record_size_of(24);
        }
        offset += sizes[i];
    }
    return cuts;
}

static enum err_code make_spare_here(struct wal *wal, struct err *err)
{
    struct spare spare = {wal->spare_next++, true};
    enum err_code code = folder_make_spare(wal->disk, wal->folder, spare.number,
                                           wal->segment_size, NULL, err);
    if (code == ERR_NO_SPACE)
        return code;
    if (code)
        return wal_die(wal, err);
    wal->stats.inline_count++;
    wal_push_spare(wal, spare);
    return ERR_OK;
}

enum err_code wal_reserve(struct wal *wal, const size_t *sizes, size_t count, size_t held_back,
                          struct err *err)
{
    if (wal->dead)
        return wal_say_dead(err);
    size_t heading = heading_size(wal) + record_size_of(24);
    for (size_t i = 0; i < count; i++)
        if (sizes[i] > RECORD_ENTRY_SIZE_MAX || !fits(heading, sizes[i], wal->segment_size))
            return err_set(err, ERR_TOO_BIG, "a record of %zu bytes does not fit the log",
                           sizes[i]);
    size_t cuts = count_cuts(wal, sizes, count);
    while (cuts > 0 && wal->spare_count < cuts + held_back) {
        enum err_code code = make_spare_here(wal, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* --- what callers append --- */

static void append_entry(struct wal *wal, const struct entry *entry)
{
    uint8_t fixed[16];
    put_le64(fixed, entry->term);
    put_le64(fixed + 8, entry->index);
    wal_frame(wal, RECORD_ENTRY, (uint8_t)entry->type, bytes_of(fixed, 16),
              blob_bytes(entry->payload));
    wal_push_term(wal, entry->index, entry->term);
    struct segment *segment = &wal->segments[wal->segment_count - 1];
    if (entry->index > segment->last_index)
        segment->last_index = entry->index;
}

static void append_state(struct wal *wal, const struct hard_state *state)
{
    uint8_t fixed[24];
    record_put_state(fixed, state);
    wal_frame(wal, RECORD_STATE, 0, bytes_of(fixed, sizeof fixed), BYTES_EMPTY);
    wal->state = *state;
}

static void check_entries(const struct wal *wal, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(entries[i].index == entries[0].index + i);
        CHECK(entries[i].term > 0);
        CHECK(entries[i].type <= ENTRY_CONF_CHANGE_V2);
    }
    CHECK(count == 0 || entries[0].index > wal->mark.index);
    CHECK(count == 0 || entries[0].index <= wal->last_index + 1);
}

enum err_code wal_append(struct wal *wal, const struct hard_state *state,
                         const struct entry *entries, size_t count, struct err *err)
{
    check_entries(wal, entries, count);
    size_t *sizes = mem_xalloc((count + 1) * sizeof *sizes), used = 0;
    for (size_t i = 0; i < count; i++)
        sizes[used++] = record_size_of(16 + blob_bytes(entries[i].payload).size);
    if (state)
        sizes[used++] = record_size_of(24);
    enum err_code code = wal_reserve(wal, sizes, used, count > 0 ? 1 : 0, err);
    free(sizes);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++)
        append_entry(wal, &entries[i]);
    if (state)
        append_state(wal, state);
    return ERR_OK;
}

/* Every entry from before the mark is gone. */
static void replace_all(struct wal *wal, const struct snapshot_mark *mark)
{
    wal->run_count = 0;
    wal->last_index = mark->index;
    for (size_t i = 0; i < wal->segment_count; i++)
        if (wal->segments[i].last_index > mark->index)
            wal->segments[i].last_index = mark->index;
}

enum err_code wal_mark(struct wal *wal, const struct snapshot_mark *mark, struct err *err)
{
    CHECK(mark->index > 0 && mark->index >= wal->mark.index);
    struct bytes configuration = blob_bytes(mark->configuration);
    size_t size = record_size_of(16 + configuration.size);
    if (size > wal->segment_size / 8)
        return err_set(err, ERR_TOO_BIG, "a configuration of %zu bytes does not fit the log",
                       configuration.size);
    enum err_code code = wal_reserve(wal, &size, 1, 0, err);
    if (code)
        return code;
    bool keep = wal_term_of(wal, mark->index) == mark->term;
    uint8_t kind = (keep ? 0 : RECORD_MARK_REPLACE) |
                   (mark->configuration ? RECORD_MARK_CONFIGURATION : 0);
    uint8_t fixed[16];
    put_le64(fixed, mark->index);
    put_le64(fixed + 8, mark->term);
    wal_frame(wal, RECORD_MARK, kind, bytes_of(fixed, 16), configuration);
    if (!keep)
        replace_all(wal, mark);
    struct blob *copy = mark->configuration ? blob_copy(configuration) : NULL;
    blob_unref(wal->mark.configuration);
    wal->mark = (struct snapshot_mark){mark->index, mark->term, copy};
    forget_terms(wal, mark->index);
    active_batch(wal)->mark_index = mark->index;
    if (keep && MUTANT(RELEASE_BEFORE_MARK))
        wal->durable_mark = mark->index;
    return ERR_OK;
}

uint64_t wal_pending_bytes(const struct wal *wal)
{
    return wal->batches[wal->active].bytes.size;
}

/* --- looking --- */

bool wal_is_dead(const struct wal *wal) { return wal->dead; }

void wal_get_stats(const struct wal *wal, struct wal_stats *ret_stats)
{
    struct wal_stats stats = wal->stats;
    for (size_t i = 0; i < wal->segment_count; i++)
        stats.bytes_in_use += wal->segments[i].size;
    stats.bytes_in_use += wal->spare_count * wal->segment_size;
    stats.segment_first = wal->segment_count ? wal->segments[0].number : 0;
    stats.segment_last = wal->place.segment;
    stats.segment_count = wal->segment_count;
    stats.spare_count = wal->spare_count;
    stats.mark_index = wal->durable_mark;
    stats.last_index = wal->last_index;
    stats.dead = wal->dead;
    *ret_stats = stats;
}
