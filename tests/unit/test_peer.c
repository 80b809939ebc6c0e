/* Members that talk to each other over a good net: messages, frames, bounds, who is who. Over a bad
 * one: test_peer_faults.c. */
#include "tests/unit/peer_fixture.h"

/* --- messages --------------------------------------------------------------------------------- */

static void test_connect(void **state)
{
    (void)state;
    struct peer_status status = status_of(1, 2);
    assert_true(status.connected);
    assert_true(status.heard);
    assert_string_equal(status.address, "two");
    assert_string_equal(status.last_error, "");
    assert_int_equal(status.generation, 1002);
    assert_in_range(status.last_contact_ns, NS_PER_S, test_clock.now_ns);
    assert_int_equal(members[2].hello_from, 1);
    assert_int_equal(members[2].hello_generation, 1001);
    assert_int_equal(peers_count(members[1].peers), 1);
    assert_false(peers_find(members[1].peers, 3, &status));
    assert_int_equal(peers_next_wake_ns(members[1].peers), INT64_MAX);
}

/* Who hears the other does not wait for an answer that was lost. */
static void test_lost_connect(void **state)
{
    struct peer_status status;
    struct sim_net_faults silent = good_net;
    silent.silent = 1000;
    (void)state;
    sim_net_set_faults(sim, &silent);
    member_start(1);
    member_start(2);
    member_crash(2);
    assert_ok(peers_set(members[1].peers, 2, addresses[2]));
    run_ms(5);                  /* into the dark */
    member_start(2);
    acquaint(1, 2);
    int64_t back_ns = test_clock.now_ns;
    bool connected = false;
    while (!connected) {
        peers_send(members[2].peers, &(struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1});
        peers_flush(members[2].peers);
        run_ms(50);
        connected = peers_find(members[1].peers, 2, &status) && status.connected;
    }
    assert_true(test_clock.now_ns - back_ns <= (PEER_LOST_MS + 100) * NS_PER_MS);
}

static void test_messages_in_order(void **state)
{
    (void)state;
    for (raft_index i = 0; i < 100; i++)
        send_message(1, 2, i % 2 ? RAFT_MSG_APP : RAFT_MSG_HEARTBEAT, i);
    run_ms(10);
    assert_int_equal(members[2].heard_count, 0);    /* nothing leaves before the flush */
    flush(1);
    assert_int_equal(status_of(1, 2).queued_messages, 0);
    run_ms(10);
    assert_int_equal(members[2].heard_count, 100);
    for (raft_index i = 0; i < 100; i++)
        assert_heard(2, i, i % 2 ? RAFT_MSG_APP : RAFT_MSG_HEARTBEAT, i);
    assert_int_equal(members[2].heard[5].from, 1);
    assert_int_equal(members[1].heard_count, 0);
}

/* What a turn queues for a peer is one frame: one thing written. */
static void test_one_frame_a_turn(void **state)
{
    (void)state;
    uint64_t before = sim_net_counters(sim)->pieces;
    for (raft_index i = 0; i < 500; i++)
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
    flush(1);
    assert_int_equal(sim_net_counters(sim)->pieces, before + 1);
    flush(1);
    assert_int_equal(sim_net_counters(sim)->pieces, before + 1);
}

static void test_last_append_answer(void **state)
{
    (void)state;
    send_message(1, 2, RAFT_MSG_APP_RESP, 1);
    send_message(1, 2, RAFT_MSG_HEARTBEAT_RESP, 2);
    send_message(1, 2, RAFT_MSG_APP_RESP, 3);
    send_message(1, 2, RAFT_MSG_VOTE, 4);
    flush(1);
    send_message(1, 2, RAFT_MSG_APP_RESP, 5);
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].heard_count, 4);
    assert_heard(2, 0, RAFT_MSG_HEARTBEAT_RESP, 2);
    assert_heard(2, 1, RAFT_MSG_APP_RESP, 3);
    assert_heard(2, 2, RAFT_MSG_VOTE, 4);
    assert_heard(2, 3, RAFT_MSG_APP_RESP, 5);
}

static void send_payload(raft_id from, raft_id to, enum raft_message_type type, size_t size,
                         size_t count)
{
    struct entry entries[64];
    struct blob *payload = blob_new(size);
    memset(payload->data, 'x', size);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){.term = 1, .index = i + 1, .payload = payload};
    peers_send(members[from].peers, &(struct raft_message){.type = type,
                                                           .from = from,
                                                           .to = to,
                                                           .term = type == RAFT_MSG_PROP ? 0 : 1,
                                                           .entries = entries,
                                                           .entry_count = count});
    blob_unref(payload);
}

/* The largest entry there is, behind and before small ones. */
static void test_large(void **state)
{
    (void)state;
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);
    send_payload(1, 2, RAFT_MSG_APP, PAYLOAD_SIZE_MAX, 1);
    send_payload(1, 2, RAFT_MSG_APP, 700 * KIB, 1);
    send_payload(1, 2, RAFT_MSG_APP, 700 * KIB, 1);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 2);
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].heard_count, 5);
    assert_heard(2, 0, RAFT_MSG_HEARTBEAT, 1);
    assert_heard(2, 4, RAFT_MSG_HEARTBEAT, 2);
    assert_int_equal(status_of(1, 2).dropped, 0);
}

/* Proposals that a follower gathered travel in messages that fit. */
static void test_proposals_are_divided(void **state)
{
    (void)state;
    send_payload(1, 2, RAFT_MSG_PROP, 300 * KIB, 20);
    flush(1);
    run_ms(10);
    assert_int_equal(status_of(1, 2).dropped, 0);
    assert_int_equal(members[2].heard_count, 7);    /* 3 of 300 KiB fit 1 MiB */
}

/* --- own frames ------------------------------------------------------------------------------- */

static enum err_code send_frame(raft_id from, raft_id to, enum peer_channel channel, uint32_t kind,
                                struct bytes bytes)
{
    inside = true;
    enum err_code code = peers_send_frame(members[from].peers, to, channel, kind, bytes);
    inside = false;
    return code;
}

static void test_own_frames(void **state)
{
    (void)state;
    assert_ok(send_frame(1, 2, PEER_RAFT, PEER_KIND_OWN, BYTES_LITERAL("ask ")));
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].frame_count, 1);
    assert_int_equal(members[2].frame_kind, PEER_KIND_OWN);
    assert_int_equal(members[2].frame_from, 1);
    /* bulk connects when there is something to send */
    size_t streams = sim_net_streams(sim, 1);
    assert_ok(send_frame(1, 2, PEER_BULK, 65535, BYTES_LITERAL("chunk ")));
    assert_ok(send_frame(1, 2, PEER_BULK, 65534, BYTES_EMPTY));
    flush(1);
    run_ms(10);
    assert_int_equal(sim_net_streams(sim, 1), streams + 1);
    assert_bytes_equal(buf_bytes(&members[2].frames), BYTES_LITERAL("ask chunk "));
    assert_int_equal(members[2].frame_count, 3);
    assert_int_equal(members[2].frame_kind, 65534);
}

static void test_own_frames_bounds(void **state)
{
    (void)state;
    struct buf body = {0};
    memset(buf_extend(&body, FRAME_SIZE_MAX + 1), 'x', FRAME_SIZE_MAX + 1);
    assert_err(send_frame(1, 3, PEER_RAFT, PEER_KIND_OWN, BYTES_EMPTY), NOT_FOUND);
    assert_err(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, buf_bytes(&body)), TOO_BIG);
    assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, bytes_of(body.data, FRAME_SIZE_MAX)));
    body.size = PEER_FRAMES_BYTES_MAX - FRAME_SIZE_MAX - 2 * FRAME_HEADER_SIZE;
    assert_err(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, bytes_of(body.data, body.size + 1)),
               BUSY);
    assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, buf_bytes(&body)));
    assert_err(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY), BUSY);
    assert_ok(send_frame(1, 2, PEER_RAFT, PEER_KIND_OWN, BYTES_EMPTY)); /* the other channel */
    flush(1);
    run_ms(20);
    assert_int_equal(members[2].frame_count, 3);
    assert_int_equal(members[2].frames.size, FRAME_SIZE_MAX + body.size);
    assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY));
    buf_release(&body);
}

/* A heartbeat does not wait behind a transfer: bulk may be stuck. */
static void test_channels_are_apart(void **state)
{
    (void)state;
    struct sim_net_faults slow = good_net;
    struct buf chunk = {0};
    memset(buf_extend(&chunk, 1 * MIB), 'x', 1 * MIB);
    assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY));
    flush(1);
    run_ms(10);
    slow.unsent_bytes = 1000;
    slow.delay_min_ns = slow.delay_max_ns = 500 * NS_PER_MS;
    sim_net_set_faults(sim, &slow);
    for (int i = 0; i < 7; i++)
        assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, buf_bytes(&chunk)));
    flush(1);
    assert_ok(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY));
    sim_net_set_faults(sim, &good_net);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);
    flush(1);
    run_ms(2);
    assert_int_equal(members[2].heard_count, 1);
    assert_int_equal(members[2].frame_count, 1);
    run_ms(2000);
    assert_int_equal(members[2].frame_count, 9);
    buf_release(&chunk);
}

/* --- bounds ----------------------------------------------------------------------------------- */

/* More than fits is dropped and reported, once; what fitted arrives in order. */
static void test_full_queue(void **state)
{
    (void)state;
    for (raft_index i = 0; i < PEER_QUEUE_MESSAGES_MAX + 10; i++)
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
    assert_int_equal(status_of(1, 2).dropped, 10);
    assert_int_equal(members[1].unreachable[2], 0);
    assert_true(peers_next_wake_ns(members[1].peers) <= test_clock.now_ns);
    peers_turn(members[1].peers, test_clock.now_ns);
    assert_int_equal(members[1].unreachable[2], 1);
    assert_int_equal(members[1].snapshots_lost, 0);
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].heard_count, PEER_QUEUE_MESSAGES_MAX);
    assert_heard(2, PEER_QUEUE_MESSAGES_MAX - 1, RAFT_MSG_HEARTBEAT, PEER_QUEUE_MESSAGES_MAX - 1);
    assert_int_equal(members[1].unreachable[2], 1);
}

/* A stream that does not move is not written to without end, and goes on by itself. */
static void test_back_pressure(void **state)
{
    (void)state;
    struct sim_net_faults slow = good_net;
    slow.unsent_bytes = 100;
    slow.delay_min_ns = slow.delay_max_ns = 100 * NS_PER_MS;
    sim_net_set_faults(sim, &slow);
    for (int i = 0; i < 12; i++) {
        send_payload(1, 2, RAFT_MSG_APP, 1000 * KIB, 1);
        flush(1);
    }
    assert_in_range(status_of(1, 2).queued_messages, 4, 8);
    run_ms(2000);
    assert_int_equal(members[2].heard_count, 12);
    assert_int_equal(status_of(1, 2).queued_messages, 0);
    assert_int_equal(status_of(1, 2).dropped, 0);
}

/* No memory for a queued message: it is lost and reported, a snapshot as one. */
static void test_no_memory(void **state)
{
    (void)state;
    struct mem *mem = peers_mem(members[1].peers);
    mem->fail_at = mem->calls + 1;
    send_message(1, 2, RAFT_MSG_SNAP, 1);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 2);
    flush(1);
    run_ms(10);
    assert_int_equal(members[1].unreachable[2], 1);
    assert_int_equal(members[1].snapshots_lost, 1);
    assert_int_equal(members[2].heard_count, 1);
    assert_heard(2, 0, RAFT_MSG_HEARTBEAT, 2);
}

static void test_too_many_peers(void **state)
{
    (void)state;
    struct peers *peers = member_start(1);
    for (raft_id id = 2; id < 2 + RAFT_MEMBERS_MAX; id++)
        assert_ok(peers_set(peers, id, "somewhere"));
    assert_err(peers_set(peers, 1000, "elsewhere"), BUSY);
    assert_ok(peers_set(peers, 5, "elsewhere"));
    assert_ok(peers_set(peers, 1, "itself"));
    assert_int_equal(peers_count(peers), RAFT_MEMBERS_MAX);
    peers_forget(peers, 7);
    assert_ok(peers_set(peers, 1000, "elsewhere"));
    for (size_t i = 1; i < peers_count(peers); i++) {
        struct peer_status before, status;
        peers_status(peers, i - 1, &before);
        peers_status(peers, i, &status);
        assert_true(before.id < status.id);
    }
    peers_abandon(peers);
    members[1].peers = NULL;
    sim_net_crash(sim, 1);
}

/* --- who is who ------------------------------------------------------------------------------- */

/* A message for nobody, or for somebody only heard of, is no accident. */
static void test_unknown(void **state)
{
    (void)state;
    send_message(1, 3, RAFT_MSG_HEARTBEAT, 1);
    flush(1);
    run_ms(10);
    assert_int_equal(members[1].unreachable[3], 0);
    member_start(3);
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(10);
    send_message(3, 1, RAFT_MSG_HEARTBEAT, 5);
    flush(3);
    run_ms(10);
    assert_heard(1, 0, RAFT_MSG_HEARTBEAT, 5);      /* a stranger of our cluster is heard */
    assert_string_equal(status_of(1, 3).address, "");
    assert_false(status_of(1, 3).connected);
    assert_true(status_of(1, 3).heard);
    send_message(1, 3, RAFT_MSG_HEARTBEAT_RESP, 1);
    flush(1);
    run_ms(10);
    assert_int_equal(members[1].unreachable[3], 1);
    assert_ok(peers_set(members[1].peers, 3, "three"));
    run_ms(10);
    send_message(1, 3, RAFT_MSG_HEARTBEAT_RESP, 2);
    flush(1);
    run_ms(10);
    assert_heard(3, 0, RAFT_MSG_HEARTBEAT_RESP, 2);
    member_crash(3);
}

/* One that was not set is answered where its hello says that it listens, as long as it is connected. */
static void test_learned(void **state)
{
    (void)state;
    says_address = "three";
    member_start(3);
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(10);
    assert_string_equal(status_of(1, 3).address, "three");
    assert_true(status_of(1, 3).connected);
    send_message(1, 3, RAFT_MSG_VOTE_RESP, 7);
    flush(1);
    run_ms(10);
    assert_heard(3, 0, RAFT_MSG_VOTE_RESP, 7);
    member_crash(3);
    run_ms(10);
    assert_int_equal(peers_count(members[1].peers), 1);
    member_start(3);                                        /* says nothing by itself */
    says_address = NULL;
    run_ms(2000);
    assert_int_equal(peers_count(members[1].peers), 1);
    member_crash(3);
}

/* What was learned gives way to what is set, and a peer that was set does not change by what it says. */
static void test_learned_and_set(void **state)
{
    (void)state;
    says_address = "nowhere";
    member_start(3);
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(10);
    assert_string_equal(status_of(1, 3).address, "nowhere");
    assert_false(status_of(1, 3).connected);
    assert_ok(peers_set(members[1].peers, 3, "three"));
    run_ms(10);
    assert_true(status_of(1, 3).connected);
    member_crash(3);
    run_ms(600);
    assert_int_equal(peers_count(members[1].peers), 2);
    member_start(3);
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(600);
    says_address = NULL;
    assert_string_equal(status_of(1, 3).address, "three");
    assert_true(status_of(1, 3).connected);
    peers_remove(members[1].peers, 3);
    member_crash(3);
}

/* It goes with both its connections when it is forgotten, or removed, or everything ends. */
static void test_learned_and_removed(void **state)
{
    (void)state;
    says_address = "three";
    member_start(3);
    says_address = NULL;
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(10);
    assert_true(status_of(1, 3).connected);
    peers_forget(members[1].peers, 3);
    assert_int_equal(peers_count(members[1].peers), 1);
    run_ms(600);
    assert_true(status_of(1, 3).connected);                 /* it came back */
    peers_remove(members[1].peers, 3);
    assert_int_equal(peers_count(members[1].peers), 1);
    run_ms(10);
    assert_true(members[3].refused > 0);
    member_crash(3);
}

/* One that was only heard of is forgotten when it goes. */
static void test_stranger_goes(void **state)
{
    (void)state;
    member_start(3);
    assert_ok(peers_set(members[3].peers, 1, "one"));
    run_ms(10);
    assert_int_equal(peers_count(members[1].peers), 2);
    member_crash(3);
    run_ms(10);
    assert_int_equal(members[1].lost[3][PEER_RAFT], 1);
    assert_int_equal(peers_count(members[1].peers), 1);
}

static void test_removed(void **state)
{
    (void)state;
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);      /* still leaves */
    inside = true;
    peers_remove(members[1].peers, 2);
    peers_remove(members[1].peers, 2);
    inside = false;
    run_ms(10);
    assert_heard(2, 0, RAFT_MSG_HEARTBEAT, 1);
    assert_int_equal(members[2].heard_count, 1);
    assert_int_equal(peers_count(members[1].peers), 0);
    assert_int_equal(members[1].lost[2][PEER_RAFT], 0);
    /* it is told, and told again when it tries again */
    assert_true(members[2].refused >= 1);
    assert_int_equal(members[2].why, PEER_REFUSED_REMOVED);
    assert_string_equal(members[2].refused_text,
                        "member 0000000000000002 was removed from cluster 00000000000000c1");
    assert_string_equal(status_of(2, 1).last_error, members[2].refused_text);
    size_t refused = members[2].refused;
    run_ms(2000);
    assert_in_range(members[2].refused, refused + 3, refused + 20);
    /* never anything to it or from it */
    assert_ok(peers_set(members[1].peers, 2, "two"));
    assert_int_equal(peers_count(members[1].peers), 0);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 2);
    assert_err(send_frame(1, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY), NOT_FOUND);
    send_message(2, 1, RAFT_MSG_HEARTBEAT, 3);
    flush(1);
    flush(2);
    run_ms(2000);
    assert_int_equal(members[2].heard_count, 1);
    assert_int_equal(members[1].heard_count, 0);
}

/* Ids that were removed, in any order, and the peers that stay. */
static void test_many_removed(void **state)
{
    (void)state;
    static const raft_id ids[] = {50, 30, 90, 40, 10, 80};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        peers_remove(members[1].peers, ids[i]);
    for (raft_id id = 5; id <= 95; id += 5)
        assert_ok(peers_set(members[1].peers, id, "somewhere"));
    for (raft_id id = 5; id <= 95; id += 5) {
        struct peer_status status;
        bool removed = false;
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
            removed |= ids[i] == id;
        assert_int_equal(peers_find(members[1].peers, id, &status), !removed);
    }
    assert_true(status_of(1, 2).connected);
}

/* From inside the handler of its own message, with more messages in the frame. */
static void test_forgotten_while_it_speaks(void **state)
{
    (void)state;
    members[2].forget_sender = true;
    for (raft_index i = 0; i < 5; i++)
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
    flush(1);
    run_ms(1);
    assert_int_equal(members[2].heard_count, 1);
    assert_int_equal(peers_count(members[2].peers), 0);
}

static void test_forgotten(void **state)
{
    (void)state;
    peers_forget(members[1].peers, 2);
    peers_forget(members[1].peers, 3);
    assert_int_equal(peers_count(members[1].peers), 0);
    run_ms(500);
    assert_int_equal(members[2].refused, 0);
    assert_true(status_of(1, 2).heard);     /* it came back */
    acquaint(1, 2);
    run_ms(10);
    assert_true(status_of(1, 2).connected);
}

static void test_new_address(void **state)
{
    (void)state;
    struct err err;
    assert_ok(peers_set(members[1].peers, 2, "two"));       /* nothing changes */
    assert_true(status_of(1, 2).connected);
    member_crash(2);
    members[2].peers = peers_of(&members[2], CLUSTER, 2);
    assert_ok(peers_listen(members[2].peers, "elsewhere", &err));
    assert_ok(peers_set(members[1].peers, 2, "elsewhere"));
    run_ms(10);
    assert_true(status_of(1, 2).connected);
    assert_ok(peers_set(members[1].peers, 2, "nowhere"));   /* a connection to the old one ends */
    run_ms(10);
    assert_false(status_of(1, 2).connected);
    assert_ok(peers_set(members[1].peers, 2, "elsewhere"));
    run_ms(10);
    assert_true(status_of(1, 2).connected);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].heard_count, 1);
}

static void test_listen_errors(void **state)
{
    (void)state;
    struct err err;
    members[3].id = 3;
    members[3].peers = peers_of(&members[3], CLUSTER, 3);
    assert_err(peers_listen(members[3].peers, "two", &err), IO);
    assert_string_equal(err.text, "'two' is in use");
    assert_err(peers_listen(members[3].peers, "", &err), INVALID);
}

/* An address that is none is a failed try, not the end. */
static void test_bad_address(void **state)
{
    (void)state;
    assert_ok(peers_set(members[1].peers, 3, ""));
    run_ms(1000);
    assert_string_equal(status_of(1, 3).last_error, "an empty address");
    assert_ok(peers_set(members[1].peers, 3, "nobody"));
    run_ms(1000);
    assert_string_equal(status_of(1, 3).last_error, "'nobody': refused");
}

static void test_close(void **state)
{
    (void)state;
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);
    flush(1);
    inside = true;
    peers_close(members[1].peers, on_peers_closed, &members[1]);
    inside = false;
    run_ms(10);
    assert_int_equal(members[1].closed, 1);
    assert_int_equal(members[2].heard_count, 1);    /* what was written is still heard */
    assert_int_equal(members[2].lost[1][PEER_RAFT], 1);
    /* one that never had a connection closes too */
    members[3].id = 3;
    members[3].peers = peers_of(&members[3], CLUSTER, 3);
    peers_close(members[3].peers, on_peers_closed, &members[3]);
    assert_int_equal(members[3].closed, 0);
    run_ms(0);
    assert_int_equal(members[3].closed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connect),
        cmocka_unit_test_setup_teardown(test_lost_connect, setup_empty, teardown_all),
        TEST(test_messages_in_order),
        TEST(test_one_frame_a_turn),
        TEST(test_last_append_answer),
        TEST(test_large),
        TEST(test_proposals_are_divided),
        TEST(test_own_frames),
        TEST(test_own_frames_bounds),
        TEST(test_channels_are_apart),
        TEST(test_full_queue),
        TEST(test_back_pressure),
        TEST(test_no_memory),
        cmocka_unit_test_setup_teardown(test_too_many_peers, setup_empty, teardown_all),
        TEST(test_unknown),
        TEST(test_learned),
        TEST(test_learned_and_set),
        TEST(test_learned_and_removed),
        TEST(test_stranger_goes),
        TEST(test_removed),
        TEST(test_many_removed),
        TEST(test_forgotten_while_it_speaks),
        TEST(test_forgotten),
        TEST(test_new_address),
        TEST(test_listen_errors),
        TEST(test_bad_address),
        TEST(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
