#include "cluster/raftlog.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"

static size_t payload_size(const struct entry *entry)
{
    return entry->payload ? entry->payload->size : 0;
}

static struct entry *slot(const struct raftlog *log, raft_index index)
{
    size_t place = (size_t)(index - log->before_index - 1);
    return &log->entries[(log->start + place) & (log->capacity - 1)];
}

raft_index raftlog_first(const struct raftlog *log) { return log->before_index + 1; }
raft_index raftlog_last(const struct raftlog *log) { return log->before_index + log->count; }

const struct entry *raftlog_get(const struct raftlog *log, raft_index index)
{
    CHECK(index > log->before_index && index <= raftlog_last(log));
    return slot(log, index);
}

raft_term raftlog_term(const struct raftlog *log, raft_index index)
{
    if (index == log->before_index)
        return log->before_term;
    if (index < log->before_index || index > raftlog_last(log))
        return 0;
    return slot(log, index)->term;
}

static void view_initial_state(struct raft_log_view *view, struct hard_state *ret_hard,
                               struct raft_conf_state *ret_configuration)
{
    struct raftlog *log = container_of(view, struct raftlog, view);
    *ret_hard = log->hard_state;
    *ret_configuration = log->configuration;
}

static raft_index view_first(struct raft_log_view *view)
{
    return raftlog_first(container_of(view, struct raftlog, view));
}

static raft_index view_last(struct raft_log_view *view)
{
    return raftlog_last(container_of(view, struct raftlog, view));
}

static enum err_code view_term(struct raft_log_view *view, raft_index index, raft_term *ret_term)
{
    struct raftlog *log = container_of(view, struct raftlog, view);
    if (index < log->before_index)
        return ERR_COMPACTED;
    if (index > raftlog_last(log))
        return ERR_FUTURE;
    *ret_term = raftlog_term(log, index);
    return ERR_OK;
}

static enum err_code view_entries(struct raft_log_view *view, raft_index low, raft_index high,
                                  struct entry *ret_entries)
{
    struct raftlog *log = container_of(view, struct raftlog, view);
    if (low <= log->before_index)
        return ERR_COMPACTED;
    if (high > raftlog_last(log) + 1)
        return ERR_FUTURE;
    for (raft_index index = low; index < high; index++)
        ret_entries[index - low] = *slot(log, index);
    return ERR_OK;
}

static enum err_code view_snapshot(struct raft_log_view *view, struct raft_snapshot *ret_snapshot)
{
    struct raftlog *log = container_of(view, struct raftlog, view);
    return log->snapshot ? log->snapshot(log, ret_snapshot) : ERR_BUSY;
}

void raftlog_init(struct raftlog *log, raft_index before_index, raft_term before_term,
                  const struct hard_state *hard_state, const struct raft_conf_state *configuration)
{
    *log = (struct raftlog){
        .view = {view_initial_state, view_first, view_last, view_term, view_entries, view_snapshot},
        .before_index = before_index,
        .before_term = before_term,
        .hard_state = *hard_state,
        .configuration = *configuration,
        .keep_entries = RAFTLOG_KEEP_ENTRIES,
    };
}

static void drop_back(struct raftlog *log)
{
    struct entry *entry = slot(log, raftlog_last(log));
    log->bytes -= payload_size(entry);
    blob_unref(entry->payload);
    log->count--;
}

static void drop_front(struct raftlog *log)
{
    struct entry *entry = slot(log, raftlog_first(log));
    log->before_index = entry->index;
    log->before_term = entry->term;
    log->bytes -= payload_size(entry);
    blob_unref(entry->payload);
    log->start = (log->start + 1) & (log->capacity - 1);
    log->count--;
}

void raftlog_release(struct raftlog *log)
{
    while (log->count)
        drop_back(log);
    free(log->entries);
    *log = (struct raftlog){0};
}

static void grow(struct raftlog *log)
{
    size_t capacity = log->capacity ? 2 * log->capacity : 256;
    struct entry *entries = mem_xalloc(capacity * sizeof *entries);
    for (size_t i = 0; i < log->count; i++)
        entries[i] = log->entries[(log->start + i) & (log->capacity - 1)];
    free(log->entries);
    log->entries = entries;
    log->capacity = capacity;
    log->start = 0;
}

void raftlog_append(struct raftlog *log, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        CHECK(entry->index > log->before_index && entry->index <= raftlog_last(log) + 1);
        while (raftlog_last(log) >= entry->index)
            drop_back(log);
        CHECK(entry->term >= raftlog_term(log, raftlog_last(log)));
        if (log->count == log->capacity)
            grow(log);
        log->count++;
        struct entry *place = slot(log, entry->index);
        *place = *entry;
        blob_ref(place->payload);
        log->bytes += payload_size(entry);
    }
}

void raftlog_reset(struct raftlog *log, raft_index before_index, raft_term before_term)
{
    while (log->count)
        drop_back(log);
    log->before_index = before_index;
    log->before_term = before_term;
    log->hold_above = 0;
}

raft_index raftlog_spare(const struct raftlog *log, const struct raft_status *status, raft_index index)
{
    for (size_t i = 0; i < status->progress_count && log->bytes <= RAFTLOG_HOLD_BYTES; i++) {
        const struct raft_progress_status *progress = &status->progress[i];
        if (progress->state == RAFT_REPLICATE && progress->recent_active && progress->match < index)
            index = progress->match;
    }
    return index;
}

void raftlog_compact(struct raftlog *log, raft_index index)
{
    CHECK(index <= raftlog_last(log) || index <= log->before_index);
    if (log->hold_above && log->bytes <= RAFTLOG_HOLD_BYTES && index > log->hold_above)
        index = log->hold_above;
    size_t kept_bytes = 0;
    raft_index first_kept = index + 1;
    while (first_kept > raftlog_first(log) && index + 1 - first_kept < log->keep_entries) {
        kept_bytes += payload_size(slot(log, first_kept - 1));
        if (kept_bytes > RAFTLOG_KEEP_BYTES)
            break;
        first_kept--;
    }
    while (log->count && raftlog_first(log) < first_kept)
        drop_front(log);
}
