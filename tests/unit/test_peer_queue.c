/* Messages that wait for a peer: order, the one append answer, bounds, allocation that fails. */
#include "tests/test.h"

#include "cluster/frame.h"
#include "cluster/peer_queue.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"

static struct mem mem;
static struct peer_queue queue;

static int setup(void **state)
{
    (void)state;
    mem = (struct mem){0};
    peer_queue_init(&queue, &mem);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_queue_validate(&queue);
    peer_queue_release(&queue);
    assert_int_equal(mem.live, 0);
    return 0;
}

static bool push(enum raft_message_type type, raft_index index)
{
    struct raft_message message = {.type = type, .to = 2, .from = 1, .term = 1, .index = index};
    bool pushed = peer_queue_push(&queue, &message);
    peer_queue_validate(&queue);
    return pushed;
}

static void expect(enum raft_message_type type, raft_index index)
{
    const struct queued_message *front = peer_queue_front(&queue);
    assert_non_null(front);
    assert_int_equal(front->message->type, type);
    assert_int_equal(front->message->index, index);
    assert_int_equal(front->size, frame_message_size(front->message));
    peer_queue_pop(&queue);
    peer_queue_validate(&queue);
}

static void test_order(void **state)
{
    (void)state;
    for (raft_index i = 1; i <= 50; i++)
        assert_true(push(i % 3 ? RAFT_MSG_APP : RAFT_MSG_HEARTBEAT, i));
    for (raft_index i = 1; i <= 50; i++)
        expect(i % 3 ? RAFT_MSG_APP : RAFT_MSG_HEARTBEAT, i);
    assert_null(peer_queue_front(&queue));
}

/* The last answer of a batch alone; what stands around it keeps its order. */
static void test_last_answer(void **state)
{
    (void)state;
    assert_true(push(RAFT_MSG_APP_RESP, 1));
    assert_true(push(RAFT_MSG_APP_RESP, 2));
    assert_true(push(RAFT_MSG_HEARTBEAT_RESP, 3));
    assert_true(push(RAFT_MSG_APP_RESP, 4));
    assert_true(push(RAFT_MSG_VOTE_RESP, 5));
    assert_true(push(RAFT_MSG_APP_RESP, 6));
    assert_true(push(RAFT_MSG_HEARTBEAT_RESP, 7));
    assert_int_equal(queue.count, 4);
    expect(RAFT_MSG_HEARTBEAT_RESP, 3);
    expect(RAFT_MSG_VOTE_RESP, 5);
    expect(RAFT_MSG_APP_RESP, 6);
    /* a new batch begins when the answer has left */
    assert_true(push(RAFT_MSG_APP_RESP, 8));
    expect(RAFT_MSG_HEARTBEAT_RESP, 7);
    expect(RAFT_MSG_APP_RESP, 8);
    assert_null(peer_queue_front(&queue));
}

static void test_full_by_count(void **state)
{
    (void)state;
    for (raft_index i = 0; i < PEER_QUEUE_MESSAGES_MAX; i++)
        assert_true(push(RAFT_MSG_HEARTBEAT, i));
    assert_false(push(RAFT_MSG_HEARTBEAT, 9));
    expect(RAFT_MSG_HEARTBEAT, 0);
    assert_true(push(RAFT_MSG_HEARTBEAT, 9));
    assert_false(push(RAFT_MSG_HEARTBEAT, 10));
}

static bool push_payload(size_t size)
{
    struct entry entry = {.term = 1, .index = 1, .payload = blob_new(size)};
    struct raft_message message = {
        .type = RAFT_MSG_APP, .to = 2, .from = 1, .term = 1, .entries = &entry, .entry_count = 1};
    memset(entry.payload->data, 'x', size);
    bool pushed = peer_queue_push(&queue, &message);
    /* a reference, no copy */
    assert_int_equal(atomic_load(&entry.payload->references), pushed ? 2 : 1);
    blob_unref(entry.payload);
    return pushed;
}

static void test_full_by_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < PEER_QUEUE_BYTES_MAX / (2 * MIB) - 1; i++)
        assert_true(push_payload(2 * MIB));
    assert_false(push_payload(2 * MIB));
    assert_true(push_payload(1 * MIB));
    assert_true(queue.bytes <= PEER_QUEUE_BYTES_MAX);
    peer_queue_pop(&queue);
    assert_true(push_payload(2 * MIB));
}

static void test_too_large_for_a_frame(void **state)
{
    (void)state;
    assert_false(push_payload(FRAME_SIZE_MAX));
    assert_int_equal(queue.count, 0);
}

static void test_batch(void **state)
{
    (void)state;
    size_t count;
    assert_int_equal(peer_queue_batch(&queue, &count), 0);
    assert_int_equal(count, 0);
    assert_true(push_payload(2 * MIB)); /* one may be larger than a batch */
    assert_true(push_payload(400 * KIB));
    assert_true(push_payload(400 * KIB));
    assert_true(push_payload(400 * KIB));
    assert_true(peer_queue_batch(&queue, &count) > 2 * MIB);
    assert_int_equal(count, 1);
    peer_queue_pop(&queue);
    assert_in_range(peer_queue_batch(&queue, &count), 800 * KIB, FRAME_MESSAGES_BYTES);
    assert_int_equal(count, 2);
}

static void test_clear_tells_of_snapshots(void **state)
{
    (void)state;
    bool snapshot = true;
    assert_int_equal(peer_queue_clear(&queue, &snapshot), 0);
    assert_false(snapshot);
    assert_true(push(RAFT_MSG_HEARTBEAT, 1));
    assert_true(push(RAFT_MSG_SNAP, 2));
    assert_int_equal(peer_queue_clear(&queue, &snapshot), 2);
    assert_true(snapshot);
    assert_null(peer_queue_front(&queue));
}

/* No memory is a full queue: the message is lost, what waits is not touched. */
static void test_no_memory(void **state)
{
    (void)state;
    assert_true(push(RAFT_MSG_APP, 1));
    assert_true(push(RAFT_MSG_APP_RESP, 2));
    mem.fail_at = mem.calls + 1;
    assert_false(push(RAFT_MSG_APP_RESP, 3));
    expect(RAFT_MSG_APP, 1);
    expect(RAFT_MSG_APP_RESP, 2);
}

/* Against a plain list, while it is filled and emptied at random. */
static void test_random(void **state)
{
    (void)state;
    struct { enum raft_message_type type; raft_index index; } model[400];
    size_t count = 0;
    struct rand rand;
    rand_init(&rand, 11);
    for (raft_index i = 1; i < 20000; i++) {
        if (count < 300 && rand_chance(&rand, 51, 100)) {
            bool answer = rand_chance(&rand, 1, 3);
            enum raft_message_type type = answer ? RAFT_MSG_APP_RESP : RAFT_MSG_APP;
            for (size_t j = 0; answer && j < count; j++)
                if (model[j].type == RAFT_MSG_APP_RESP) {
                    memmove(&model[j], &model[j + 1], (count - j - 1) * sizeof(model[0]));
                    count--;
                }
            model[count].type = type;
            model[count++].index = i;
            assert_true(push(type, i));
        } else if (count) {
            expect(model[0].type, model[0].index);
            memmove(&model[0], &model[1], --count * sizeof(model[0]));
        }
        assert_int_equal(queue.count, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_by_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_by_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_for_a_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clear_tells_of_snapshots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
