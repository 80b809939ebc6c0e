/* One log out of two parts: what the log view has (durable), and behind it, or over its end, what
 * is still to be written or being written.
 *
 *      view       1 2 3 4 5 6'7'
 *      unstable             6 7 8 9        offset 6: the next write cuts 6' and 7' off
 *                               ^in_progress 8: 6 and 7 have been handed out
 *
 * An answer "durable up to (term, index)" drops entries here only if the entry here still has that
 * term. That alone does not suffice: entries may be replaced and come back while the first write is
 * under way (A, then B over it, then A again); so answers also carry the member's term, and those
 * of an earlier term are ignored (raft.c). */
#include "cluster/raft/raft_internal.h"
#include "proto/base/varint.h"

uint64_t raft_entry_size(const struct entry *entry)
{
    uint64_t size = 3 + varint_size((uint64_t)entry->type) + varint_size(entry->term) +
                    varint_size(entry->index);
    if (entry->payload)
        size += 1 + varint_size(entry->payload->size) + entry->payload->size;
    return size;
}

uint64_t raft_entries_size(const struct entry *entries, size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += raft_entry_size(&entries[i]);
    return size;
}

uint64_t raft_payloads_size(const struct entry *entries, size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += blob_bytes(entries[i].payload).size;
    return size;
}

static const struct entry *unstable_at(const struct raft_log *log, raft_index index)
{
    return &log->unstable[log->start + (index - log->offset)];
}

/* --- asking ----------------------------------------------------------------------------------- */

raft_index raft_log_first_index(const struct raft_log *log)
{
    return log->has_snapshot ? log->snapshot.mark.index + 1 : log->view->first_index(log->view);
}

raft_index raft_log_last_index(const struct raft_log *log)
{
    if (log->count > 0)
        return log->offset + log->count - 1;
    return log->has_snapshot ? log->snapshot.mark.index : log->view->last_index(log->view);
}

enum err_code raft_log_term(const struct raft_log *log, raft_index index, raft_term *ret_term)
{
    if (index >= log->offset && index - log->offset < log->count) {
        *ret_term = unstable_at(log, index)->term;
        return ERR_OK;
    }
    if (log->has_snapshot && index == log->snapshot.mark.index) {
        *ret_term = log->snapshot.mark.term;
        return ERR_OK;
    }
    if (index < raft_log_first_index(log) - 1)
        return ERR_COMPACTED;
    if (index > raft_log_last_index(log))
        return ERR_FUTURE;
    return log->view->term(log->view, index, ret_term);
}

raft_term raft_log_term_within(const struct raft_log *log, raft_index index)
{
    raft_term term = 0;
    CHECK(raft_log_term(log, index, &term) == ERR_OK);
    return term;
}

struct entry_mark raft_log_last(const struct raft_log *log)
{
    raft_index index = raft_log_last_index(log);
    return (struct entry_mark){raft_log_term_within(log, index), index};
}

bool raft_log_matches(const struct raft_log *log, struct entry_mark mark)
{
    raft_term term = 0;
    return raft_log_term(log, mark.index, &term) == ERR_OK && term == mark.term;
}

/* Paper 5.4.1. */
bool raft_log_is_up_to_date(const struct raft_log *log, struct entry_mark theirs)
{
    struct entry_mark ours = raft_log_last(log);
    return theirs.term > ours.term || (theirs.term == ours.term && theirs.index >= ours.index);
}

struct entry_mark raft_log_find_conflict(const struct raft_log *log, raft_index index,
                                         raft_term term)
{
    for (; index > 0; index--) {
        raft_term ours = 0;
        if (raft_log_term(log, index, &ours) != ERR_OK)
            return (struct entry_mark){0, index};
        if (ours <= term)
            return (struct entry_mark){ours, index};
    }
    return (struct entry_mark){0, 0};
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Entries low .. low+count-1, count at most RAFT_FETCH_MAX and all on one side of the offset. */
static void fetch(const struct raft_log *log, raft_index low, size_t count,
                  struct entry *ret_entries)
{
    if (low < log->offset)
        CHECK(log->view->entries(log->view, low, low + count, ret_entries) == ERR_OK);
    else
        memcpy(ret_entries, unstable_at(log, low), count * sizeof(*ret_entries));
}

static size_t fetch_count(const struct raft_log *log, raft_index low, raft_index high)
{
    if (low < log->offset)
        high = min_u64(high, log->offset);
    return (size_t)min_u64(high - low, RAFT_FETCH_MAX);
}

/* How many of these fit in size_max beside *size, which grows. The first of all always fits. */
static size_t fitting(const struct entry *entries, size_t count, bool first, uint64_t size_max,
                      uint64_t *size)
{
    for (size_t i = 0; i < count; i++) {
        *size += raft_entry_size(&entries[i]);
        if (*size > size_max && !(first && i == 0))
            return i;
    }
    return count;
}

/* How many entries from low on, below high, fit in size_max; at least one. */
static size_t count_fitting(const struct raft_log *log, raft_index low, raft_index high,
                            uint64_t size_max)
{
    struct entry page[RAFT_FETCH_MAX];
    size_t count = 0, some = 0, fit = 0;
    uint64_t size = 0;
    for (; low + count < high && fit == some; count += fit) {
        some = fetch_count(log, low + count, high);
        fetch(log, low + count, some, page);
        fit = fitting(page, some, count == 0, size_max, &size);
    }
    return count;
}

/* Twice over the entries: first to see how many, so that exactly their room is taken. */
const struct entry *raft_log_slice(struct raft *raft, raft_index low, raft_index high,
                                   uint64_t size_max, size_t *ret_count)
{
    const struct raft_log *log = &raft->log;
    CHECK(raft_log_first_index(log) <= low);
    CHECK(low <= high);
    CHECK(high <= raft_log_last_index(log) + 1);
    size_t count = count_fitting(log, low, high, size_max);
    *ret_count = count;
    if (count == 0)
        return NULL;
    struct entry *entries = outbox_take(raft, count * sizeof(*entries));
    for (size_t done = 0, some; done < count; done += some) {
        some = fetch_count(log, low + done, low + count);
        fetch(log, low + done, some, entries + done);
    }
    outbox_hold_entries(raft, entries, count);
    return entries;
}

bool raft_log_has_unapplied_conf_change(struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    struct entry page[RAFT_FETCH_MAX];
    raft_index low = log->applied + 1;
    while (low <= log->committed) {
        size_t some = fetch_count(log, low, log->committed + 1);
        fetch(log, low, some, page);
        for (size_t i = 0; i < some; i++)
            if (page[i].type != ENTRY_NORMAL)
                return true;
        low += some;
    }
    return false;
}

bool raft_log_has_next_unstable(const struct raft_log *log)
{
    return log->in_progress < log->offset + log->count;
}

static raft_index appliable(const struct raft_log *log, bool allow_unstable)
{
    return allow_unstable ? log->committed : min_u64(log->committed, log->offset - 1);
}

/* Nothing is applied past a snapshot that is not installed: what came first would be unclear. */
bool raft_log_has_next_committed(const struct raft_log *log, bool allow_unstable)
{
    return !log->applying_paused && !log->has_snapshot &&
           log->applying < appliable(log, allow_unstable);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void drop_unstable(struct raft_log *log, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        blob_unref(log->unstable[log->start + i].payload);
}

/* Room for more behind what is there; what was dropped in front is used again. */
static void make_room(struct raft *raft, size_t more)
{
    struct raft_log *log = &raft->log;
    if (log->start + log->count + more <= log->capacity)
        return;
    if (log->start > 0) {
        memmove(log->unstable, log->unstable + log->start, log->count * sizeof(*log->unstable));
        log->start = 0;
    }
    /* Half as much again: moving is then rare. */
    log->unstable = raft_grow(raft, log->unstable, &log->capacity,
                              log->count + log->count / 2 + more, sizeof(*log->unstable));
}

/* Takes references. */
void raft_log_append(struct raft *raft, const struct entry *entries, size_t count)
{
    struct raft_log *log = &raft->log;
    raft_index first = entries[0].index;
    CHECK(count > 0);
    CHECK(first > log->committed);
    CHECK(first <= raft_log_last_index(log) + 1);
    make_room(raft, count);
    if (first <= log->offset) {
        drop_unstable(log, 0, log->count);
        log->start = log->count = 0;
        log->offset = log->in_progress = first;
    } else {
        size_t keep = (size_t)(first - log->offset);
        drop_unstable(log, keep, log->count - keep);
        log->count = keep;
        log->in_progress = min_u64(log->in_progress, first);
    }
    for (size_t i = 0; i < count; i++) {
        struct entry *place = &log->unstable[log->start + log->count++];
        *place = entries[i];
        blob_ref(place->payload);
    }
}

/* The place among entries where ours differ or end; count when we have them all. */
static size_t find_difference(const struct raft_log *log, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!raft_log_matches(log, (struct entry_mark){entries[i].term, entries[i].index}))
            return i;
    return count;
}

/* Paper 5.3: entries are cut off only where they conflict; what is already there stays. */
bool raft_log_maybe_append(struct raft *raft, const struct raft_message *message,
                           raft_index *ret_last)
{
    struct raft_log *log = &raft->log;
    bool matches = raft_log_matches(log, (struct entry_mark){message->log_term, message->index});
    if (MUTANT(PREVIOUS_NOT_COMPARED))
        matches = message->index <= raft_log_last_index(log);
    if (!matches)
        return false;
    raft_index last = message->index + message->entry_count;
    size_t place = find_difference(log, message->entries, message->entry_count);
    if (MUTANT(APPEND_CUTS_TAIL))
        place = 0;
    if (MUTANT(CONFLICT_KEPT) && message->index + place < raft_log_last_index(log))
        place = (size_t)min_u64(message->entry_count, raft_log_last_index(log) - message->index);
    if (place < message->entry_count)
        raft_log_append(raft, message->entries + place, message->entry_count - place);
    raft_log_commit_to(log, min_u64(message->commit, last));
    *ret_last = last;
    return true;
}

void raft_log_commit_to(struct raft_log *log, raft_index index)
{
    if (log->committed >= index)
        return;
    CHECK(index <= raft_log_last_index(log));
    log->committed = index;
}

void raft_log_applied_to(struct raft_log *log, raft_index index, uint64_t size)
{
    CHECK(index <= log->committed);
    CHECK(index >= log->applied);
    log->applied = index;
    log->applying = max_u64(log->applying, index);
    log->applying_size -= min_u64(log->applying_size, size);
    log->applying_paused = log->applying_size >= log->applying_size_max;
}

/* Pauses when enough is under way, or when the bound has kept back entries that could go: what was
 * taken last then nearly fills it. */
void raft_log_accept_applying(struct raft_log *log, raft_index index, uint64_t size,
                              bool allow_unstable)
{
    CHECK(index <= log->committed);
    log->applying = index;
    log->applying_size += size;
    log->applying_paused =
        log->applying_size >= log->applying_size_max || index < appliable(log, allow_unstable);
}

void raft_log_accept_unstable(struct raft_log *log)
{
    log->in_progress = log->offset + log->count;
    log->snapshot_in_progress = log->has_snapshot;
}

void raft_log_stable_to(struct raft_log *log, struct entry_mark mark)
{
    if (mark.index < log->offset || mark.index - log->offset >= log->count)
        return; /* dropped meanwhile */
    if (unstable_at(log, mark.index)->term != mark.term && !MUTANT(STALE_APPEND_ANSWER))
        return; /* replaced meanwhile */
    size_t durable = (size_t)(mark.index + 1 - log->offset);
    drop_unstable(log, 0, durable);
    log->count -= durable;
    log->start = log->count ? log->start + durable : 0;
    log->offset = mark.index + 1;
    log->in_progress = max_u64(log->in_progress, log->offset);
}

static void drop_snapshot(struct raft_log *log)
{
    blob_unref(log->snapshot.mark.configuration);
    blob_unref(log->snapshot.data);
    log->snapshot = (struct raft_snapshot){0};
    log->has_snapshot = log->snapshot_in_progress = false;
}

void raft_log_stable_snapshot_to(struct raft_log *log, raft_index index)
{
    if (log->has_snapshot && log->snapshot.mark.index == index)
        drop_snapshot(log);
}

void raft_log_restore(struct raft *raft, const struct raft_snapshot *snapshot)
{
    struct raft_log *log = &raft->log;
    blob_ref(snapshot->mark.configuration);
    blob_ref(snapshot->data);
    drop_snapshot(log);
    drop_unstable(log, 0, log->count);
    log->start = log->count = 0;
    log->offset = log->in_progress = snapshot->mark.index + 1;
    log->snapshot = *snapshot;
    log->has_snapshot = true;
    log->committed = snapshot->mark.index;
}

void raft_log_release(struct raft_log *log, struct mem *mem)
{
    drop_snapshot(log);
    drop_unstable(log, 0, log->count);
    mem_free(mem, log->unstable);
}
