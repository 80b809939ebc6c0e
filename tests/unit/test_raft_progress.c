/* What a leader knows of a member: where the next entry is sent from, which answers are stale, and
 * the window of messages that are not answered. */
#include "tests/unit/raft_fixture.h"

static struct raft *core(struct fixture *fixture, size_t messages, uint64_t bytes)
{
    fixture->config.max_inflight_messages = messages;
    fixture->config.max_inflight_bytes = bytes;
    fixture->config.max_size_per_message = bytes;
    start(fixture);
    return fixture->raft;
}

static void test_window_of_messages(void **state)
{
    struct fixture *fixture = *state;
    struct raft *raft = core(fixture, 10, 0);
    struct inflights window = {0};
    /* Round and round: it grows while it wraps, and keeps the order. */
    raft_index sent = 0, answered = 0;
    for (size_t round = 0; round < 5; round++) {
        while (!inflights_full(raft, &window))
            inflights_add(raft, &window, ++sent, 3);
        assert_int_equal(window.count, 10);
        assert_int_equal(window.bytes, 30);
        answered = sent - 4;
        inflights_free_to(&window, answered);
        assert_int_equal(window.count, 4);
        assert_int_equal(window.bytes, 12);
        inflights_free_to(&window, answered - 1); /* an older answer frees nothing */
        assert_int_equal(window.count, 4);
        assert_int_equal(window.ring[window.start].index, answered + 1);
    }
    inflights_free_to(&window, sent + 100);
    assert_int_equal(window.count, 0);
    assert_int_equal(window.bytes, 0);
    mem_free(&fixture->mem, window.ring);
}

/* It grows while it has wrapped. */
static void test_window_grows_in_the_middle(void **state)
{
    struct fixture *fixture = *state;
    struct raft *raft = core(fixture, 100, 0);
    struct inflights window = {0};
    for (raft_index index = 1; index <= 8; index++)
        inflights_add(raft, &window, index, index);
    inflights_free_to(&window, 5);
    for (raft_index index = 9; index <= 20; index++)
        inflights_add(raft, &window, index, index);
    assert_int_equal(window.count, 15);
    for (size_t i = 0; i < window.count; i++)
        assert_int_equal(window.ring[(window.start + i) % window.capacity].index, 6 + i);
    inflights_reset(&window);
    assert_int_equal(window.count, 0);
    mem_free(&fixture->mem, window.ring);
}

/* One message may go beyond the bound, then it is full. */
static void test_window_of_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct raft *raft = core(fixture, 10, 100);
    struct inflights window = {0};
    inflights_add(raft, &window, 1, 99);
    assert_false(inflights_full(raft, &window));
    inflights_add(raft, &window, 2, 50);
    assert_true(inflights_full(raft, &window));
    inflights_free_to(&window, 1);
    assert_false(inflights_full(raft, &window));
    mem_free(&fixture->mem, window.ring);
}

/* Answers come late, and twice. */
static void test_stale_rejections(void **state)
{
    (void)state;
    struct progress progress = {.match = 5, .next = 10, .state = RAFT_REPLICATE, .sent_commit = 9};
    assert_false(progress_maybe_decrease(&progress, 5, 3)); /* it has acknowledged that since */
    assert_false(progress_maybe_decrease(&progress, 4, 3));
    assert_int_equal(progress.next, 10);
    assert_true(progress_maybe_decrease(&progress, 9, 7)); /* back to what is sure */
    assert_int_equal(progress.next, 6);
    assert_int_equal(progress.sent_commit, 5);
    progress = (struct progress){.match = 5, .next = 10, .flow_paused = true};
    assert_false(progress_maybe_decrease(&progress, 8, 7)); /* the probe is about 9 */
    assert_true(progress.flow_paused);
    assert_true(progress_maybe_decrease(&progress, 9, 7));
    assert_int_equal(progress.next, 8);
    assert_false(progress.flow_paused);
    assert_true(progress_maybe_decrease(&progress, 7, 20)); /* one back at least */
    assert_int_equal(progress.next, 7);
    assert_true(progress_maybe_decrease(&progress, 6, 1)); /* never below what matches */
    assert_int_equal(progress.next, 6);
}

static void test_acknowledgements(void **state)
{
    (void)state;
    struct progress progress = {.match = 5, .next = 10, .flow_paused = true};
    assert_false(progress_maybe_update(&progress, 5));
    assert_true(progress.flow_paused);
    assert_true(progress_maybe_update(&progress, 7));
    assert_int_equal(progress.next, 10); /* more is under way */
    assert_false(progress.flow_paused);
    assert_true(progress_maybe_update(&progress, 12));
    assert_int_equal(progress.next, 13);
}

static void test_snapshot_and_back(void **state)
{
    (void)state;
    struct progress progress = {.match = 3, .next = 4};
    progress_become_snapshot(&progress, 9);
    assert_true(progress_is_paused(&progress));
    assert_int_equal(progress.next, 10);
    progress_become_probe(&progress);
    assert_int_equal(progress.next, 10); /* it is taken to have arrived */
    assert_false(progress_is_paused(&progress));
    progress_become_snapshot(&progress, 9);
    progress.pending_snapshot = 0; /* it has not */
    progress_become_probe(&progress);
    assert_int_equal(progress.next, 4);
    progress_become_replicate(&progress);
    assert_int_equal(progress.next, 4);
}

/* A rejection that comes after a later acknowledgement, by way of the leader: nothing is sent
 * again, and sending ahead goes on. */
static void test_rejection_overtaken(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 1};
    struct raft_message reject = {.type = RAFT_MSG_APP_RESP,
                                  .from = 2,
                                  .to = 1,
                                  .term = 1,
                                  .index = 1,
                                  .reject = true,
                                  .reject_hint = 0};
    struct raft_ready ready;
    assert_ok(raft_step(fixture->raft, &ack));
    settle(fixture);
    assert_ok(raft_step(fixture->raft, &reject));
    assert_false(raft_has_ready(fixture->raft));
    assert_int_equal(raft_progress(fixture->raft, 2)->state, RAFT_REPLICATE);
    reject.index = 2; /* an answer to what was sent after it */
    assert_ok(raft_step(fixture->raft, &reject));
    assert_int_equal(raft_progress(fixture->raft, 2)->state, RAFT_PROBE);
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.message_count, 1);
    assert_int_equal(ready.messages[0].index, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_window_of_messages),
        TEST(test_window_grows_in_the_middle),
        TEST(test_window_of_bytes),
        cmocka_unit_test(test_stale_rejections),
        cmocka_unit_test(test_acknowledgements),
        cmocka_unit_test(test_snapshot_and_back),
        TEST(test_rejection_overtaken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
