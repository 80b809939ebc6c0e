/* Events are ordered, unique, complete and whole, whatever member told them: each segment of a watch, from one
 * revision to another, is exactly what the log did to its keys there. etcd's KV watch guarantees (ordered,
 * unique, reliable, atomic, resumable). */
#include "tests/sim/checks_internal.h"
#include "tests/sim/clients_internal.h"

#include <inttypes.h>

static bool wants(const struct watcher *watcher, const struct sim_event *event,
                  const struct sim_version *version)
{
    if (bytes_starts_with(event->key->key, BYTES_LITERAL(KV_SYSTEM_PREFIX)))
        return false;
    return sim_model_covers(event->key->key, watcher->key, watcher->range_end) &&
           !(version->is_deleted ? watcher->no_delete : watcher->no_put);
}

/* It is absent only where there was none, or what stood there before was compacted when the event was told. */
static bool previous_differs(struct world *world, const struct watcher *watcher,
                             const struct watched *told, const struct sim_event *event)
{
    const struct sim_model *model = checks_of(world)->model;
    kv_rev before = event->revision - 1;
    const struct sim_version *previous = sim_model_at(model, event->key->key, before);
    if (!told->has_previous)
        return watcher->want_previous && previous &&
               !check_may_be_compacted(world, before, told->told_ns);
    return !watcher->want_previous || !previous || told->previous_revision != previous->revision ||
           !bytes_equal(told->previous, previous->value);
}

static const char *differs(struct world *world, const struct watcher *watcher,
                           const struct watched *told, const struct sim_event *event)
{
    const struct sim_version *version = &event->key->versions[event->version];
    if (told->revision != event->revision || !bytes_equal(told->key, event->key->key))
        return "another event was told than happened";
    if (told->is_delete != version->is_deleted)
        return "a put was told as a delete, or a delete as a put";
    if (!told->is_delete &&
        (!bytes_equal(told->value, version->value) || told->version != version->version ||
         told->create_revision != version->create_revision))
        return "an event has another version";
    if (previous_differs(world, watcher, told, event))
        return "an event has another previous version";
    return NULL;
}

static void check_segment(struct world *world, const struct watcher *watcher, kv_rev from, kv_rev to,
                          size_t first, size_t count)
{
    const struct sim_model *model = checks_of(world)->model;
    size_t event_count, told = 0;
    const struct sim_event *events = sim_model_events(model, &event_count);
    const char *what = NULL;
    for (size_t i = 0; i < event_count && !what; i++) {
        const struct sim_event *event = &events[i];
        if (event->revision < from || event->revision > to ||
            !wants(watcher, event, &event->key->versions[event->version]))
            continue;
        if (told == count)
            what = "an event was not told";
        else
            what = differs(world, watcher, &watcher->events[first + told++], event);
    }
    if (!what && told != count)
        what = "more was told than happened";
    if (what)
        world_fail(world,
                   "watch of \"%.*s\" from %" PRId64 " to %" PRId64 ", event %zu of %zu: %s",
                   (int)watcher->key.size, watcher->key.data, from, to, told, count, what);
}

/* Whether the log had compacted to this revision when that was told, by then at the latest. */
static bool was_floor(const struct checks *checks, kv_rev revision, int64_t told_ns)
{
    for (size_t i = 0; i < checks->floor_count; i++)
        if (checks->floors[i].revision == revision)
            return checks->committed[checks->floors[i].index - 1].seen_ns <= told_ns;
    return false;
}

/* It ended as compacted: what it stood before was gone, below just the floor that its member had. Its member may
 * have had it further on than it was told, never less far. */
static void check_compacted(struct world *world, const struct watcher *watcher, size_t place)
{
    kv_rev stood = watcher->segments[place].to + 1;
    kv_rev floor = watcher->segments[place].compact_revision;
    const char *what = NULL;
    if (!was_floor(checks_of(world), floor, watcher->segments[place].told_ns))
        what = "nobody had compacted to there";
    else if (stood >= floor)
        what = "it stood where nothing was compacted";
    if (what)
        world_fail(world,
                   "watch of \"%.*s\", before %" PRId64 ", ended as compacted to %" PRId64 ": %s",
                   (int)watcher->key.size, watcher->key.data, stood, floor, what);
}

/* One that is still open has been told everything that its host has. */
static void check_end(struct world *world, const struct watcher *watcher)
{
    const struct sim_host *host = world_host(world, watcher->host);
    kv_rev newest = host && host->node ? store_revision(node_store(host->node)) : 0;
    if (watcher->is_open && !watcher->is_paused && watcher->to < newest)
        world_fail(world, "a watch of host %" PRIu64 " was told up to %" PRId64 " of %" PRId64,
                   watcher->host, watcher->to, newest);
}

void check_watch(struct world *world)
{
    const struct clients *clients = world->clients;
    for (size_t i = 0; i < clients->watcher_count && !world->has_failed; i++) {
        const struct watcher *watcher = &clients->watchers[i];
        for (size_t k = 0; k < watcher->segment_count; k++) {
            check_segment(world, watcher, watcher->segments[k].from, watcher->segments[k].to,
                          watcher->segments[k].first, watcher->segments[k].count);
            check_compacted(world, watcher, k);
        }
        check_segment(world, watcher, watcher->from, watcher->to, watcher->first,
                      watcher->count - watcher->first);
        if (!world->is_ruined)
            check_end(world, watcher);
    }
}
