/* Members that talk to each other (cluster/peer.h) over TCP, on one loop and the system's clock. */
#include "tests/unit/net_fixture.h"

#include "cluster/frame.h"
#include "cluster/peer.h"
#include "proto/base/check.h"

#define CLUSTER 0xc1

struct member {
    raft_id id;
    struct net *net;
    struct peers *peers;
    char address[64];
    bool is_peers_closed, is_net_closed;
    size_t heard, payload_bytes, frames, frame_bytes, unreachable, lost;
    raft_index last;
};

struct pair {
    uv_loop_t loop;
    uv_timer_t wake;
    struct member members[3];           /* by id; 0 is nobody */
};

static void on_message(void *context, const struct raft_message *message)
{
    struct member *member = context;
    member->heard++;
    if (message->type != RAFT_MSG_APP)
        return;
    assert_int_equal(message->index, member->last + 1);
    member->last = message->index;
    for (size_t i = 0; i < message->entry_count; i++) {
        struct blob *payload = message->entries[i].payload;
        for (uint32_t at = 0; at < payload->size; at++)
            CHECK(payload->data[at] == (uint8_t)message->index);
        member->payload_bytes += payload->size;
    }
}

static void on_frame(void *context, raft_id from, uint32_t kind, struct bytes bytes)
{
    struct member *member = context;
    assert_int_equal(from, 3 - member->id);
    assert_int_equal(kind, PEER_KIND_OWN);
    assert_pattern(bytes);
    member->frames++;
    member->frame_bytes += bytes.size;
}

static void on_unreachable(void *context, raft_id id, bool snapshot)
{
    struct member *member = context;
    (void)id;
    (void)snapshot;
    member->unreachable++;
}

static void on_lost(void *context, raft_id id, enum peer_channel channel)
{
    struct member *member = context;
    (void)id;
    member->lost += channel == PEER_RAFT;
}

static void member_start(struct pair *pair, raft_id id, const char *address)
{
    struct member *member = &pair->members[id];
    struct err err = {0};
    *member = (struct member){.id = id, .net = net_uv_new(&pair->loop, NULL)};
    member->peers = peers_new(&(struct peers_options){
        .net = member->net,
        .clock = clock_system(),
        .seed = id,
        .cluster_id = CLUSTER,
        .member_id = id,
        .generation = 1000 + id,
        .handler = {.message = on_message, .frame = on_frame, .unreachable = on_unreachable,
                    .connection_lost = on_lost, .context = member},
    });
    snprintf(member->address, sizeof(member->address), "%s", address);
    if (peers_listen(member->peers, address, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void on_net_closed(void *context)
{
    struct member *member = context;
    member->is_net_closed = true;
}

static void on_peers_closed(void *context)
{
    struct member *member = context;
    member->is_peers_closed = true;
    member->peers = NULL;
    net_uv_close(member->net, on_net_closed, member);
}

static void on_wake(uv_timer_t *timer) { (void)timer; }

/* One turn of everybody, then the loop until something comes or a timer is due. */
static void turn(struct pair *pair)
{
    int64_t now = clock_monotonic_ns(clock_system()), next = INT64_MAX;
    for (raft_id id = 1; id <= 2; id++) {
        struct member *member = &pair->members[id];
        if (!member->peers)
            continue;
        peers_validate(member->peers);
        if (peers_next_wake_ns(member->peers) <= now)
            peers_turn(member->peers, now);
        if (!member->peers)
            continue;
        peers_flush(member->peers);
        int64_t wake = peers_next_wake_ns(member->peers);
        next = wake < next ? wake : next;
    }
    int64_t delay_ms = next <= now ? 0 : next == INT64_MAX ? 1000 : (next - now) / NS_PER_MS + 1;
    uv_timer_start(&pair->wake, on_wake, (uint64_t)delay_ms, 0);
    uv_run(&pair->loop, UV_RUN_ONCE);
}

#define TURN_UNTIL(pair, condition)                                                                \
    while (!(condition))                                                                           \
    turn(pair)

static bool is_connected(struct pair *pair, raft_id id)
{
    struct peer_status status;
    return peers_find(pair->members[id].peers, 3 - id, &status) && status.connected &&
           status.heard;
}

static void acquaint(struct pair *pair)
{
    for (raft_id id = 1; id <= 2; id++)
        assert_ok(peers_set(pair->members[id].peers, 3 - id, pair->members[3 - id].address));
    TURN_UNTIL(pair, is_connected(pair, 1) && is_connected(pair, 2));
}

/* Of this process alone, below the ports that the system draws: it is still free at a second
 * start. */
static void address_of(char ret[64], raft_id id)
{
    unsigned process = (unsigned)getpid();
    snprintf(ret, 64, "127.%u.%u.%u:20000", 1 + process / 256 % 250, process % 256, (unsigned)id);
}

static int stranger_connect(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(20000)};
    char host[64];
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(address, ":"), address);
    assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    char one[64], two[64];
    address_of(one, 1);
    address_of(two, 2);
    assert_int_equal(uv_loop_init(&pair->loop), 0);
    assert_int_equal(uv_timer_init(&pair->loop, &pair->wake), 0);
    member_start(pair, 1, one);
    member_start(pair, 2, two);
    *state = pair;
    return 0;
}

static void member_end(struct pair *pair, raft_id id)
{
    struct member *member = &pair->members[id];
    if (member->peers)
        peers_close(member->peers, on_peers_closed, member);
    TURN_UNTIL(pair, member->is_net_closed);
    assert_true(member->is_peers_closed);
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    member_end(pair, 1);
    member_end(pair, 2);
    uv_close((uv_handle_t *)&pair->wake, NULL);
    uv_run(&pair->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&pair->loop), 0);
    free(pair);
    return 0;
}

static void send_append(struct pair *pair, raft_id from, raft_index index, size_t size)
{
    struct entry entry = {.term = 1, .index = index, .payload = blob_new(size)};
    memset(entry.payload->data, (int)index & 0xff, size);
    peers_send(pair->members[from].peers,
               &(struct raft_message){.type = RAFT_MSG_APP, .from = from, .to = 3 - from, .term = 1,
                                      .index = index, .entries = &entry, .entry_count = 1});
    blob_unref(entry.payload);
}

/* Small ones, large ones, and what the others say meanwhile. */
static void test_messages_arrive_in_order(void **state)
{
    struct pair *pair = *state;
    enum { COUNT = 5000 };
    size_t sent_bytes[3] = {0}, sent[3] = {0};
    acquaint(pair);
    while (sent[1] < COUNT || sent[2] < COUNT) {
        for (raft_id id = 1; id <= 2; id++) {
            struct peer_status status;
            assert_true(peers_find(pair->members[id].peers, 3 - id, &status));
            for (int i = 0; i < 50 && sent[id] < COUNT && status.queued_bytes < 4 * MIB; i++) {
                size_t size = sent[id] % 500 == 499 ? 1 * MIB : 1 + sent[id] % 97 * 10;
                send_append(pair, id, ++sent[id], size);
                sent_bytes[id] += size;
            }
        }
        turn(pair);
    }
    for (raft_id id = 1; id <= 2; id++) {
        struct member *member = &pair->members[id];
        TURN_UNTIL(pair, member->heard == COUNT);
        assert_int_equal(member->payload_bytes, sent_bytes[3 - id]);
        assert_int_equal(member->unreachable + member->lost, 0);
    }
}

static void test_large_frames_go_beside_messages(void **state)
{
    struct pair *pair = *state;
    struct buf frame = pattern(0, FRAME_SIZE_MAX);
    struct member *to = &pair->members[2];
    enum { COUNT = 12 };
    size_t sent = 0, asked = 0;
    acquaint(pair);
    while (to->frames < COUNT) {
        size_t size = sent % 3 == 2 ? 10 : FRAME_SIZE_MAX;
        if (sent < COUNT && peers_send_frame(pair->members[1].peers, 2, PEER_BULK, PEER_KIND_OWN,
                                             bytes_of(frame.data, size)) == ERR_OK)
            sent++;
        if (asked < 1000)
            send_append(pair, 1, ++asked, 100);
        turn(pair);
    }
    TURN_UNTIL(pair, to->heard == asked);
    assert_int_equal(to->frame_bytes, 8 * (size_t)FRAME_SIZE_MAX + 40);
    assert_int_equal(to->lost, 0);
    buf_release(&frame);
}

static void test_a_member_that_starts_again_is_found(void **state)
{
    struct pair *pair = *state;
    struct member *one = &pair->members[1];
    char address[64];
    acquaint(pair);
    snprintf(address, sizeof(address), "%s", pair->members[2].address);
    member_end(pair, 2);
    TURN_UNTIL(pair, one->lost == 1 && !is_connected(pair, 1));
    TURN_UNTIL(pair, one->unreachable == 1);
    send_append(pair, 1, 1, 10);
    TURN_UNTIL(pair, one->unreachable == 2);
    struct peer_status status;
    assert_true(peers_find(one->peers, 2, &status));
    assert_non_null(strstr(status.last_error, address));
    member_start(pair, 2, address);
    acquaint(pair);
    send_append(pair, 1, 1, 10);
    TURN_UNTIL(pair, pair->members[2].heard == 1);
}

/* The sentence arrives though bytes of the stranger lie unread when he is turned away. */
static void test_a_stranger_reads_why_he_is_refused(void **state)
{
    struct pair *pair = *state;
    struct buf bytes = {0}, seen = {0};
    struct frame_header header;
    acquaint(pair);
    int fd = stranger_connect(pair->members[1].address), result;
    for (int i = 0; i < 200000; i++)
        buf_append_u8(&bytes, 'x');
    size_t done = 0;
    do {
        ssize_t put = send(fd, bytes.data + done, bytes.size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        done += put > 0 ? (size_t)put : 0;
        turn(pair);
        result = raw_read(fd, &seen);
    } while (result == -1 || result == 1);
    assert_int_equal(result, 0);
    assert_true(seen.size > FRAME_HEADER_SIZE);
    assert_ok(frame_header_decode(seen.data, &header, NULL));
    assert_int_equal(header.kind, FRAME_REFUSED);
    assert_int_equal(header.size, seen.size - FRAME_HEADER_SIZE);
    assert_true(is_connected(pair, 1) && is_connected(pair, 2));
    close(fd);
    buf_release(&bytes);
    buf_release(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_arrive_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_frames_go_beside_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_member_that_starts_again_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stranger_reads_why_he_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
