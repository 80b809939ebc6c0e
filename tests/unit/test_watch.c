/* mvcc/watch: what a watch is told, case by case; etcd's bugs by their numbers. */
#include "tests/unit/watch_fixture.h"

#include "proto/base/limits.h"

static int setup(void **state)
{
    struct watched *watched = mem_xzalloc(sizeof *watched);
    watched_init(watched);
    *state = watched;
    return 0;
}

static int teardown(void **state)
{
    watched_release(*state);
    free(*state);
    return 0;
}

static void settle_text(struct watched *watched, struct listener *listener, const char *text)
{
    watched_turn(watched);
    assert_heard(listener, text);
}

static void stop(struct listener *listener)
{
    watch_hub_unwatch(listener->watched->hub, &listener->watch);
    if (listener->watch.owner)
        watched_turn(listener->watched);
    assert_true(listener->has_ended);
    buf_release(&listener->lines);
}

/* ---- the course of things ---- */

static void a_watch_from_now_on_hears_what_follows(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    watched_put(watched, "/a", "0");
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listen(&listener);
    assert_int_equal(listener.lines.size, 0);       /* never inside its own call */
    watched_put(watched, "/a", "1");
    watched_put(watched, "/b", "1");
    watched_delete(watched, "/a");
    settle_text(watched, &listener, "created 2 | 3: put /a=1 | 5: delete /a");
    watch_hub_unwatch(watched->hub, &listener.watch);
    watched_put(watched, "/a", "2");
    assert_int_equal(listener.lines.size, 0);
    settle_text(watched, &listener, "ended CANCELED");
    assert_null(listener.watch.owner);
}

static void a_watch_from_the_past_catches_up(void **state)
{
    struct watched *watched = *state;
    struct listener all, late;
    watched_put(watched, "/a", "0");
    watched_put(watched, "/b", "1");
    watched_put(watched, "/c", "2");
    listener_init(&all, watched, 'a', B("/"), B("0"), 1);
    listener_init(&late, watched, 'b', B("/"), B("\0"), 4);
    listen(&all);
    listen(&late);
    watched_put(watched, "/d", "3");
    settle_text(watched, &all,
                "created 4 | 2: put /a=0 | 3: put /b=1 | 4: put /c=2 | 5: put /d=3");
    settle_text(watched, &late, "created 4 | 4: put /c=2 | 5: put /d=3");
    stop(&all);
    stop(&late);
}

static void who_has_an_answer_does_not_hear_of_it_again(void **state)
{
    struct watched *watched = *state;
    struct listener now, next;
    fixture_put(watched->store, B("/a"), B("1"));   /* published, and not told yet */
    listener_init(&now, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener_init(&next, watched, 'b', B("/a"), BYTES_EMPTY, 3);
    listen(&now);
    listen(&next);
    watch_hub_progress(watched->hub, &now.watch);
    watched_committed(watched);
    watched_put(watched, "/a", "2");
    settle_text(watched, &now, "created 2 | 3: put /a=2 | progress 3");
    settle_text(watched, &next, "created 2 | 3: put /a=2");
    stop(&now);
    stop(&next);
}

static void filters_leave_out_and_previous_versions_come_along(void **state)
{
    struct watched *watched = *state;
    struct listener puts, deletes;
    char large[2000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    listener_init(&puts, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener_init(&deletes, watched, 'b', B("/a"), BYTES_EMPTY, 0);
    puts.watch.no_delete = true;
    deletes.watch.no_put = deletes.watch.want_previous = true;
    listen(&puts);
    listen(&deletes);
    watched_put(watched, "/a", large);
    watched_delete(watched, "/a");
    watched_put(watched, "/a", "small");
    watched_delete(watched, "/a");
    char want[8192];
    snprintf(want, sizeof want, "created 1 | 2: put /a=%s | 4: put /a=small", large);
    settle_text(watched, &puts, want);
    snprintf(want, sizeof want, "created 1 | 3: delete /a (%s) | 5: delete /a (small)", large);
    settle_text(watched, &deletes, want);
    stop(&puts);
    stop(&deletes);
}

static void a_previous_version_below_the_floor_is_absent(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    watched_put(watched, "/a", "3");
    assert_ok(fixture_compact(watched->store, 3));
    watched_committed(watched);
    for (int i = 0; i < 2; i++) {       /* whether its rows are still there or gone */
        listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 3);
        listener.watch.want_previous = true;
        listen(&listener);
        settle_text(watched, &listener, "created 4 | 3: put /a=2 | 4: put /a=3 (2)");
        stop(&listener);
        if (i == 0)
            fixture_walk(watched->store, 3);
    }
}

static void the_system_range_is_passed_over(void **state)
{
    struct watched *watched = *state;
    struct listener user, system, denied;
    listener_init(&user, watched, 'a', B("!"), B("\0"), 0);
    listener_init(&system, watched, 'b', B(".concordfs/"), B("\0"), 0);
    listener_init(&denied, watched, 'c', B(".concordfs/meta//a"), BYTES_EMPTY, 0);
    system.watch.privileged = true;
    listen(&user);
    listen(&system);
    listen(&denied);
    watched_put(watched, "/a", "1");
    watched_put(watched, ".concordfs/meta//a", "m");
    watched_delete(watched, "/a");                  /* and its record with it */
    settle_text(watched, &user, "created 1 | 2: put /a=1 | 4: delete /a");
    settle_text(watched, &system,
                "created 1 | 2: put /a=1 | 3: put .concordfs/meta//a=m | 4: delete /a | "
                "4: delete .concordfs/meta//a");
    settle_text(watched, &denied, "ended DENIED");
    stop(&user);
    stop(&system);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    struct watched *watched = *state;
    struct listener empty, backwards, negative;
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    watched_compact(watched, 3);
    listener_init(&empty, watched, 'a', BYTES_EMPTY, BYTES_EMPTY, 0);
    listener_init(&backwards, watched, 'b', B("/b"), B("/a"), 0);
    listener_init(&negative, watched, 'c', B("/b"), BYTES_EMPTY, -1);
    listen(&empty);
    listen(&backwards);
    listen(&negative);
    settle_text(watched, &empty, "ended INVALID");
    settle_text(watched, &backwards, "ended INVALID");
    assert_string_equal(backwards.watch.err.text, "mvcc: watcher range is empty");
    settle_text(watched, &negative, "ended COMPACTED 3");
}

static void everything_ends_when_the_hub_closes(void **state)
{
    struct watched *watched = *state;
    struct listener fresh, slow, after;
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener_init(&fresh, watched, 'b', B("/a"), BYTES_EMPTY, 0);
    listener_init(&after, watched, 'c', B("/a"), BYTES_EMPTY, 0);
    listen(&slow);
    watch_hub_pause(watched->hub, &slow.watch);
    settle_text(watched, &slow, "created 1");
    listen(&fresh);
    watch_hub_close(watched->hub);
    listen(&after);
    settle_text(watched, &slow, "ended CLOSING");
    settle_text(watched, &fresh, "ended CLOSING");
    settle_text(watched, &after, "ended CLOSING");
}

/* ---- one revision ---- */

static void apply_ops(struct watched *watched, const struct kv_op *ops, size_t count)
{
    struct store_result result;
    assert_ok(fixture_txn(watched->store, &(struct kv_txn){.success = ops, .success_count = count},
                          &result));
    arena_release(&result.arena);
    watched_committed(watched);
}

static void a_revision_is_told_in_one_call(void **state)
{
    struct watched *watched = *state;
    struct listener live, late;
    struct kv_op ops[TXN_OPS_MAX];
    char keys[TXN_OPS_MAX][16];
    for (int i = 0; i < TXN_OPS_MAX; i++) {
        snprintf(keys[i], sizeof keys[i], "/w/%03d", i);
        ops[i] = (struct kv_op){.kind = KV_OP_PUT,
                                .put = {.key = bytes_of_text(keys[i]), .value = B("v")}};
    }
    listener_init(&live, watched, 'a', B("/w/"), B("/w0"), 0);
    live.watch.want_previous = true;
    listen(&live);
    apply_ops(watched, ops, TXN_OPS_MAX);
    apply_ops(watched, ops, TXN_OPS_MAX);           /* 128 previous versions: more than the loop reads */
    listener_init(&late, watched, 'b', B("/w/"), B("/w0"), 2);
    listen(&late);
    watched_turn(watched);
    assert_int_equal(live.calls, 2);
    assert_true(late.calls <= 2);
    assert_bytes_equal(bytes_of(live.lines.data, 24), B("created 1 | 2: put /w/00"));
    assert_non_null(strstr((buf_append_u8(&live.lines, 0), (char *)live.lines.data),
                           "| 3: put /w/127=v (v)"));
    stop(&live);
    stop(&late);
}

static void one_event_for_a_key_and_a_revision(void **state)
{
    struct watched *watched = *state;
    struct listener live, late;
    watched_put(watched, "/a", "1");
    watched_put(watched, "/b", "2");
    listener_init(&live, watched, 'a', B("/"), B("0"), 0);
    live.watch.want_previous = true;
    listen(&live);
    struct kv_op ops[] = {
        {.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/b"), .replace = true}},
        {.kind = KV_OP_RENAME, .rename = {.from = B("/c"), .to = B("/d")}},
    };
    apply_ops(watched, ops, 1);                     /* /b is deleted, then put */
    settle_text(watched, &live, "created 3 | 4: delete /a (1) | 4: put /b=1 (2)");
    listener_init(&late, watched, 'b', B("/"), B("0"), 4);
    late.watch.want_previous = true;
    listen(&late);
    settle_text(watched, &late, "created 4 | 4: delete /a (1) | 4: put /b=1 (2)");
    stop(&live);
    stop(&late);
    watched_compact(watched, 4);
    listener_init(&late, watched, 'b', B("/"), B("0"), 4);
    listen(&late);
    settle_text(watched, &late, "created 4 | 4: delete /a | 4: put /b=1");
    stop(&late);
}

/* ---- who cannot take more ---- */

static void a_slow_watch_holds_its_place_alone(void **state)
{
    struct watched *watched = *state;
    struct listener slow, other;
    struct watch_counts counts;
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener_init(&other, watched, 'b', B("/a"), BYTES_EMPTY, 0);
    listen(&slow);
    listen(&other);
    watched_turn(watched);
    watch_hub_pause(watched->hub, &slow.watch);
    for (int i = 0; i < 200; i++)
        watched_put(watched, "/a", "1");
    watched_turn(watched);
    watch_hub_count(watched->hub, &counts);
    assert_int_equal(counts.slow, 1);
    assert_int_equal(slow.calls, 0);
    assert_int_equal(other.calls, 200);
    watch_hub_resume(watched->hub, &slow.watch);
    watched_turn(watched);
    assert_memory_equal(slow.lines.data, other.lines.data, other.lines.size);
    assert_int_equal(slow.lines.size, other.lines.size);
    stop(&slow);
    stop(&other);
}

static void pause_self(struct listener *listener)
{
    watch_hub_pause(listener->watched->hub, &listener->watch);
}

static void a_watch_that_pauses_in_its_callback_goes_on_behind_it(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener.meddle = pause_self;
    listen(&listener);
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    settle_text(watched, &listener, "created 1 | 2: put /a=1");
    watch_hub_resume(watched->hub, &listener.watch);
    settle_text(watched, &listener, "3: put /a=2");
    stop(&listener);
}

static void a_late_watch_that_pauses_in_its_callback_goes_on_behind_it(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 2);
    listener.meddle = pause_self;
    listen(&listener);
    settle_text(watched, &listener, "created 3 | 2: put /a=1 | 3: put /a=2");
    watched_put(watched, "/a", "3");
    watch_hub_resume(watched->hub, &listener.watch);
    settle_text(watched, &listener, "4: put /a=3");
    stop(&listener);
}

/* What was not for it has been passed all the same. */
static void a_paused_watch_stands_behind_what_the_hub_has_told(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listen(&listener);
    watched_put(watched, "/b", "1");
    watched_put(watched, "/b", "2");
    watched_put(watched, "/b", "3");
    watch_hub_pause(watched->hub, &listener.watch);
    watched_put(watched, "/a", "4");
    watched_compact(watched, 5);
    watch_hub_resume(watched->hub, &listener.watch);
    settle_text(watched, &listener, "created 1 | 5: put /a=4");
    stop(&listener);
}

static void meddle_unwatch(struct listener *listener)
{
    watch_hub_unwatch(listener->watched->hub, &listener->other->watch);
}

static void meddle_pause(struct listener *listener)
{
    watch_hub_pause(listener->watched->hub, &listener->other->watch);
}

static void meddle_watch(struct listener *listener) { listen(listener->other); }

/* Watches of one group and of others, in the order they were made; each may do to the others what it
 * likes while they are told. */
static void callbacks_may_do_to_others_what_they_like(void **state)
{
    struct watched *watched = *state;
    struct listener a, b, c, d, e;
    listener_init(&a, watched, 'a', B("/"), B("0"), 0);
    listener_init(&b, watched, 'b', B("/a"), BYTES_EMPTY, 0);
    listener_init(&c, watched, 'c', B("/"), B("0"), 0);
    listener_init(&d, watched, 'd', B("/a"), BYTES_EMPTY, 0);
    listener_init(&e, watched, 'e', B("/a"), BYTES_EMPTY, 0);
    a.meddle = meddle_unwatch;
    a.other = &b;
    c.meddle = meddle_pause;
    c.other = &d;
    listen(&a);
    listen(&b);
    listen(&c);
    listen(&d);
    watched_put(watched, "/a", "1");
    assert_bytes_equal(buf_bytes(&watched->order), B("ac"));
    settle_text(watched, &b, "created 1 | ended CANCELED");
    settle_text(watched, &d, "created 1");
    d.meddle = meddle_watch;
    d.other = &e;
    e.watch.start_revision = 2;
    watch_hub_resume(watched->hub, &d.watch);
    settle_text(watched, &d, "2: put /a=1");
    settle_text(watched, &e, "created 2 | 2: put /a=1");
    watched_put(watched, "/a", "2");
    assert_bytes_equal(buf_bytes(&watched->order), B("acdeacde"));
    stop(&a);
    stop(&c);
    stop(&d);
    stop(&e);
}

/* ---- what is not at hand ---- */

static void a_batch_that_is_too_large_to_be_kept_is_read_back(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    struct watch_counts counts;
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = B("/a"), .value = B("v")}};
    struct entry_request request = {.kind = ENTRY_TXN,
                                    .txn = {.success = &op, .success_count = 1}};
    struct entry entry = {.term = 1, .payload = entry_request_encode(&request)};
    struct store_result result;
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listen(&listener);
    watched_turn(watched);
    store_begin(watched->store);
    raft_index first = store_applied(watched->store) + 1;
    for (size_t i = 0; i <= WATCH_LIVE_EVENTS_MAX; i++) {
        entry.index = first + i;
        assert_ok(store_apply(watched->store, &entry, false, &result, NULL));
    }
    assert_ok(store_commit(watched->store, NULL));
    blob_unref(entry.payload);
    watched_committed(watched);
    watch_hub_count(watched->hub, &counts);
    assert_int_equal(counts.late, 1);
    watched_turn(watched);
    size_t told = 0;
    buf_append_u8(&listener.lines, 0);
    for (const char *at = (char *)listener.lines.data; (at = strstr(at, "put /a=v")) != NULL; at++)
        told++;
    assert_int_equal(told, WATCH_LIVE_EVENTS_MAX + 1);
    assert_true(listener.calls <= 2 + WATCH_LIVE_EVENTS_MAX / WATCH_READ_ROWS);
    stop(&listener);
}

/* A value of more than the loop reads in one go. */
static char *large_value(char letter)
{
    char *value = mem_xzalloc(WATCH_LOOP_BYTES + 2);
    memset(value, letter, WATCH_LOOP_BYTES + 1);
    return value;
}

static void turn_elsewhere(struct watched *watched)
{
    enum watch_work work;
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));
    assert_int_equal(work, WATCH_READ);
    assert_true(watch_hub_is_reading(watched->hub));
    watch_hub_read(watched->hub);
    assert_ok(watch_hub_read_done(watched->hub, NULL));
}

static void large_previous_versions_make_late_who_wants_them(void **state)
{
    struct watched *watched = *state;
    struct listener plain, full;
    char *large = large_value('x');
    listener_init(&plain, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listener_init(&full, watched, 'b', B("/a"), BYTES_EMPTY, 0);
    full.watch.want_previous = true;
    watched_put(watched, "/a", large);
    listen(&plain);
    listen(&full);
    watched_put(watched, "/a", "2");
    settle_text(watched, &plain, "created 2 | 3: put /a=2");
    watched_put(watched, "/a", large);
    watched_put(watched, "/a", "3");
    assert_int_equal(plain.calls, 1);               /* the large value makes late everyone */
    assert_int_equal(full.calls, 1);
    turn_elsewhere(watched);
    assert_int_equal(full.calls, 2);
    watched_turn(watched);
    assert_int_equal(plain.calls, 2);
    stop(&plain);
    stop(&full);
    free(large);
}

static void a_revision_that_is_too_wide_is_read_elsewhere(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    char *large = large_value('x');
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 2);
    watched_put(watched, "/a", large);
    watched_put(watched, "/a", "2");
    listen(&listener);
    turn_elsewhere(watched);
    assert_int_equal(listener.calls, 1);
    watched_put(watched, "/a", "3");
    assert_int_equal(listener.calls, 2);
    stop(&listener);
    free(large);
}

static void a_watch_may_end_while_it_is_read_for(void **state)
{
    struct watched *watched = *state;
    struct listener gone, paused, kept;
    enum watch_work work;
    for (int i = 0; i < 100; i++)
        watched_put(watched, "/a", "1");
    listener_init(&gone, watched, 'a', B("/a"), BYTES_EMPTY, 1);
    listener_init(&paused, watched, 'b', B("/a"), BYTES_EMPTY, 100);
    listener_init(&kept, watched, 'c', B("/a"), BYTES_EMPTY, 100);
    listen(&gone);
    listen(&paused);
    listen(&kept);
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));
    assert_int_equal(work, WATCH_READ);
    watch_hub_unwatch(watched->hub, &gone.watch);
    watch_hub_pause(watched->hub, &paused.watch);
    watch_hub_read(watched->hub);
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));     /* the end does not wait for it */
    assert_true(gone.has_ended);
    assert_ok(watch_hub_read_done(watched->hub, NULL));
    assert_int_equal(gone.calls, 0);
    settle_text(watched, &kept, "created 101 | 100: put /a=1 | 101: put /a=1");
    settle_text(watched, &paused, "created 101");
    watch_hub_resume(watched->hub, &paused.watch);
    settle_text(watched, &paused, "100: put /a=1 | 101: put /a=1");
    buf_release(&gone.lines);
    stop(&paused);
    stop(&kept);
}

/* A receiver that stops and goes on quicker than readings are done still gets on. */
static void a_pause_that_ends_before_the_reading_costs_nothing(void **state)
{
    struct watched *watched = *state;
    struct listener listener, stopped;
    enum watch_work work;
    for (int i = 0; i < 100; i++)
        watched_put(watched, "/a", "1");
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 1);
    listener_init(&stopped, watched, 'b', B("/b"), BYTES_EMPTY, 1);
    listen(&listener);
    listen(&stopped);
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));
    assert_int_equal(work, WATCH_READ);
    watch_hub_pause(watched->hub, &listener.watch);
    watch_hub_pause(watched->hub, &stopped.watch);
    watch_hub_progress(watched->hub, &stopped.watch);
    watch_hub_read(watched->hub);
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));
    watch_hub_resume(watched->hub, &listener.watch);
    assert_int_equal(listener.calls, 0);
    assert_ok(watch_hub_read_done(watched->hub, NULL));
    watch_hub_validate(watched->hub);
    assert_int_equal(listener.calls, 1);
    /* The other one is paused, and has been passed over what was nothing to it. */
    watched_compact(watched, 100);
    settle_text(watched, &stopped, "created 101");
    watch_hub_resume(watched->hub, &stopped.watch);
    settle_text(watched, &stopped, "progress 101");
    stop(&listener);
    stop(&stopped);
}

/* ---- etcd's bugs ---- */

static void progress_does_not_overtake_events_15220(void **state)
{
    struct watched *watched = *state;
    struct listener late, slow;
    enum watch_work work;
    for (int i = 0; i < 100; i++)
        watched_put(watched, i ? "/b" : "/a", "1");
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listen(&slow);
    watch_hub_pause(watched->hub, &slow.watch);
    watch_hub_progress(watched->hub, &slow.watch);
    listener_init(&late, watched, 'b', B("/a"), BYTES_EMPTY, 2);
    listen(&late);
    watch_hub_progress(watched->hub, &late.watch);
    assert_ok(watch_hub_turn(watched->hub, true, &work, NULL));
    assert_int_equal(work, WATCH_READ);
    assert_heard(&late, "created 101");
    watched_put(watched, "/a", "2");
    watch_hub_read(watched->hub);
    assert_ok(watch_hub_read_done(watched->hub, NULL));
    settle_text(watched, &late, "2: put /a=1 | 102: put /a=2 | progress 102");
    settle_text(watched, &slow, "created 101");
    watch_hub_resume(watched->hub, &slow.watch);
    settle_text(watched, &slow, "102: put /a=2 | progress 102");
    stop(&late);
    stop(&slow);
}

static void a_reset_does_not_tell_twice_15271(void **state)
{
    struct watched *watched = *state;
    struct listener heard, filtered;
    listener_init(&heard, watched, 'a', B("/a"), BYTES_EMPTY, 2);
    listener_init(&filtered, watched, 'b', B("/a"), BYTES_EMPTY, 2);
    filtered.watch.no_put = true;
    listen(&heard);
    listen(&filtered);
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    watched_turn(watched);
    assert_heard(&heard, "created 1 | 2: put /a=1 | 3: put /a=2");
    fixture_put(watched->store, B("/a"), B("3"));   /* came with a snapshot */
    fixture_delete(watched->store, B("/a"));
    watch_hub_reset(watched->hub, watched->store);
    settle_text(watched, &heard, "4: put /a=3 | 5: delete /a");
    settle_text(watched, &filtered, "created 1 | 5: delete /a");
    /* What was filtered has been passed: its compaction ends nobody. */
    fixture_put(watched->store, B("/b"), B("3"));
    assert_ok(fixture_compact(watched->store, 5));
    watch_hub_reset(watched->hub, watched->store);
    watched_put(watched, "/a", "4");
    settle_text(watched, &heard, "7: put /a=4");
    /* But a snapshot that begins behind where they stood does. */
    fixture_put(watched->store, B("/b"), B("4"));
    fixture_put(watched->store, B("/b"), B("5"));
    assert_ok(fixture_compact(watched->store, 9));
    watch_hub_reset(watched->hub, watched->store);
    settle_text(watched, &heard, "ended COMPACTED 9");
    settle_text(watched, &filtered, "ended COMPACTED 9");
}

static void a_slow_watch_is_not_moved_over_a_compaction_17529(void **state)
{
    struct watched *watched = *state;
    struct listener slow, late;
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 0);
    listen(&slow);
    watched_turn(watched);
    watch_hub_pause(watched->hub, &slow.watch);
    watched_put(watched, "/a", "1");
    watched_put(watched, "/a", "2");
    watched_put(watched, "/a", "3");
    listener_init(&late, watched, 'b', B("/a"), BYTES_EMPTY, 2);
    listen(&late);
    watched_compact(watched, 3);
    settle_text(watched, &slow, "created 1 | ended COMPACTED 3");
    settle_text(watched, &late, "created 4 | ended COMPACTED 3");
    /* One that stands at the floor goes on. */
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 3);
    listen(&slow);
    watch_hub_pause(watched->hub, &slow.watch);
    watched_turn(watched);
    watch_hub_resume(watched->hub, &slow.watch);
    settle_text(watched, &slow, "created 4 | 3: put /a=2 | 4: put /a=3");
    stop(&slow);
}

/* A batch that was published and not told yet may bring a floor above a paused watch. */
static void a_floor_may_rise_above_what_was_told(void **state)
{
    struct watched *watched = *state;
    struct listener slow, synced, stopped;
    listener_init(&slow, watched, 'a', B("/a"), BYTES_EMPTY, 3);
    listener_init(&stopped, watched, 'c', B("/a"), BYTES_EMPTY, 3);
    listen(&stopped);
    listener_init(&synced, watched, 'b', B("/a"), BYTES_EMPTY, 3);
    listen(&slow);
    listen(&synced);
    watched_turn(watched);
    watch_hub_pause(watched->hub, &slow.watch);
    fixture_put(watched->store, B("/a"), B("2"));
    fixture_put(watched->store, B("/a"), B("3"));
    fixture_put(watched->store, B("/a"), B("4"));
    assert_ok(fixture_compact(watched->store, 4));
    settle_text(watched, &slow, "created 1 | ended COMPACTED 4");
    watch_hub_pause(watched->hub, &stopped.watch);
    settle_text(watched, &stopped, "created 1 | ended COMPACTED 4");
    watched_committed(watched);         /* three batches were not told: they are gone for it too */
    settle_text(watched, &synced, "created 1 | ended COMPACTED 4");
}

static void a_delete_at_the_floor_is_told_18089_19179(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    watched_put(watched, "/a", "1");
    watched_put(watched, "/b", "1");
    watched_delete(watched, "/a");
    watched_put(watched, "/b", "2");
    watched_compact(watched, 4);
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 4);
    listen(&listener);
    settle_text(watched, &listener, "created 5 | 4: delete /a");
    stop(&listener);
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 3);
    listen(&listener);
    settle_text(watched, &listener, "created 5 | ended COMPACTED 4");
}

static void a_watch_from_the_future_hears_nothing_before_20221(void **state)
{
    struct watched *watched = *state;
    struct listener listener;
    listener_init(&listener, watched, 'a', B("/a"), BYTES_EMPTY, 5);
    listen(&listener);
    watch_hub_progress(watched->hub, &listener.watch);
    watched_put(watched, "/a", "2");
    settle_text(watched, &listener, "created 1 | progress 2");
    fixture_put(watched->store, B("/a"), B("3"));
    watch_hub_reset(watched->hub, watched->store);
    watch_hub_pause(watched->hub, &listener.watch);
    watched_compact(watched, 3);
    watch_hub_resume(watched->hub, &listener.watch);
    watch_hub_progress(watched->hub, &listener.watch);
    settle_text(watched, &listener, "progress 3");
    watched_put(watched, "/a", "4");
    watched_put(watched, "/a", "5");
    watched_put(watched, "/a", "6");
    settle_text(watched, &listener, "5: put /a=5 | 6: put /a=6");
    stop(&listener);
}

/* ---- faults ---- */

/* Whatever call of the backend fails, the hub says so, and nothing that was not read is told. */
static void a_failed_read_is_the_members_end(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct backend_memory *memory = backend_memory_new(0);
        struct fault_backend fault;
        struct watched watched = {0};
        struct listener live, late;
        struct err err = {0};
        enum watch_work work = WATCH_AGAIN;
        fault_init(&fault, backend_memory_open(memory), 0);
        watched.store = fixture_open(&fault.backend);
        watched.hub = watch_hub_new(watched.store, 1);
        fixture_put(watched.store, B("/a"), B("1"));
        assert_ok(watch_hub_committed(watched.hub, &err));
        listener_init(&live, &watched, 'a', B("/a"), BYTES_EMPTY, 0);
        listener_init(&late, &watched, 'b', B("/a"), BYTES_EMPTY, 2);
        live.watch.want_previous = late.watch.want_previous = true;
        listen(&live);
        fixture_put(watched.store, B("/a"), B("2"));
        fault.fail_at = fault.calls + at;
        listen(&late);
        enum err_code code = watch_hub_committed(watched.hub, &err);
        while (!code && work != WATCH_IDLE)
            code = watch_hub_turn(watched.hub, true, &work, &err);
        bool failed = fault.failed;
        assert_int_equal(code, failed ? ERR_IO : ERR_OK);
        if (failed)
            assert_string_equal(err.text, "injected");
        else
            assert_heard(&late, "created 3 | 2: put /a=1 | 3: put /a=2 (1)");
        watch_hub_close(watched.hub);
        watch_hub_end(watched.hub);
        assert_true(live.has_ended && late.has_ended);
        watch_hub_free(watched.hub);
        store_close(watched.store);
        backend_memory_free(memory);
        buf_release(&watched.order);
        buf_release(&live.lines);
        buf_release(&late.lines);
        if (!failed)
            break;
    }
}

#define WATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH(a_watch_from_now_on_hears_what_follows),
        WATCH(a_watch_from_the_past_catches_up),
        WATCH(who_has_an_answer_does_not_hear_of_it_again),
        WATCH(filters_leave_out_and_previous_versions_come_along),
        WATCH(a_previous_version_below_the_floor_is_absent),
        WATCH(the_system_range_is_passed_over),
        WATCH(what_cannot_be_watched_is_refused),
        WATCH(everything_ends_when_the_hub_closes),
        WATCH(a_revision_is_told_in_one_call),
        WATCH(one_event_for_a_key_and_a_revision),
        WATCH(a_slow_watch_holds_its_place_alone),
        WATCH(a_watch_that_pauses_in_its_callback_goes_on_behind_it),
        WATCH(a_late_watch_that_pauses_in_its_callback_goes_on_behind_it),
        WATCH(a_paused_watch_stands_behind_what_the_hub_has_told),
        WATCH(callbacks_may_do_to_others_what_they_like),
        WATCH(a_batch_that_is_too_large_to_be_kept_is_read_back),
        WATCH(large_previous_versions_make_late_who_wants_them),
        WATCH(a_revision_that_is_too_wide_is_read_elsewhere),
        WATCH(a_watch_may_end_while_it_is_read_for),
        WATCH(a_pause_that_ends_before_the_reading_costs_nothing),
        WATCH(progress_does_not_overtake_events_15220),
        WATCH(a_reset_does_not_tell_twice_15271),
        WATCH(a_slow_watch_is_not_moved_over_a_compaction_17529),
        WATCH(a_floor_may_rise_above_what_was_told),
        WATCH(a_delete_at_the_floor_is_told_18089_19179),
        WATCH(a_watch_from_the_future_hears_nothing_before_20221),
        cmocka_unit_test(a_failed_read_is_the_members_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
