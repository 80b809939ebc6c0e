/* Watchers: each watches a range from where it was told last, on one member after the other, and notes what
 * it was told, in segments without a gap. */
#include "tests/sim/clients_internal.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define RETRY_NS (30 * NS_PER_MS)

static struct watcher *watcher_of(struct kv_watch *watch)
{
    return container_of(watch, struct watcher, watch);
}

static bool is_dying(const struct watcher *watcher)
{
    return world_host(watcher->world, watcher->host)->is_dying;
}

/* ---- what is told ---- */

static void on_created(struct kv_watch *watch, kv_rev revision)
{
    struct watcher *watcher = watcher_of(watch);
    if (watch->start_revision == 0) {
        watcher->from = revision + 1;
        watcher->to = revision;
    }
}

static void note(struct watcher *watcher, const struct kv_event *event)
{
    if (watcher->count == watcher->capacity) {
        watcher->capacity = watcher->capacity ? 2 * watcher->capacity : 64;
        watcher->events = mem_xrealloc(watcher->events, watcher->capacity * sizeof *watcher->events);
    }
    watcher->events[watcher->count++] = (struct watched){
        .revision = event->item.mod_revision,
        .is_delete = event->kind == KV_EVENT_DELETE,
        .has_previous = event->has_previous,
        .key = arena_copy(&watcher->arena, event->item.key),
        .value = arena_copy(&watcher->arena, event->item.value),
        .previous = arena_copy(&watcher->arena, event->previous.value),
        .previous_revision = event->previous.mod_revision,
        .version = event->item.version,
        .create_revision = event->item.create_revision,
        .told_ns = watcher->world->now_ns,
    };
    watcher->world->clients->events++;
}

static void told_up_to(struct watcher *watcher, kv_rev revision)
{
    if (revision > watcher->to)
        watcher->to = revision;
}

static void on_events(struct kv_watch *watch, const struct kv_event *const *events, size_t count,
                      kv_rev revision)
{
    struct watcher *watcher = watcher_of(watch);
    if (is_dying(watcher))
        return;
    for (size_t i = 0; i < count; i++)
        note(watcher, events[i]);
    if (count && events[0]->item.mod_revision <= watcher->to)
        world_fail(watcher->world, "a watch was told of revision %lld after all up to %lld",
                   (long long)events[0]->item.mod_revision, (long long)watcher->to);
    told_up_to(watcher, revision);
    if (rand_below(&watcher->rand, 50) == 0) {
        kv_watch_pause(watch->owner, watch);
        watcher->is_paused = true;
        watcher->next_ns = watcher->world->now_ns + (int64_t)rand_below(&watcher->rand, NS_PER_S);
    }
}

static void on_progress(struct kv_watch *watch, kv_rev revision)
{
    if (!is_dying(watcher_of(watch)))
        told_up_to(watcher_of(watch), revision);
}

static void end_segment(struct watcher *watcher, kv_rev compact_revision)
{
    if (watcher->segment_count == watcher->segment_capacity) {
        watcher->segment_capacity = watcher->segment_capacity ? 2 * watcher->segment_capacity : 8;
        watcher->segments = mem_xrealloc(watcher->segments, watcher->segment_capacity *
                                                                sizeof *watcher->segments);
    }
    watcher->segments[watcher->segment_count].from = watcher->from;
    watcher->segments[watcher->segment_count].to = watcher->to;
    watcher->segments[watcher->segment_count].compact_revision = compact_revision;
    watcher->segments[watcher->segment_count].told_ns = watcher->world->now_ns;
    watcher->segments[watcher->segment_count].first = watcher->first;
    watcher->segments[watcher->segment_count++].count = watcher->count - watcher->first;
    watcher->first = watcher->count;
}

static void on_ended(struct kv_watch *watch, enum err_code code, kv_rev compact_revision)
{
    struct watcher *watcher = watcher_of(watch);
    bool is_heard = !is_dying(watcher);
    watcher->is_open = watcher->is_paused = false;
    watcher->host = 0;
    watcher->next_ns = watcher->world->now_ns + RETRY_NS;
    if (code != ERR_COMPACTED || !is_heard)
        return;
    end_segment(watcher, compact_revision);
    watcher->from = compact_revision;
    watcher->to = compact_revision - 1;
}

/* ---- life ---- */

static void draw_range(struct world *world, struct watcher *watcher)
{
    uint64_t drawn = rand_below(&watcher->rand, 4);
    char text[32];
    watcher->key = BYTES_LITERAL("/k/");
    watcher->range_end = BYTES_LITERAL("/k0");
    if (drawn == 0) {
        watcher->key = watcher->range_end = bytes_of("\0", 1);
    } else if (drawn == 1) {
        uint64_t number = rand_below(&watcher->rand, (uint64_t)PARAM(world->params, keys));
        int size = snprintf(text, sizeof text, "/k/%02d/%02d", (int)number % 3, (int)number);
        watcher->key = arena_copy(&watcher->arena, bytes_of(text, (size_t)size));
        watcher->range_end = BYTES_EMPTY;
    }
    watcher->want_previous = rand_below(&watcher->rand, 2);
    watcher->no_put = rand_below(&watcher->rand, 8) == 0;
    watcher->no_delete = rand_below(&watcher->rand, 8) == 0;
}

void watchers_init(struct world *world, struct clients *clients, struct rand *rand)
{
    clients->watcher_count = (size_t)PARAM(world->params, watchers);
    clients->watchers = mem_xzalloc((clients->watcher_count + 1) * sizeof *clients->watchers);
    for (size_t i = 0; i < clients->watcher_count; i++) {
        struct watcher *watcher = &clients->watchers[i];
        watcher->world = world;
        watcher->from = 2;      /* the first write of a new store */
        watcher->to = 1;
        watcher->next_ns = world->now_ns;
        rand_init(&watcher->rand, rand_u64(rand));
        draw_range(world, watcher);
    }
}

void watchers_release(struct clients *clients)
{
    for (size_t i = 0; i < clients->watcher_count; i++) {
        CHECK(!clients->watchers[i].is_open);
        arena_release(&clients->watchers[i].arena);
        free(clients->watchers[i].events);
        free(clients->watchers[i].segments);
    }
    free(clients->watchers);
}

static void begin(struct watcher *watcher)
{
    struct world *world = watcher->world;
    watcher->host = clients_draw_host(world, &watcher->rand);
    if (!watcher->host) {
        watcher->next_ns = world->now_ns + RETRY_NS;
        return;
    }
    watcher->watch = (struct kv_watch){
        .key = watcher->key,
        .range_end = watcher->range_end,
        .start_revision = watcher->to + 1,
        .want_previous = watcher->want_previous,
        .no_put = watcher->no_put,
        .no_delete = watcher->no_delete,
        .created = on_created,
        .events = on_events,
        .progress = on_progress,
        .ended = on_ended,
    };
    watcher->is_open = true;
    watcher->next_ns = world->now_ns + (int64_t)rand_below(&watcher->rand, 3 * NS_PER_S);
    kv_watch(node_kv(world_host(world, watcher->host)->node), &watcher->watch);
}

/* Now and then one that watches asks how far it is, pauses, or goes elsewhere. */
void watcher_step(struct watcher *watcher)
{
    struct world *world = watcher->world;
    if (!watcher->is_open) {
        begin(watcher);
        return;
    }
    struct kv *kv = node_kv(world_host(world, watcher->host)->node);
    watcher->next_ns = world->now_ns + (int64_t)rand_below(&watcher->rand, 3 * NS_PER_S);
    if (watcher->is_paused) {
        watcher->is_paused = false;
        kv_watch_resume(kv, &watcher->watch);
    } else if (!world->is_healed && rand_below(&watcher->rand, 4) == 0) {
        kv_unwatch(kv, &watcher->watch);
    } else if (!world->is_healed && rand_below(&watcher->rand, 4) == 0) {
        kv_watch_pause(kv, &watcher->watch);
        watcher->is_paused = true;
    } else {
        kv_watch_progress(kv, &watcher->watch);
    }
}
