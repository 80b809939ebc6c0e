#include "mvcc/watch.h"

#include <stdlib.h>

#include "mvcc/store_internal.h"
#include "mvcc/watch_read.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

enum state { FRESH, SYNCED, LATE, READ, SLOW, ENDING, STATE_COUNT };

struct watcher {
    struct kv_watch *watch;
    uint64_t number;                    /* order of creation */
    enum state state;
    bool is_paused;
    /* W1. For a synced one nothing below hub->told + 1 is to be told, whatever stands here. */
    kv_rev place;
    kv_rev created_revision;            /* to be told by created */
    kv_rev asked_at;                    /* what the hub had told when progress was asked for */
    enum err_code code;                 /* how it ends */
    kv_rev compact_revision;
    size_t call;                        /* synced or read: 1 + its call in hub->calls; 0: none */
    struct list link;                   /* in hub->watchers[state] */
    struct list member;                 /* in group->watchers when synced or read */
    struct list asked;                  /* in hub->asked, or by itself */
    struct watch_group *group;
};

/* One call of events that is about to be made. */
struct call {
    struct watcher *watcher;            /* NULL: it has left meanwhile */
    const struct kv_event **events;
    size_t count;
};

enum reading_state { READING_NONE, READING_WANTED, READING_HANDED_OUT };

struct watch_hub {
    struct store *store;
    kv_rev told;                        /* everything up to here was told to synced ones */
    kv_rev floor;                       /* as last looked at: nobody late or slow is below */
    struct list watchers[STATE_COUNT];
    size_t counts[STATE_COUNT];
    uint64_t last_number;
    struct watch_index index;           /* of synced ones */
    struct list asked;
    struct watch_tell tell;             /* of a batch */
    struct call *calls;
    size_t call_count, call_capacity;
    bool in_callback;                   /* of a watch: nobody may drive the hub */
    bool is_closing;
    struct watch_reading reading;       /* for those in state read */
    enum reading_state reading_state;
};

/* ---- life ---- */

struct watch_hub *watch_hub_new(struct store *store, uint64_t seed)
{
    struct watch_hub *hub = mem_xzalloc(sizeof *hub);
    hub->store = store;
    hub->told = store_revision(store);
    hub->floor = store_compact_revision(store);
    for (size_t i = 0; i < STATE_COUNT; i++)
        list_init(&hub->watchers[i]);
    list_init(&hub->asked);
    watch_index_init(&hub->index, seed);
    watch_index_init(&hub->reading.index, seed);
    return hub;
}

void watch_hub_free(struct watch_hub *hub)
{
    if (!hub)
        return;
    for (size_t i = 0; i < STATE_COUNT; i++)
        CHECK(hub->counts[i] == 0);
    CHECK(hub->reading_state != READING_HANDED_OUT);
    watch_index_release(&hub->index);
    watch_index_release(&hub->reading.index);
    watch_tell_release(&hub->tell);
    watch_tell_release(&hub->reading.tell);
    free(hub->calls);
    free(hub);
}

static size_t count_all(const struct watch_hub *hub)
{
    size_t count = 0;
    for (size_t i = 0; i < STATE_COUNT; i++)
        count += hub->counts[i];
    return count;
}

void watch_hub_count(const struct watch_hub *hub, struct watch_counts *ret)
{
    *ret = (struct watch_counts){.watches = count_all(hub),
                                 .synced = hub->counts[SYNCED],
                                 .late = hub->counts[LATE] + hub->counts[READ],
                                 .slow = hub->counts[SLOW]};
}

/* ---- states ---- */

static struct watcher *watcher_of(struct list *link) { return container_of(link, struct watcher, link); }

static struct watch_pattern pattern_of(const struct kv_watch *watch)
{
    return (struct watch_pattern){watch->key, watch->range_end, watch->want_previous,
                                  watch->no_put, watch->no_delete};
}

static void enter(struct watch_hub *hub, struct watcher *watcher, enum state state)
{
    watcher->state = state;
    hub->counts[state]++;
    list_push_back(&hub->watchers[state], &watcher->link);
}

/* Out of its list, its group, and the calls that are being made; its place is told for certain. */
static void leave(struct watch_hub *hub, struct watcher *watcher)
{
    list_remove(&watcher->link);
    list_remove(&watcher->member);
    hub->counts[watcher->state]--;
    if (watcher->state == SYNCED) {
        if (!watcher->call && watcher->place <= hub->told)
            watcher->place = hub->told + 1 + MUTANT(WATCH_SKIPS_AT_PAUSE);
        watch_index_leave(&hub->index, watcher->group);
    }
    if (watcher->call)
        hub->calls[watcher->call - 1].watcher = NULL;
    watcher->call = 0;
    watcher->group = NULL;
}

/* Of one that has left. */
static void end(struct watch_hub *hub, struct watcher *watcher, enum err_code code)
{
    watcher->code = code;
    if (code == ERR_COMPACTED) {
        watcher->compact_revision =
            store_compact_revision(hub->store) + MUTANT(WATCH_FLOOR_TOO_HIGH);
        err_set(&watcher->watch->err, code, "mvcc: required revision has been compacted");
    } else if (watcher->watch->err.code != code) {
        err_set(&watcher->watch->err, code, "%s", err_text(code));
    }
    list_remove(&watcher->asked);
    enter(hub, watcher, ENDING);
}

/* Of one that has left: where it belongs by its place. */
static void sort_in(struct watch_hub *hub, struct watcher *watcher)
{
    bool is_synced = watcher->place > hub->told;
    bool hears_now = is_synced && !watcher->is_paused;
    if (!hears_now && watcher->place < store_compact_revision(hub->store)) {
        end(hub, watcher, ERR_COMPACTED);
    } else if (watcher->is_paused) {
        enter(hub, watcher, SLOW);
    } else if (is_synced) {
        struct watch_pattern pattern = pattern_of(watcher->watch);
        watcher->group = watch_index_join(&hub->index, &pattern);
        list_push_back(&watcher->group->watchers, &watcher->member);
        enter(hub, watcher, SYNCED);
    } else {
        enter(hub, watcher, LATE);
    }
}

static void sort_again(struct watch_hub *hub, struct watcher *watcher)
{
    leave(hub, watcher);
    sort_in(hub, watcher);
}

/* W3: after the floor has risen. */
static void end_compacted(struct watch_hub *hub)
{
    static const enum state behind[] = {LATE, SLOW};
    kv_rev floor = store_compact_revision(hub->store);
    if (floor == hub->floor)
        return;
    hub->floor = floor;
    for (size_t i = 0; i < ARRAY_COUNT(behind); i++)
        LIST_FOR_EACH_SAFE(link, &hub->watchers[behind[i]]) {
            struct watcher *watcher = watcher_of(link);
            if (watcher->place < floor) {
                leave(hub, watcher);
                end(hub, watcher, ERR_COMPACTED);
            }
        }
}

/* ---- watching ---- */

static enum err_code refuse(const struct watch_hub *hub, struct kv_watch *watch)
{
    if (hub->is_closing)
        return ERR_CLOSING;
    if (count_all(hub) >= WATCHES_MAX)
        return err_set(&watch->err, ERR_BUSY, "this member has %d watches", WATCHES_MAX);
    return kv_validate_watch(watch, &watch->err);
}

void watch_hub_watch(struct watch_hub *hub, struct kv *kv, struct kv_watch *watch)
{
    CHECK(!watch->owner && watch->created && watch->events && watch->ended);
    struct watcher *watcher = mem_xzalloc(sizeof *watcher);
    kv_rev revision = store_revision(hub->store);
    watch->owner = kv;
    watch->state = watcher;
    watch->err = (struct err){0};
    watcher->watch = watch;
    watcher->number = ++hub->last_number;
    watcher->created_revision = revision;
    watcher->place = watch->start_revision ? watch->start_revision : revision + 1;
    list_init(&watcher->member);
    list_init(&watcher->asked);
    enum err_code code = refuse(hub, watch);
    written_want(&hub->store->written, true);
    if (code)
        end(hub, watcher, code);
    else
        enter(hub, watcher, FRESH);
}

void watch_hub_unwatch(struct watch_hub *hub, struct kv_watch *watch)
{
    struct watcher *watcher = watch->state;
    if (watcher->state == ENDING)
        return;
    leave(hub, watcher);
    end(hub, watcher, ERR_CANCELED);
}

/* One that is read for stays: if it is resumed before it is told, the reading was not in vain. */
void watch_hub_pause(struct watch_hub *hub, struct kv_watch *watch)
{
    struct watcher *watcher = watch->state;
    watcher->is_paused = true;
    if (watcher->state == SYNCED || watcher->state == LATE)
        sort_again(hub, watcher);
}

void watch_hub_resume(struct watch_hub *hub, struct kv_watch *watch)
{
    struct watcher *watcher = watch->state;
    watcher->is_paused = false;
    if (watcher->state == SLOW)
        sort_again(hub, watcher);
}

void watch_hub_progress(struct watch_hub *hub, struct kv_watch *watch)
{
    struct watcher *watcher = watch->state;
    if (watcher->state == ENDING || !watch->progress)
        return;
    watcher->asked_at = hub->told;
    list_remove(&watcher->asked);
    list_push_back(&hub->asked, &watcher->asked);
}

/* ---- telling ---- */

static void calls_gather(struct watch_hub *hub, const struct watch_group *group)
{
    LIST_FOR_EACH(link, &group->watchers) {
        if (hub->call_count == hub->call_capacity) {
            hub->call_capacity = hub->call_capacity ? 2 * hub->call_capacity : 16;
            hub->calls = mem_xrealloc(hub->calls, hub->call_capacity * sizeof *hub->calls);
        }
        hub->calls[hub->call_count++] =
            (struct call){container_of(link, struct watcher, member), group->events,
                          group->event_count};
    }
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = ((const struct call *)left)->watcher->number;
    uint64_t b = ((const struct call *)right)->watcher->number;
    return a < b ? -1 : a > b;
}

/* How many of the events lie below place: they are told already, or before a start in the future. */
static size_t count_below(const struct call *call, kv_rev place)
{
    size_t low = 0, high = call->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (call->events[middle]->item.mod_revision < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void call_make(struct watch_hub *hub, const struct call *call, kv_rev upto)
{
    struct watcher *watcher = call->watcher;
    struct kv_watch *watch = watcher->watch;
    size_t below = MUTANT(WATCH_TELLS_TWICE) ? 0 : count_below(call, watcher->place);
    if (watcher->is_paused && below < call->count) {
        sort_again(hub, watcher);
        return;
    }
    watcher->call = 0;
    if (watcher->place <= upto)
        watcher->place = upto + 1;
    if (below < call->count)
        watch->events(watch, call->events + below, call->count - below, upto);
}

/* Everything of a tell, to everyone in its groups. from: the first revision of it that synced ones have
 * not been told. Callbacks may do to any watch what they like: one that leaves is taken out of calls. */
static void tell_all(struct watch_hub *hub, struct watch_tell *tell, kv_rev from, kv_rev upto)
{
    hub->call_count = 0;
    for (size_t i = 0; i < tell->group_count; i++) {
        calls_gather(hub, tell->groups[i]);
        watch_group_clear(tell->groups[i]);
    }
    tell->group_count = 0;
    if (hub->call_count == 0)
        return;
    qsort(hub->calls, hub->call_count, sizeof *hub->calls, by_number);
    for (size_t i = 0; i < hub->call_count; i++) {
        struct watcher *watcher = hub->calls[i].watcher;
        watcher->call = i + 1;
        if (watcher->state == SYNCED && watcher->place < from)
            watcher->place = from;
    }
    hub->in_callback = true;
    for (size_t i = 0; i < hub->call_count; i++)
        if (hub->calls[i].watcher)
            call_make(hub, &hub->calls[i], upto);
    hub->in_callback = false;
}

/* ---- a batch ---- */

static bool is_too_much(size_t reads, size_t bytes)
{
    return reads > RANGE_CHUNK_ROWS || bytes > WATCH_LOOP_BYTES;
}

/* Those in the groups with events (that want previous versions) are not told by this batch. Their place
 * is at or below what it would tell them, so they become late. */
static void groups_defer(struct watch_hub *hub, struct watch_tell *tell, bool previous_alone,
                         kv_rev from)
{
    size_t kept = 0;
    hub->call_count = 0;
    for (size_t i = 0; i < tell->group_count; i++) {
        struct watch_group *group = tell->groups[i];
        if (previous_alone && !group->pattern.want_previous) {
            tell->groups[kept++] = group;
            continue;
        }
        calls_gather(hub, group);
        watch_group_clear(group);
    }
    tell->group_count = kept;
    for (size_t i = 0; i < hub->call_count; i++) {
        struct watcher *watcher = hub->calls[i].watcher;
        kv_rev place = watcher->place > from ? watcher->place : from;
        leave(hub, watcher);
        watcher->place = place;
        sort_in(hub, watcher);
    }
}

/* What would be read on the loop is more than it may: some become late instead. */
static void defer_wide(struct watch_hub *hub, kv_rev from)
{
    struct watch_tell *tell = &hub->tell;
    size_t values = 0, value_bytes = 0, previous = 0, previous_bytes = 0;
    for (size_t i = 0; i < tell->count; i++) {
        const struct watch_draft *draft = tell->drafts[i];
        bool lacks = draft->is_wanted && watch_draft_lacks_value(draft);
        values += lacks;
        value_bytes += lacks ? draft->head.size : 0;
        bool looks_back =
            draft->wants_previous && (draft->written->has_old || draft->is_repeated);
        previous += looks_back;
        previous_bytes += looks_back ? draft->written->old.size : 0;
    }
    bool all = is_too_much(values, value_bytes);
    if (!all && !is_too_much(values + previous, value_bytes + previous_bytes))
        return;
    groups_defer(hub, tell, !all, from);
    for (size_t i = 0; i < tell->count; i++) {
        tell->drafts[i]->is_wanted &= !all;
        tell->drafts[i]->wants_previous = false;
    }
}

static void drafts_gather(struct watch_hub *hub)
{
    const struct written *written = &hub->store->written;
    struct watch_tell *tell = &hub->tell;
    kv_rev main = 0;
    watch_tell_begin(tell, &hub->index);
    for (size_t i = 0; i < written->count; i++) {
        const struct written_version *version = &written->versions[i];
        if (version->head.mod.main != main)
            watch_tell_end_revision(tell);
        main = version->head.mod.main;
        struct watch_draft *draft = watch_tell_add(tell, version->key, &version->head);
        if (draft) {
            draft->written = version;
            draft->inline_value = version->value;
        }
    }
    watch_tell_end_revision(tell);
    watch_tell_keep(tell);
}

static enum err_code drafts_build(struct watch_hub *hub, struct err *err)
{
    struct watch_tell *tell = &hub->tell;
    struct view view = view_open(hub->store->backend);
    kv_rev floor = hub->store->floor;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < tell->count && !code; i++)
        if (tell->drafts[i]->is_wanted)
            code = watch_draft_build(tell, tell->drafts[i], &view, floor, err);
    view_release(&view);
    return code;
}

static void groups_clear(struct watch_tell *tell)
{
    for (size_t i = 0; i < tell->group_count; i++)
        watch_group_clear(tell->groups[i]);
    tell->group_count = 0;
}

static enum err_code batch_tell(struct watch_hub *hub, kv_rev from, struct err *err)
{
    drafts_gather(hub);
    defer_wide(hub, from);
    if (hub->tell.group_count == 0)
        return ERR_OK;
    enum err_code code = drafts_build(hub, err);
    if (code)
        groups_clear(&hub->tell);
    else
        tell_all(hub, &hub->tell, from, hub->told);
    return code;
}

/* What is not at hand is read back by everyone it may concern. */
static void batch_missed(struct watch_hub *hub, kv_rev from)
{
    LIST_HEAD(synced);
    list_splice_back(&synced, &hub->watchers[SYNCED]);
    LIST_FOR_EACH_SAFE(link, &synced) {
        struct watcher *watcher = watcher_of(link);
        kv_rev place = watcher->place > from ? watcher->place : from;
        leave(hub, watcher);
        watcher->place = place;
        sort_in(hub, watcher);
    }
}

static void admit(struct watch_hub *hub)
{
    while (!list_is_empty(&hub->watchers[FRESH])) {
        struct watcher *watcher = watcher_of(hub->watchers[FRESH].next);
        sort_again(hub, watcher);
        hub->in_callback = true;
        watcher->watch->created(watcher->watch, watcher->created_revision);
        hub->in_callback = false;
    }
}

enum err_code watch_hub_committed(struct watch_hub *hub, struct err *err)
{
    CHECK(!hub->in_callback);
    kv_rev revision = store_revision(hub->store), from = hub->told + 1;
    const struct written *written = &hub->store->written;
    enum err_code code = ERR_OK;
    admit(hub);
    if (revision >= from) {
        hub->told = revision;
        if (!written->is_whole || written->base != from - 1)
            batch_missed(hub, from);
        else if (hub->counts[SYNCED])
            code = batch_tell(hub, from, err);
    }
    end_compacted(hub);
    return code;
}

/* ---- late ones ---- */

static void reading_end(struct watch_hub *hub)
{
    hub->reading_state = READING_NONE;
    watch_index_release(&hub->reading.index);
    watch_tell_begin(&hub->reading.tell, &hub->reading.index);
}

/* Who is read for: the one that waits longest, and those whose place will be passed. */
static void reading_start(struct watch_hub *hub)
{
    struct watch_reading *reading = &hub->reading;
    reading->store = hub->store;
    reading->from = watcher_of(hub->watchers[LATE].next)->place;
    reading->to = hub->told;
    kv_rev last = reading->from + WATCH_READ_ROWS;
    LIST_FOR_EACH_SAFE(link, &hub->watchers[LATE]) {
        struct watcher *watcher = watcher_of(link);
        if (watcher->place < reading->from || watcher->place > last)
            continue;
        if (reading->index.count == WATCH_GROUPS_MAX)
            break;
        struct watch_pattern pattern = pattern_of(watcher->watch);
        leave(hub, watcher);
        watcher->group = watch_index_join(&reading->index, &pattern);
        list_push_back(&watcher->group->watchers, &watcher->member);
        enter(hub, watcher, READ);
    }
}

static void reading_sort(struct watch_hub *hub)
{
    const struct watch_reading *reading = &hub->reading;
    while (!list_is_empty(&hub->watchers[READ])) {
        struct watcher *watcher = watcher_of(hub->watchers[READ].next);
        leave(hub, watcher);
        if (watcher->place <= reading->covered)
            watcher->place = reading->covered + 1;
        sort_in(hub, watcher);
    }
}

/* After COMPACTED whoever is below the floor ends by being sorted in. */
static enum err_code reading_finish(struct watch_hub *hub, struct err *err)
{
    struct watch_reading *reading = &hub->reading;
    if (reading->code && reading->code != ERR_COMPACTED) {
        if (err)
            *err = reading->err;
        reading->covered = reading->from - 1;
        groups_clear(&reading->tell);
    }
    tell_all(hub, &reading->tell, reading->from, reading->covered);
    reading_sort(hub);
    enum err_code code = reading->code == ERR_COMPACTED ? ERR_OK : reading->code;
    reading_end(hub);
    return code;
}

static bool is_long(const struct watch_reading *reading)
{
    return reading->to - reading->from >= RANGE_CHUNK_ROWS;
}

static enum err_code read_chunk(struct watch_hub *hub, bool may_read, struct err *err)
{
    struct watch_reading *reading = &hub->reading;
    if (hub->reading_state != READING_NONE || list_is_empty(&hub->watchers[LATE]))
        return ERR_OK;
    reading_start(hub);
    reading->on_loop = may_read && !is_long(reading);
    if (reading->on_loop) {
        watch_reading_run(reading);
        if (!reading->is_too_wide)
            return reading_finish(hub, err);
    }
    reading->on_loop = false;
    hub->reading_state = READING_WANTED;
    return ERR_OK;
}

void watch_hub_read(struct watch_hub *hub) { watch_reading_run(&hub->reading); }

enum err_code watch_hub_read_done(struct watch_hub *hub, struct err *err)
{
    CHECK(!hub->in_callback && hub->reading_state == READING_HANDED_OUT);
    return reading_finish(hub, err);
}

bool watch_hub_is_reading(const struct watch_hub *hub)
{
    return hub->reading_state == READING_HANDED_OUT;
}

/* ---- progress and ends ---- */

static bool is_answerable(const struct watcher *watcher)
{
    bool is_behind = watcher->state == LATE || watcher->state == READ;
    if (watcher->is_paused)
        return false;
    return watcher->state == SYNCED || (is_behind && watcher->place > watcher->asked_at);
}

/* W4. A start in the future says nothing about what can be read now. */
static kv_rev progress_of(const struct watch_hub *hub, const struct watcher *watcher)
{
    kv_rev reached = watcher->place - 1;
    if (watcher->state == SYNCED &&
        (reached < hub->told || reached > store_revision(hub->store)))
        reached = hub->told;
    return reached;
}

static void progress_answer(struct watch_hub *hub)
{
    LIST_HEAD(asked);
    struct list *link;
    list_splice_back(&asked, &hub->asked);
    while ((link = list_pop_front(&asked))) {
        struct watcher *watcher = container_of(link, struct watcher, asked);
        if (!is_answerable(watcher)) {
            list_push_back(&hub->asked, link);
            continue;
        }
        hub->in_callback = true;
        watcher->watch->progress(watcher->watch, progress_of(hub, watcher));
        hub->in_callback = false;
    }
}

static void end_tell(struct watch_hub *hub, struct watcher *watcher)
{
    struct kv_watch *watch = watcher->watch;
    enum err_code code = watcher->code;
    kv_rev compact_revision = watcher->compact_revision;
    leave(hub, watcher);
    free(watcher);
    watch->owner = NULL;
    watch->state = NULL;
    hub->in_callback = true;
    watch->ended(watch, code, compact_revision);
    hub->in_callback = false;
}

/* Ends that come by these calls wait for the next turn, so that a watch that is always made again does
 * not keep the loop. */
void watch_hub_end(struct watch_hub *hub)
{
    CHECK(!hub->in_callback);
    for (size_t count = hub->counts[ENDING]; count > 0; count--)
        end_tell(hub, watcher_of(hub->watchers[ENDING].next));
    if (count_all(hub) == 0)
        written_want(&hub->store->written, false);
}

enum err_code watch_hub_turn(struct watch_hub *hub, bool may_read, enum watch_work *ret,
                             struct err *err)
{
    CHECK(!hub->in_callback);
    admit(hub);
    end_compacted(hub);
    enum err_code code = read_chunk(hub, may_read, err);
    progress_answer(hub);
    watch_hub_end(hub);
    *ret = WATCH_IDLE;
    if (hub->reading_state == READING_WANTED && !code) {
        hub->reading_state = READING_HANDED_OUT;
        *ret = WATCH_READ;
    } else if (hub->counts[FRESH] || hub->counts[ENDING] ||
               (hub->counts[LATE] && hub->reading_state == READING_NONE)) {
        *ret = WATCH_AGAIN;
    }
    return code;
}

/* ---- the store is replaced, or goes ---- */

void watch_hub_reset(struct watch_hub *hub, struct store *store)
{
    CHECK(!hub->in_callback && hub->reading_state != READING_HANDED_OUT);
    kv_rev from = hub->told + 1;
    hub->store = store;
    hub->told = store_revision(store);
    written_want(&store->written, count_all(hub) > 0);
    if (!MUTANT(INSTALL_SKIPS_EVENTS))
        batch_missed(hub, from);
    end_compacted(hub);
}

void watch_hub_close(struct watch_hub *hub)
{
    hub->is_closing = true;
    for (enum state state = FRESH; state < ENDING; state++)
        while (!list_is_empty(&hub->watchers[state])) {
            struct watcher *watcher = watcher_of(hub->watchers[state].next);
            leave(hub, watcher);
            end(hub, watcher, ERR_CLOSING);
        }
}

/* ---- validation ---- */

static void validate_one(const struct watch_hub *hub, const struct watcher *watcher,
                         enum state state)
{
    CHECK(watcher->state == state && watcher->watch->state == watcher);
    CHECK((watcher->group != NULL) == (state == SYNCED || state == READ));
    CHECK(list_is_empty(&watcher->member) == (watcher->group == NULL));
    CHECK(watcher->call == 0 || hub->in_callback);
    CHECK(watcher->is_paused || state != SLOW);
    CHECK(!watcher->is_paused || (state != SYNCED && state != LATE));
    CHECK(state != LATE || watcher->place <= hub->told);
    CHECK((state != LATE && state != SLOW) || watcher->place >= hub->floor);
}

void watch_hub_validate(const struct watch_hub *hub)
{
    size_t synced = 0;
    for (enum state state = FRESH; state < STATE_COUNT; state++) {
        size_t count = 0;
        LIST_FOR_EACH(link, &hub->watchers[state]) {
            validate_one(hub, watcher_of(link), state);
            count++;
        }
        CHECK(count == hub->counts[state]);
    }
    watch_index_validate(&hub->index);
    LIST_FOR_EACH(link, &hub->index.groups) {
        const struct watch_group *group = container_of(link, struct watch_group, link);
        CHECK(!list_is_empty(&group->watchers) && group->event_count == 0);
        LIST_FOR_EACH(member, &group->watchers)
            synced++;
    }
    CHECK(synced == hub->counts[SYNCED]);
    CHECK(hub->told <= store_revision(hub->store));
}
