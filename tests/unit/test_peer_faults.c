/* What members do when the other side, or the net, is not as it should be: frames that are wrong,
 * hellos of others, connections that break, and 10,000 messages through all of it. */
#include "tests/unit/peer_fixture.h"

#include "proto/base/crc32c.h"
#include "proto/base/rand.h"

#define STRANGER 9      /* a host that speaks by hand */

static uint64_t stranger_host = STRANGER;

/* --- a stranger ------------------------------------------------------------------------------- */

static struct {
    struct net_stream *stream;      /* NULL: ended */
    struct net_listener *listener;
    struct frame_reader reader;
    uint32_t kind;                  /* of the last frame */
    struct frame_hello hello;
    uint32_t why;
    char text[ERR_TEXT_SIZE];
    size_t frames, accepted;
} stranger;

static void stranger_connected(void *context)
{
    (void)context;
}

static void stranger_read(void *context, struct bytes from)
{
    (void)context;
    for (bool whole = true; whole;) {
        struct frame_header header;
        struct bytes body;
        assert_ok(frame_next(&stranger.reader, &from, &whole, &header, &body, NULL));
        if (!whole)
            return;
        stranger.frames++;
        stranger.kind = header.kind;
        if (header.kind == FRAME_HELLO)
            assert_ok(frame_hello_decode(body, &stranger.hello));
        else if (header.kind == FRAME_REFUSED)
            assert_ok(frame_refused_decode(body, &stranger.why, stranger.text));
    }
}

static void stranger_closed(void *context, const struct err *why)
{
    (void)context;
    (void)why;
    stranger.stream = NULL;
}

static const struct net_events stranger_events = {
    .connected = stranger_connected, .read = stranger_read, .closed = stranger_closed};

static void stranger_write(struct buf *bytes)
{
    assert_non_null(stranger.stream);
    assert_ok(net_write(sim_net_host(sim, stranger_host), stranger.stream, bytes));
    run_ms(5);
}

static const struct frame_hello good_hello = {
    .version = FRAME_VERSION, .cluster_id = CLUSTER, .from = 2, .to = 1, .generation = 1002};

/* Says hello to member 1. */
static void stranger_hello(const struct frame_hello *hello)
{
    const struct net_handler handler = {&stranger_events, NULL};
    struct buf buf = {0};
    frame_reader_release(&stranger.reader);
    memset(&stranger, 0, sizeof(stranger));
    assert_ok(net_connect(sim_net_host(sim, stranger_host), "one", &handler, &stranger.stream, NULL));
    frame_hello_encode(hello, &buf);
    stranger_write(&buf);
}

static void stranger_end(void)
{
    if (stranger.stream)
        net_close(sim_net_host(sim, stranger_host), stranger.stream);
    run_ms(5);
    assert_null(stranger.stream);
    frame_reader_release(&stranger.reader);
}

static void expect_refusal(enum peer_refusal why, const char *text)
{
    assert_int_equal(stranger.kind, FRAME_REFUSED);
    assert_int_equal(stranger.why, why);
    assert_string_equal(stranger.text, text);
    run_ms(5);
    assert_null(stranger.stream);   /* and closed */
}

static int setup_one(void **state)
{
    setup_empty(state);
    member_start(1);
    return 0;
}

static int teardown_stranger(void **state)
{
    frame_reader_release(&stranger.reader);
    memset(&stranger, 0, sizeof(stranger));
    return teardown_all(state);
}

/* --- hellos that are wrong -------------------------------------------------------------------- */

static void refuse_hello(struct frame_hello hello, enum peer_refusal why, const char *text)
{
    stranger_hello(&hello);
    expect_refusal(why, text);
}

static void test_wrong_hello(void **state)
{
    (void)state;
    struct frame_hello hello = good_hello;
    peers_remove(members[1].peers, 77);

    hello.version = 2;
    refuse_hello(hello, PEER_REFUSED_VERSION,
                 "member 0000000000000002 speaks version 2 of the protocol, member "
                 "0000000000000001 version 1");
    hello = good_hello;
    hello.cluster_id = 0xdd;
    refuse_hello(hello, PEER_REFUSED_CLUSTER,
                 "member 0000000000000002 belongs to cluster 00000000000000dd, member "
                 "0000000000000001 to cluster 00000000000000c1");
    hello = good_hello;
    hello.to = 3;
    refuse_hello(hello, PEER_REFUSED_TO, "this is member 0000000000000001, not 0000000000000003");
    hello = good_hello;
    hello.from = 1;
    refuse_hello(hello, PEER_REFUSED_FROM,
                 "no peer of member 0000000000000001 can have the id 0000000000000001");
    hello.from = 0;
    refuse_hello(hello, PEER_REFUSED_FROM,
                 "no peer of member 0000000000000001 can have the id 0000000000000000");
    hello.from = RAFT_APPEND_THREAD;
    refuse_hello(hello, PEER_REFUSED_FROM,
                 "no peer of member 0000000000000001 can have the id ffffffffffffffff");
    hello.from = RAFT_APPLY_THREAD;
    refuse_hello(hello, PEER_REFUSED_FROM,
                 "no peer of member 0000000000000001 can have the id fffffffffffffffe");
    hello.from = 77;
    refuse_hello(hello, PEER_REFUSED_REMOVED,
                 "member 000000000000004d was removed from cluster 00000000000000c1");
    hello = good_hello;
    hello.channel = PEER_CHANNEL_COUNT;
    refuse_hello(hello, PEER_REFUSED_FRAME, "a hello that contradicts itself");
    members[1].hello_error = "this cluster exists";
    refuse_hello(good_hello, PEER_REFUSED_MEMBER, "this cluster exists");
    members[1].hello_code = ERR_NO_SPACE;
    refuse_hello(good_hello, PEER_REFUSED_NOT_NOW, "this cluster exists");
    members[1].hello_code = ERR_OK;
    assert_int_equal(peers_count(members[1].peers), 0);
    assert_int_equal(members[1].lost[2][PEER_RAFT], 0);

    members[1].hello_error = NULL;
    hello = good_hello;
    hello.features = UINT64_MAX;    /* of later versions: known to nobody here */
    stranger_hello(&hello);
    assert_int_equal(stranger.kind, FRAME_HELLO);
    assert_int_equal(stranger.hello.from, 1);
    assert_int_equal(stranger.hello.to, 2);
    assert_int_equal(stranger.hello.generation, 1001);
    stranger_end();
}

/* The ids of the header are those of the hello. */
static void test_hello_against_its_header(void **state)
{
    (void)state;
    for (int field = 0; field < 3; field++) {
        struct frame_header header = {
            .kind = FRAME_HELLO, .cluster_id = CLUSTER, .from = 2, .to = 1};
        struct buf body = {0}, buf = {0};
        *(field == 0 ? &header.cluster_id : field == 1 ? &header.from : &header.to) = 55;
        stranger_hello(&(struct frame_hello){.version = 0});
        run_ms(5);
        const struct net_handler handler = {&stranger_events, NULL};
        assert_ok(net_connect(sim_net_host(sim, stranger_host), "one", &handler, &stranger.stream,
                              NULL));
        frame_hello_encode(&good_hello, &body);
        frame_begin(&buf);
        buf_append(&buf, bytes_skip(buf_bytes(&body), FRAME_HEADER_SIZE));
        frame_end(&buf, 0, &header);
        stranger_write(&buf);
        expect_refusal(PEER_REFUSED_FRAME, "a hello that contradicts itself");
        buf_release(&body);
    }
}

/* Who says nothing, or something else, is not waited for. */
static void test_no_hello(void **state)
{
    (void)state;
    const struct net_handler handler = {&stranger_events, NULL};
    struct buf buf = {0};
    struct net *net = sim_net_host(sim, stranger_host);
    assert_ok(net_connect(net, "one", &handler, &stranger.stream, NULL));
    run_ms(PEER_HELLO_MAX_MS - 5);
    assert_non_null(stranger.stream);
    run_ms(10);
    assert_null(stranger.stream);
    assert_int_equal(stranger.frames, 0);

    assert_ok(net_connect(net, "one", &handler, &stranger.stream, NULL));
    buf_append(&buf, BYTES_LITERAL("GET / HTTP/1.1\r\nHost: one.example.org\r\n\r\n"));
    stranger_write(&buf);
    expect_refusal(PEER_REFUSED_FRAME, "a frame whose header's checksum is wrong");
}

/* --- frames that are wrong -------------------------------------------------------------------- */

static const struct frame_header good_header = {
    .kind = FRAME_MESSAGES, .cluster_id = CLUSTER, .from = 2, .to = 1};

static void stranger_frame(const struct frame_header *header, struct bytes body)
{
    struct buf buf = {0};
    frame_begin(&buf);
    buf_append(&buf, body);
    frame_end(&buf, 0, header);
    stranger_write(&buf);
}

static void refuse_frame(struct frame_header header, struct bytes body, enum peer_refusal why,
                         const char *text)
{
    size_t lost = members[1].lost[2][PEER_RAFT];
    stranger_hello(&good_hello);
    assert_int_equal(stranger.kind, FRAME_HELLO);
    stranger_frame(&header, body);
    expect_refusal(why, text);
    run_ms(1);
    assert_int_equal(members[1].lost[2][PEER_RAFT], lost + 1);
    assert_int_equal(members[1].heard_count, 0);
    assert_int_equal(members[1].frame_count, 0);
}

static void test_wrong_frame(void **state)
{
    (void)state;
    struct frame_header header = good_header;
    header.cluster_id = 0xdd;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_CLUSTER,
                 "a frame of cluster 00000000000000dd, this is 00000000000000c1");
    header = good_header;
    header.from = 3;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_FROM,
                 "a frame from 0000000000000003 on the connection of 0000000000000002");
    header.from = RAFT_APPEND_THREAD;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_FROM,
                 "a frame from ffffffffffffffff on the connection of 0000000000000002");
    header = good_header;
    header.to = 3;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_TO,
                 "a frame for 0000000000000003, this is 0000000000000001");
    header = good_header;
    header.kind = FRAME_HELLO;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_FRAME, "a frame of kind 1 is not due here");
    header.kind = FRAME_REFUSED;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_FRAME, "a frame of kind 2 is not due here");
    header.kind = 17;
    refuse_frame(header, BYTES_EMPTY, PEER_REFUSED_FRAME, "a frame of the unknown kind 17");
    refuse_frame(good_header, BYTES_LITERAL("\x0a\x05x"), PEER_REFUSED_FRAME,
                 "a malformed frame of messages");
    refuse_frame(good_header, BYTES_LITERAL("\x0a\x02\x08\x63"), PEER_REFUSED_FRAME,
                 "a malformed message, at byte 2 of 2");
}

/* Messages have no business on bulk, nor own frames where nobody takes them. */
static void test_wrong_channel(void **state)
{
    (void)state;
    struct frame_hello hello = good_hello;
    struct frame_header header = good_header;
    hello.channel = PEER_BULK;
    stranger_hello(&hello);
    stranger_frame(&header, BYTES_EMPTY);
    expect_refusal(PEER_REFUSED_FRAME, "a frame of kind 3 is not due here");
    assert_int_equal(members[1].lost[2][PEER_BULK], 1);
    stranger_hello(&hello);
    header.kind = PEER_KIND_OWN;
    stranger_frame(&header, BYTES_LITERAL("chunk"));
    assert_int_equal(members[1].frame_count, 1);
    stranger_end();
}

/* A size over the limit is refused by the header alone; a bit that flips by a sum. */
static void test_wrong_sums(void **state)
{
    (void)state;
    uint8_t at[FRAME_HEADER_SIZE] = {0};
    struct buf buf = {0};
    put_le32(at, FRAME_SIZE_MAX + 1);
    put_le32(at + 4, FRAME_MESSAGES);
    put_le64(at + 12, CLUSTER);
    put_le64(at + 20, 2);
    put_le64(at + 28, 1);
    put_le32(at + 36, crc32c(0, bytes_of(at, 36)));
    stranger_hello(&good_hello);
    buf_append(&buf, bytes_of(at, sizeof(at)));
    stranger_write(&buf);
    expect_refusal(PEER_REFUSED_FRAME, "a frame of 4194305 bytes, more than 4194304");

    struct frame_header header = good_header;
    stranger_hello(&good_hello);
    frame_begin(&buf);
    frame_message_append(&buf, &(struct raft_message){
                                   .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 1});
    frame_end(&buf, 0, &header);
    buf.data[buf.size - 1] ^= 1;
    stranger_write(&buf);
    expect_refusal(PEER_REFUSED_FRAME, "a frame of kind 3 whose checksum is wrong");
    assert_int_equal(members[1].heard_count, 0);
}

/* --- messages that no member sends ------------------------------------------------------------ */

static void say(struct raft_message message)
{
    struct buf body = {0};
    frame_message_append(&body, &message);
    stranger_frame(&good_header, buf_bytes(&body));
    buf_release(&body);
}

static void refuse_message(struct raft_message message, const char *text)
{
    stranger_hello(&good_hello);
    say(message);
    expect_refusal(PEER_REFUSED_FRAME, text);
    assert_int_equal(members[1].heard_count, 0);
}

static void test_wrong_message(void **state)
{
    (void)state;
    const struct raft_message good = {.type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 1};
    struct raft_message message = good;
    message.to = 3;
    refuse_message(message, "a message for 0000000000000003");
    message = good;
    message.from = 3;
    refuse_message(message, "a message from 0000000000000003 on the connection of "
                            "0000000000000002");
    message.from = 1;
    refuse_message(message, "a message from 0000000000000001 on the connection of "
                            "0000000000000002");
    message.from = RAFT_APPEND_THREAD;
    refuse_message(message, "a message from ffffffffffffffff on the connection of "
                            "0000000000000002");
    message.type = RAFT_MSG_PROP;
    refuse_message(message, "a message from ffffffffffffffff on the connection of "
                            "0000000000000002");
    message.from = 0;
    refuse_message(message, "a message from 0000000000000000 on the connection of "
                            "0000000000000002");
    for (unsigned type = 0; type < RAFT_MSG_TYPE_COUNT; type++) {
        char text[64];
        message = good;
        message.type = (enum raft_message_type)type;
        if (!raft_message_is_local(message.type))
            continue;
        snprintf(text, sizeof(text), "a message of the local type %u", type);
        refuse_message(message, text);
    }
}

/* A request that was passed on names whom it is for; one that comes back is passed over. */
static void test_forwarded(void **state)
{
    (void)state;
    static const enum raft_message_type types[] = {RAFT_MSG_PROP, RAFT_MSG_READ_INDEX,
                                                   RAFT_MSG_TRANSFER_LEADER};
    stranger_hello(&good_hello);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        say((struct raft_message){.type = types[i], .from = 3, .to = 1});
        assert_int_equal(members[1].heard_count, i + 1);
        assert_int_equal(members[1].heard[i].from, 3);
        say((struct raft_message){.type = types[i], .from = 1, .to = 1});
        assert_int_equal(members[1].heard_count, i + 1);
    }
    peers_remove(members[1].peers, 3);
    say((struct raft_message){.type = RAFT_MSG_PROP, .from = 3, .to = 1});
    assert_int_equal(members[1].heard_count, ARRAY_COUNT(types));
    stranger_end();
}

/* --- ends ------------------------------------------------------------------------------------- */

/* The older one of a peer and channel is closed when another says hello; it is no news. */
static void test_second_connection(void **state)
{
    (void)state;
    stranger_hello(&good_hello);
    stranger_hello(&good_hello);
    run_ms(10);
    assert_int_equal(sim_net_streams(sim, 1), 1);
    assert_int_equal(members[1].lost[2][PEER_RAFT], 0);
    assert_true(status_of(1, 2).heard);
    struct frame_hello hello = good_hello;
    hello.channel = PEER_BULK;
    stranger_hello(&hello);
    run_ms(10);
    assert_int_equal(sim_net_streams(sim, 1), 2);
    sim_net_crash(sim, STRANGER);
    run_ms(10);
    assert_int_equal(members[1].lost[2][PEER_RAFT], 1);
    assert_int_equal(members[1].lost[2][PEER_BULK], 1);
    frame_reader_release(&stranger.reader);
    memset(&stranger, 0, sizeof(stranger));
}

/* A connection that was refused is long in ending, because the other side does not hear of it. By
 * then the peer has another one; or it was removed. */
static void end_without_news(bool removed)
{
    struct frame_header header = good_header;
    header.to = 3;
    stranger_hello(&good_hello);
    sim_net_cut(sim, 1, STRANGER);
    stranger_frame(&header, BYTES_EMPTY);
    run_ms(50);
    stranger_host = STRANGER + 1;
    if (removed)
        peers_remove(members[1].peers, 2);
    else
        stranger_hello(&good_hello);
    stranger_host = STRANGER;
    size_t streams = sim_net_streams(sim, 1);
    run_ms(NET_LINGER_MAX_MS + 50);
    assert_int_equal(sim_net_streams(sim, 1), streams - 1);
    assert_int_equal(members[1].lost[2][PEER_RAFT], 0);
    sim_net_crash(sim, STRANGER);
    sim_net_crash(sim, STRANGER + 1);
    frame_reader_release(&stranger.reader);
    memset(&stranger, 0, sizeof(stranger));
}

static void test_end_of_a_replaced_one(void **state)
{
    (void)state;
    end_without_news(false);
}

static void test_end_of_a_removed_one(void **state)
{
    (void)state;
    end_without_news(true);
}

/* What lies behind the frame that ended a connection, in one read, is not looked at. */
static void test_frames_after_the_end(void **state)
{
    (void)state;
    struct raft_message message = {.type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 1};
    struct buf buf = {0};
    for (int i = 0; i < 3; i++) {
        size_t begin = frame_begin(&buf);
        frame_message_append(&buf, &message);
        frame_end(&buf, begin, &good_header);
    }
    frame_end(&buf, frame_begin(&buf),
              &(struct frame_header){
                  .kind = PEER_KIND_OWN, .cluster_id = CLUSTER, .from = 2, .to = 1});
    members[1].forget_sender = true;
    stranger_hello(&good_hello);
    stranger_write(&buf);
    assert_int_equal(members[1].heard_count, 1);
    assert_int_equal(members[1].frame_count, 0);
    run_ms(10);
    assert_null(stranger.stream);
}

/* --- a stranger that listens ------------------------------------------------------------------ */

static struct frame_hello answer;
static bool answer_refusal, answer_nothing;

static bool stranger_accepted(void *context, struct net_stream *stream,
                              struct net_handler *ret_handler)
{
    struct buf buf = {0};
    (void)context;
    frame_reader_release(&stranger.reader);
    stranger.stream = stream;
    stranger.accepted++;
    *ret_handler = (struct net_handler){&stranger_events, NULL};
    if (answer_nothing)
        return true;
    if (answer_refusal)
        buf_append(&buf, BYTES_LITERAL("no frame at all, but long enough to have a header"));
    else
        frame_hello_encode(&answer, &buf);
    assert_ok(net_write(sim_net_host(sim, stranger_host), stream, &buf));
    return true;
}

static void expect_answer_refused(const char *text)
{
    run_ms(300);
    assert_false(status_of(1, 2).connected);
    assert_string_equal(status_of(1, 2).last_error, text);
}

static void test_wrong_answer(void **state)
{
    (void)state;
    const struct net_acceptor acceptor = {stranger_accepted, NULL};
    const struct frame_hello good = {
        .version = FRAME_VERSION, .cluster_id = CLUSTER, .from = 2, .to = 1};
    assert_ok(net_listen(sim_net_host(sim, stranger_host), "two", &acceptor, &stranger.listener, NULL));
    answer_refusal = answer_nothing = false;
    answer = good;
    answer.from = 4;
    assert_ok(peers_set(members[1].peers, 2, "two"));
    expect_answer_refused("'two' is member 0000000000000004, not 0000000000000002");
    answer = good;
    answer.cluster_id = 5;
    expect_answer_refused("member 0000000000000002 belongs to cluster 0000000000000005, member "
                          "0000000000000001 to cluster 00000000000000c1");
    answer = good;
    answer.channel = PEER_BULK;
    expect_answer_refused("a hello of another channel");
    answer = good;
    members[1].hello_error = "of another generation";
    expect_answer_refused("of another generation");
    members[1].hello_error = NULL;
    answer_refusal = true;
    expect_answer_refused("a frame whose header's checksum is wrong");
    answer_nothing = true;
    run_ms(2 * PEER_HELLO_MAX_MS);
    expect_answer_refused("no answer from 'two' within 1000 ms");
    assert_int_equal(members[1].refused, 0);
    answer_nothing = answer_refusal = false;
    run_ms(2 * PEER_HELLO_MAX_MS);
    assert_true(status_of(1, 2).connected);
    /* frames that an acceptor has no business to send */
    size_t accepted = stranger.accepted;
    stranger_frame(&(struct frame_header){.kind = FRAME_MESSAGES, .cluster_id = CLUSTER, .from = 2,
                                          .to = 1},
                   BYTES_EMPTY);
    assert_string_equal(status_of(1, 2).last_error, "a frame of kind 3 is not due here");
    run_ms(500);
    assert_true(stranger.accepted > accepted);
    sim_net_crash(sim, STRANGER);
}

/* --- connections that break ------------------------------------------------------------------- */

/* Tries come further and further apart, never later than the cap; drawn from the seed. */
static void test_back_off(void **state)
{
    (void)state;
    assert_ok(peers_set(members[1].peers, 2, "two"));
    int64_t begin = test_clock.now_ns, last = begin, longest = 0;
    uint64_t before = sim_net_counters(sim)->connects, tries = 0;
    while (test_clock.now_ns < begin + 20 * NS_PER_S) {
        run_ms(1);
        if (sim_net_counters(sim)->connects == before)
            continue;
        before = sim_net_counters(sim)->connects;
        longest = test_clock.now_ns - last > longest ? test_clock.now_ns - last : longest;
        last = test_clock.now_ns;
        if (++tries == 4)
            assert_in_range(last - begin, 20 * NS_PER_MS, 90 * NS_PER_MS);
    }
    assert_in_range(tries, 40, 90);
    assert_in_range(longest, 400 * NS_PER_MS, (PEER_BACKOFF_MAX_MS + 3) * NS_PER_MS);
    assert_string_equal(status_of(1, 2).last_error, "'two': refused");
    /* nothing was sent, so nothing was lost */
    assert_int_equal(members[1].unreachable[2], 0);
    /* it comes back: it says hello, and is answered without waiting for the next try */
    member_start(2);
    assert_ok(peers_set(members[2].peers, 1, "one"));
    run_ms(5);
    assert_true(status_of(1, 2).connected);
}

/* What waits for a peer that cannot be reached is dropped with each try, and reported. */
static void test_unreachable(void **state)
{
    (void)state;
    assert_ok(peers_set(members[1].peers, 2, "two"));
    send_message(1, 2, RAFT_MSG_VOTE, 1);
    send_message(1, 2, RAFT_MSG_SNAP, 1);
    run_ms(5);
    assert_int_equal(members[1].unreachable[2], 1);
    assert_int_equal(members[1].snapshots_lost, 1);
    assert_int_equal(status_of(1, 2).queued_messages, 0);
    assert_int_equal(status_of(1, 2).dropped, 2);
    run_ms(2000);
    assert_int_equal(members[1].unreachable[2], 1);
    send_message(1, 2, RAFT_MSG_VOTE, 1);
    run_ms(PEER_BACKOFF_MAX_MS + 10);
    assert_int_equal(members[1].unreachable[2], 2);
    assert_int_equal(members[1].snapshots_lost, 1);
    /* own frames go the same way, without a word */
    assert_ok(peers_send_frame(members[1].peers, 2, PEER_BULK, PEER_KIND_OWN, BYTES_EMPTY));
    run_ms(2000);
    assert_int_equal(members[1].unreachable[2], 2);
    /* what is queued while it is away leaves when it is back */
    member_start(2);
    send_message(1, 2, RAFT_MSG_VOTE, 2);
    run_ms(PEER_BACKOFF_MAX_MS + 10);
    assert_heard(2, 0, RAFT_MSG_VOTE, 2);
    assert_int_equal(members[2].frame_count, 0);
}

/* A connection that worked ends the backing off: the next try is soon. */
static void test_back_off_begins_again(void **state)
{
    (void)state;
    assert_ok(peers_set(members[1].peers, 2, "two"));
    run_ms(5000);
    member_start(2);    /* it does not know of member 1, and gives no hope by a hello */
    run_ms(PEER_BACKOFF_MAX_MS + 10);
    assert_true(status_of(1, 2).connected);
    run_ms(PEER_BACKOFF_MAX_MS);
    sim_net_reset(sim, 1, 2);
    run_ms(0);
    assert_false(status_of(1, 2).connected);
    run_ms(PEER_BACKOFF_MIN_MS + 5);
    assert_true(status_of(1, 2).connected);
}

/* A leader's host dies: the others hear of it at once. */
static void test_connection_lost(void **state)
{
    (void)state;
    member_crash(1);
    run_ms(2);
    assert_int_equal(members[2].lost[1][PEER_RAFT], 1);
    assert_int_equal(members[2].lost[1][PEER_BULK], 0);
    assert_false(status_of(2, 1).heard);
    assert_false(status_of(2, 1).connected);
    assert_int_equal(members[2].unreachable[1], 1);     /* ours to it broke as well */
    /* restarted, it is back at once */
    member_start(1);
    assert_ok(peers_set(members[1].peers, 2, "two"));
    run_ms(10);
    assert_true(status_of(2, 1).heard);
    assert_true(status_of(2, 1).connected);
    assert_int_equal(members[2].lost[1][PEER_RAFT], 1);
}

/* A host that died in silence and is back: its new connection replaces the old one, whose end is no
 * news. */
static void test_replaced(void **state)
{
    (void)state;
    struct sim_net_faults faults = good_net;
    faults.silent = 1000;
    sim_net_set_faults(sim, &faults);
    member_crash(1);
    run_ms(100);
    assert_int_equal(members[2].lost[1][PEER_RAFT], 0);
    member_start(1);
    assert_ok(peers_set(members[1].peers, 2, "two"));
    run_ms(10);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1);
    flush(1);
    run_ms(2 * NET_SILENCE_MAX_MS);
    assert_int_equal(members[2].heard_count, 1);
    assert_int_equal(members[2].lost[1][PEER_RAFT], 0);
    assert_true(status_of(2, 1).heard);
    assert_true(status_of(2, 1).connected);
}

/* Cut in one direction: what waits there is lost at the end of silence, then all is as before. */
static void test_partition(void **state)
{
    (void)state;
    sim_net_cut(sim, 1, 2);
    for (int i = 0; i < 100; i++) {
        send_message(1, 2, RAFT_MSG_HEARTBEAT, (raft_index)i);
        send_message(2, 1, RAFT_MSG_HEARTBEAT_RESP, (raft_index)i);
        flush(1);
        flush(2);
        run_ms(50);
    }
    assert_int_equal(members[2].heard_count, 0);
    assert_true(members[1].heard_count >= 55);      /* until silence ended that one too */
    assert_true(members[1].unreachable[2] >= 1);
    sim_net_mend_all(sim);
    run_ms(PEER_HELLO_MAX_MS + PEER_BACKOFF_MAX_MS + 10);
    assert_true(status_of(1, 2).connected);
    assert_true(status_of(2, 1).connected);
    send_message(1, 2, RAFT_MSG_HEARTBEAT, 1000);
    flush(1);
    run_ms(10);
    assert_heard(2, members[2].heard_count - 1, RAFT_MSG_HEARTBEAT, 1000);
}

/* Streams of strangers are bounded, and in time they are free again. */
static void test_too_many_streams(void **state)
{
    (void)state;
    const struct net_handler handler = {&stranger_events, NULL};
    struct net *net = sim_net_host(sim, stranger_host);
    struct net_stream *stream;
    for (int i = 0; i < PEER_INCOMING_MAX + 20; i++)
        assert_ok(net_connect(net, "one", &handler, &stream, NULL));
    run_ms(5);
    assert_int_equal(sim_net_streams(sim, 1), PEER_INCOMING_MAX);
    run_ms(PEER_HELLO_MAX_MS + 5);
    assert_int_equal(sim_net_streams(sim, 1), 0);
    stranger_hello(&good_hello);
    assert_int_equal(stranger.kind, FRAME_HELLO);
    stranger_end();
}

/* --- everything at once ----------------------------------------------------------------------- */

static const struct sim_net_faults lossy = {
    .delay_min_ns = 200000, .delay_max_ns = 4 * NS_PER_MS, .late = 10, .late_ns = 40 * NS_PER_MS,
    .fragment = 300, .reset = 2, .corrupt = 4, .refuse = 100, .unsent_bytes = 4096,
};

/* Each side counts up; what arrives on one connection is dense but for what was dropped with it,
 * and with whole frames untouched nothing is ever out of order: a message overtakes none, and none
 * comes twice. */
static void assert_ascending(raft_id id)
{
    const struct member *member = &members[id];
    for (size_t i = 1; i < member->heard_count; i++)
        if (member->heard[i].index <= member->heard[i - 1].index)
            fail_msg("%zu came after %zu", (size_t)member->heard[i].index,
                     (size_t)member->heard[i - 1].index);
}

static void exchange(size_t count, struct rand *rand)
{
    for (raft_index i = 1; i <= count; i++) {
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
        send_message(2, 1, RAFT_MSG_HEARTBEAT_RESP, i);
        if (rand_chance(rand, 1, 4)) {
            flush(1);
            flush(2);
            run_for((int64_t)rand_below(rand, 2 * NS_PER_MS));
        }
        if (rand_chance(rand, 1, 1000))
            sim_net_reset(sim, 1, 2);
        if (rand_chance(rand, 1, 1500))
            sim_net_flap(sim, 1, 2, 10 * NS_PER_MS);
        if (rand_chance(rand, 1, 300))
            sim_net_mend_all(sim);
    }
}

static void test_lossy_streams(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 3);
    sim_net_set_faults(sim, &lossy);
    exchange(10000, &rand);
    sim_net_mend_all(sim);
    sim_net_set_faults(sim, &good_net);
    flush(1);
    flush(2);
    run_ms(2000);
    assert_ascending(1);
    assert_ascending(2);
    /* most came through, and the rest is accounted for: lost with a connection, and reported */
    assert_true(members[1].heard_count > 5000);
    assert_true(members[2].heard_count > 5000);
    assert_true(members[1].heard_count < 10000 && members[1].unreachable[2] > 3);
    const struct sim_net_counters *counters = sim_net_counters(sim);
    assert_true(counters->corruptions && counters->resets && counters->fragments);
    assert_true(counters->late && counters->refusals && counters->flaps);
    /* and afterwards the net is good again */
    size_t before = members[2].heard_count;
    for (raft_index i = 20001; i <= 20100; i++)
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
    flush(1);
    run_ms(10);
    assert_int_equal(members[2].heard_count, before + 100);
}

/* Whole frames lost, doubled and swapped: the members notice nothing, every message is sound, and
 * no connection ends. Raft sees to the rest. */
static void test_lossy_frames(void **state)
{
    (void)state;
    struct sim_net_faults faults = good_net;
    struct rand rand;
    rand_init(&rand, 4);
    faults.frame_lost = faults.frame_doubled = faults.frame_swapped = 50;
    sim_net_set_faults(sim, &faults);
    for (raft_index i = 1; i <= 10000; i++) {
        send_message(1, 2, RAFT_MSG_HEARTBEAT, i);
        flush(1);
        if (i % 50 == 0)
            run_ms(1);
    }
    run_ms(10);
    const struct sim_net_counters *counters = sim_net_counters(sim);
    size_t held = 10000 - counters->frames_lost + counters->frames_doubled -
                  members[2].heard_count;
    assert_in_range(held, 0, 1);
    assert_true(counters->frames_lost > 300 && counters->frames_doubled > 300 &&
                counters->frames_swapped > 300);
    assert_int_equal(counters->streams_closed, 0);
    assert_int_equal(members[1].unreachable[2], 0);
}

/* The same seed, the same run. */
static uint64_t exchange_outcome(void **state)
{
    struct rand rand;
    uint64_t outcome = 0;
    setup_pair(state);
    rand_init(&rand, 8);
    sim_net_set_faults(sim, &lossy);
    exchange(2000, &rand);
    for (raft_id id = 1; id <= 2; id++)
        for (size_t i = 0; i < members[id].heard_count; i++)
            outcome = outcome * 31 + members[id].heard[i].index;
    outcome += sim_net_counters(sim)->bytes;
    sim_net_mend_all(sim);
    teardown_all(state);
    return outcome;
}

static void test_deterministic(void **state)
{
    assert_int_equal(exchange_outcome(state), exchange_outcome(state));
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown_stranger)
#define PAIR(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_wrong_hello),
        ONE(test_hello_against_its_header),
        ONE(test_no_hello),
        ONE(test_wrong_frame),
        ONE(test_wrong_channel),
        ONE(test_wrong_sums),
        ONE(test_wrong_message),
        ONE(test_forwarded),
        ONE(test_wrong_answer),
        ONE(test_back_off),
        ONE(test_back_off_begins_again),
        ONE(test_unreachable),
        ONE(test_second_connection),
        ONE(test_end_of_a_replaced_one),
        ONE(test_end_of_a_removed_one),
        ONE(test_frames_after_the_end),
        PAIR(test_connection_lost),
        PAIR(test_replaced),
        PAIR(test_partition),
        ONE(test_too_many_streams),
        PAIR(test_lossy_streams),
        PAIR(test_lossy_frames),
        cmocka_unit_test(test_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
