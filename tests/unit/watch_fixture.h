/* A store in memory with a hub, and a watch that writes down what it is told:
 *
 *     created 4 | 5: put /a=1 | 6: delete /a (1) | progress 6 | ended COMPACTED 9
 */
#ifndef TESTS_UNIT_WATCH_FIXTURE_H
#define TESTS_UNIT_WATCH_FIXTURE_H

#include <inttypes.h>

#include "mvcc/watch.h"
#include "tests/unit/store_fixture.h"

struct watched {
    struct backend_memory *memory;
    struct store *store;
    struct watch_hub *hub;
    struct kv kv;
    struct buf order;                   /* names of listeners, as they are told events */
};

struct listener {
    struct kv_watch watch;
    struct watched *watched;
    char name;
    struct buf lines;
    size_t calls;                       /* of events */
    bool has_ended;
    /* done in the first call of events */
    void (*meddle)(struct listener *listener);
    struct listener *other;
};

static inline void watched_init(struct watched *watched)
{
    *watched = (struct watched){.memory = backend_memory_new(0)};
    watched->store = fixture_open(backend_memory_open(watched->memory));
    watched->hub = watch_hub_new(watched->store, 1);
}

static inline void watched_release(struct watched *watched)
{
    watch_hub_close(watched->hub);
    watch_hub_end(watched->hub);
    watch_hub_free(watched->hub);
    store_close(watched->store);
    backend_memory_free(watched->memory);
    buf_release(&watched->order);
}

/* ---- listeners ---- */

__attribute__((format(printf, 2, 3)))
static inline void listener_text(struct listener *listener, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buf_append_format(&listener->lines, "%s%s", listener->lines.size ? " | " : "", text);
}

static inline struct listener *listener_of(struct kv_watch *watch)
{
    return container_of(watch, struct listener, watch);
}

static inline void listener_created(struct kv_watch *watch, kv_rev revision)
{
    listener_text(listener_of(watch), "created %" PRId64, revision);
}

static inline void listener_event(struct listener *listener, const struct kv_event *event)
{
    bool is_put = event->kind == KV_EVENT_PUT;
    listener_text(listener, "%" PRId64 ": %s %.*s%s%.*s", event->item.mod_revision,
                  is_put ? "put" : "delete", (int)event->item.key.size,
                  (const char *)event->item.key.data, is_put ? "=" : "",
                  (int)event->item.value.size, (const char *)event->item.value.data);
    if (event->has_previous)
        buf_append_format(&listener->lines, " (%.*s)", (int)event->previous.value.size,
                          (const char *)event->previous.value.data);
}

static inline void listener_events(struct kv_watch *watch, const struct kv_event *const *events,
                                   size_t count, kv_rev revision)
{
    struct listener *listener = listener_of(watch);
    assert_true(count > 0 && events[count - 1]->item.mod_revision <= revision);
    assert_true(revision <= store_revision(listener->watched->store));
    for (size_t i = 0; i < count; i++)
        listener_event(listener, events[i]);
    buf_append_u8(&listener->watched->order, (uint8_t)listener->name);
    if (listener->calls++ == 0 && listener->meddle)
        listener->meddle(listener);
}

static inline void listener_progress(struct kv_watch *watch, kv_rev revision)
{
    listener_text(listener_of(watch), "progress %" PRId64, revision);
}

static inline void listener_ended(struct kv_watch *watch, enum err_code code, kv_rev compacted)
{
    struct listener *listener = listener_of(watch);
    assert_false(listener->has_ended);
    assert_int_equal(watch->err.code, code);
    listener->has_ended = true;
    listener_text(listener, "ended %s", err_name(code));
    if (compacted)
        buf_append_format(&listener->lines, " %" PRId64, compacted);
}

static inline void listener_init(struct listener *listener, struct watched *watched, char name,
                                 struct bytes key, struct bytes range_end, kv_rev start)
{
    *listener = (struct listener){
        .watch = {.key = key, .range_end = range_end, .start_revision = start,
                  .created = listener_created, .events = listener_events,
                  .progress = listener_progress, .ended = listener_ended},
        .watched = watched,
        .name = name,
    };
}

static inline void listen(struct listener *listener)
{
    watch_hub_watch(listener->watched->hub, &listener->watched->kv, &listener->watch);
}

/* What it wrote down since the last look. */
static inline void assert_heard(struct listener *listener, const char *text)
{
    buf_append_u8(&listener->lines, 0);
    assert_string_equal((const char *)listener->lines.data, text);
    buf_release(&listener->lines);
}

/* ---- driving ---- */

static inline void watched_turn(struct watched *watched)
{
    struct err err = {0};
    enum watch_work work = WATCH_AGAIN;
    while (work != WATCH_IDLE) {
        assert_ok(watch_hub_turn(watched->hub, true, &work, &err));
        watch_hub_validate(watched->hub);
        if (work != WATCH_READ)
            continue;
        watch_hub_read(watched->hub);
        assert_ok(watch_hub_read_done(watched->hub, &err));
    }
}

static inline void watched_committed(struct watched *watched)
{
    struct err err = {0};
    assert_ok(watch_hub_committed(watched->hub, &err));
    watch_hub_validate(watched->hub);
}

static inline void watched_put(struct watched *watched, const char *key, const char *value)
{
    fixture_put(watched->store, bytes_of_text(key), bytes_of_text(value));
    watched_committed(watched);
}

static inline void watched_delete(struct watched *watched, const char *key)
{
    fixture_delete(watched->store, bytes_of_text(key));
    watched_committed(watched);
}

static inline void watched_compact(struct watched *watched, kv_rev revision)
{
    assert_ok(fixture_compact(watched->store, revision));
    watched_committed(watched);
    fixture_walk(watched->store, revision);
}

#endif
