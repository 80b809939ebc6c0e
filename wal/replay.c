#include "wal/replay.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

static void drop_from(struct replay *replay, size_t keep)
{
    for (size_t i = keep; i < replay->count; i++)
        blob_unref(replay->entries[i].payload);
    replay->count = keep;
}

static void drop_front(struct replay *replay, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_unref(replay->entries[i].payload);
    replay->count -= count;
    memmove(replay->entries, replay->entries + count, replay->count * sizeof *replay->entries);
}

void replay_release(struct replay *replay)
{
    drop_from(replay, 0);
    free(replay->entries);
    blob_unref(replay->mark.configuration);
    *replay = (struct replay){0};
}

static void push(struct replay *replay, const struct entry *entry, struct bytes payload)
{
    if (replay->count == replay->capacity) {
        replay->capacity = replay->capacity ? replay->capacity * 2 : 64;
        replay->entries = mem_xrealloc(replay->entries,
                                       replay->capacity * sizeof *replay->entries);
    }
    struct entry *to = &replay->entries[replay->count++];
    *to = *entry;
    to->payload = payload.size ? blob_copy(payload) : NULL;
    replay->last = entry->index;
    replay->seen_entry = true;
}

static const char *on_entry(struct replay *replay, const struct record *record)
{
    struct entry entry;
    struct bytes payload;
    if (!record_get_entry(record, &entry, &payload))
        return "the entry is malformed";
    if (entry.index == 0 || entry.term == 0)
        return "the entry has no index or no term";
    if (entry.index <= replay->mark.index)
        return "the entry lies below the mark";
    if (entry.index > replay->last + 1 && replay->seen_entry)
        return "entries are missing before this one";
    if (MUTANT(TAIL_NOT_CUT) && replay->count > 0 && entry.index <= replay->last)
        return NULL;
    if (replay->count > 0) {
        raft_index first = replay->entries[0].index;
        drop_from(replay, entry.index <= first ? 0 : (size_t)(entry.index - first));
    }
    push(replay, &entry, payload);
    return NULL;
}

static const char *on_mark(struct replay *replay, const struct record *record)
{
    struct snapshot_mark mark;
    struct bytes configuration;
    if (!record_get_mark(record, &mark, &configuration))
        return "the mark is malformed";
    if (mark.index < replay->mark.index)
        return "the mark goes back";
    if (record->kind & RECORD_MARK_REPLACE) {
        drop_from(replay, 0);
        replay->last = mark.index;
        replay->seen_entry = true;
    } else if (replay->count > 0 && replay->entries[0].index <= mark.index) {
        if (replay->last < mark.index)
            return "the mark lies above the log";
        drop_front(replay, (size_t)(mark.index - replay->entries[0].index + 1));
    } else if (replay->count == 0) {
        if (replay->seen_entry && mark.index > replay->last)
            return "the mark lies above the log";
        replay->last = mark.index > replay->last ? mark.index : replay->last;
    }
    blob_unref(replay->mark.configuration);
    replay->mark = mark;
    if (record->kind & RECORD_MARK_CONFIGURATION)
        replay->mark.configuration = blob_copy(configuration);
    return NULL;
}

const char *replay_record(struct replay *replay, const struct record *record)
{
    switch (record->type) {
    case RECORD_STATE:
        return record_get_state(record, &replay->state) ? NULL : "the state is malformed";
    case RECORD_ENTRY:
        return on_entry(replay, record);
    case RECORD_MARK:
        return on_mark(replay, record);
    default:
        return NULL;
    }
}

const char *replay_end(const struct replay *replay)
{
    if (replay->count > 0 && replay->entries[0].index != replay->mark.index + 1)
        return "entries are missing between the mark and the oldest segment";
    return NULL;
}
