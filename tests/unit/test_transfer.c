/* cluster/transfer: who is waited for, and for how long. That states arrive is the simulator's. */
#include "cluster/transfer_internal.h"
#include "tests/unit/node_fixture.h"

#define SENDER 8
#define RECEIVER 9

static size_t count_of(struct fixture *fixture, const char *line)
{
    size_t count = 0;
    for (const char *at = (char *)fixture->lines.data; (at = strstr(at, line)); at++)
        count++;
    return count;
}

static struct buf frame_of(uint64_t id, struct home_position at)
{
    struct buf frame = {0};
    buf_append_le64(&frame, id);
    buf_append_le32(&frame, (uint32_t)at.file);
    buf_append_le64(&frame, at.offset);
    return frame;
}

/* ---- the sender ---- */

static void hear_ask(struct fixture *fixture, uint32_t size)
{
    struct node *node = fixture->node;
    struct buf frame = frame_of(node->transfer.out.copy->manifest.id, (struct home_position){0});
    buf_append_le32(&frame, size);
    transfer_on_frame(node, RECEIVER, TRANSFER_KIND_ASK, buf_bytes(&frame));
    buf_release(&frame);
    settle(fixture);
}

/* As if its MsgSnap had gone out: there are no peers here. */
static void begin_to_send(struct fixture *fixture)
{
    struct transfer_out *out = &fixture->node->transfer.out;
    struct raft_snapshot snapshot;
    assert_err(transfer_snapshot(fixture->node, &snapshot), BUSY);
    settle(fixture);
    assert_ok(transfer_snapshot(fixture->node, &snapshot));
    blob_unref(snapshot.mark.configuration);
    blob_unref(snapshot.data);
    out->to = RECEIVER;
    out->state = OUT_SENDING;
    out->since_ns = fixture->clock.now_ns;
}

static void whoever_works_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    struct transfer_out *out = &fixture->node->transfer.out;
    put_now(fixture, "/a", "1");
    begin_to_send(fixture);
    for (int second = 0; second < 60; second += 4) {
        sleep_through(fixture, 4 * NS_PER_S);
        assert_int_equal(out->state, OUT_SENDING);
        hear_ask(fixture, 0);
        assert_int_equal(out->request_count, 0);
    }
    hear_ask(fixture, TRANSFER_CHUNK_BYTES + 1);        /* is none */
    sleep_through(fixture, TRANSFER_PATIENCE_NS);
    assert_int_equal(out->state, OUT_IDLE);
}

/* ---- the receiver ---- */

/* What it has to do stays undone. */
static size_t signs_within(struct fixture *fixture, int64_t ns)
{
    struct node *node = fixture->node;
    int64_t end = fixture->clock.now_ns + ns;
    buf_clear(&fixture->lines);
    fixture->tracing = true;
    while (fixture->clock.now_ns < end) {
        int64_t next = node_next_wake_ns(node);
        assert_true(next > fixture->clock.now_ns);
        sim_clock_advance(&fixture->clock, (next < end ? next : end) - fixture->clock.now_ns);
        while (node_turn(node))
            ;
    }
    fixture->tracing = false;
    buf_append_u8(&fixture->lines, 0);
    return count_of(fixture, "still at work");
}

static void hear_file(struct fixture *fixture, struct home_copy *copy, size_t file)
{
    struct home_position at = {.file = file};
    size_t size = (size_t)copy->manifest.files[file].size;
    struct buf frame = frame_of(copy->manifest.id, at);
    assert_true(size <= TRANSFER_CHUNK_BYTES);
    assert_ok(home_copy_read(copy, file, 0, buf_extend(&frame, size), size, NULL));
    transfer_on_frame(fixture->node, SENDER, TRANSFER_KIND_CHUNK, buf_bytes(&frame));
    buf_release(&frame);
}

static void be_offered(struct fixture *fixture, const struct home_copy *copy)
{
    struct buf manifest = {0};
    struct raft_snapshot snapshot = {.mark = {.index = 1000, .term = 1}};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = SENDER, .to = MEMBER_ID, .term = 1, .snapshot = &snapshot};
    home_manifest_encode(&copy->manifest, &manifest);
    snapshot.data = blob_copy(buf_bytes(&manifest));
    assert_ok(transfer_offered(fixture->node, &message));
    blob_unref(snapshot.data);
    buf_release(&manifest);
}

/* Each piece of work hangs, and whoever sends hears of it; not for ever. */
static void whoever_works_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct transfer_in *in = &fixture->node->transfer.in;
    struct store_options options = {.cluster_id = 1, .member_id = SENDER, .generation = 3, .create = true};
    struct home_memory *memory = home_memory_new(0);
    struct home *home = home_memory_door(memory);
    struct store *store = NULL;
    struct home_copy *copy = NULL;
    assert_ok(home_open(home, true, &options.backend, NULL));
    assert_ok(store_open(&store, &options, NULL));
    assert_ok(store_checkpoint(store, NULL));
    assert_ok(home_copy_open(home, options.backend, &copy, NULL));

    be_offered(fixture, copy);
    hear_file(fixture, copy, 0);        /* of an earlier try: there is no place for it yet */
    assert_int_equal(in->arrived_count, 0);
    assert_int_equal(signs_within(fixture, 20 * NS_PER_S), 20);
    settle(fixture);
    for (size_t file = 0; file < copy->manifest.count; file++) {
        assert_int_equal(in->state, IN_FETCHING);
        assert_int_equal(in->written.file, file);
        hear_file(fixture, copy, file);
        assert_true(in->work.in_flight);
        assert_int_equal(signs_within(fixture, 20 * NS_PER_S), 20);
        assert_true(sim_worker_run_one(&fixture->worker, WORKER_BULK));
        while (node_turn(fixture->node))
            ;
    }
    assert_int_equal(in->state, IN_FINISHING);
    assert_int_equal(signs_within(fixture, TRANSFER_WORK_NS - NS_PER_S), TRANSFER_WORK_NS / NS_PER_S - 1);
    assert_int_equal(signs_within(fixture, TRANSFER_WORK_NS), 0);
    settle(fixture);
    assert_int_equal(in->state, IN_IDLE);

    home_copy_close(copy);
    store_close(store);
    home_memory_free(memory);
}

/* ---- without a store ---- */

/* A learner's may be the only one that reaches to the log. */
static void every_member_is_asked_for_a_store(void **state)
{
    struct fixture *fixture = *state;
    struct raft_conf_state *configuration = &fixture->node->membership.configuration;
    raft_id_set_remove(&configuration->voters, 9);
    assert_true(raft_id_set_add(&configuration->learners, 9));
    fixture->node->transfer.lacks_store = true;
    fixture->tracing = true;
    sleep_through(fixture, TRANSFER_LEADERLESS_NS + 8 * TRANSFER_RETRY_NS);
    fixture->tracing = false;
    fixture->node->transfer.lacks_store = false;
    buf_append_u8(&fixture->lines, 0);
    assert_true(count_of(fixture, "store wanted of=8\n") >= 2);
    assert_true(count_of(fixture, "store wanted of=9\n") >= 2);
    assert_int_equal(count_of(fixture, "store wanted of=7\n"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMBER(whoever_works_is_waited_for),
        MEMBER(whoever_works_says_so),
        cmocka_unit_test_setup_teardown(every_member_is_asked_for_a_store, setup_of_three, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
