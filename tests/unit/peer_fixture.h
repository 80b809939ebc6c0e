/* Members without a core: what each was told stands in lists. */
#ifndef TESTS_UNIT_PEER_FIXTURE_H
#define TESTS_UNIT_PEER_FIXTURE_H

#include "cluster/frame.h"
#include "cluster/peer.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "tests/sim/sim_net.h"
#include "tests/test.h"

#define MEMBERS 4
#define CLUSTER 0xc1
#define HEARD_MAX 40000

struct member {
    raft_id id;
    struct peers *peers;
    struct { enum raft_message_type type; raft_id from; raft_index index; } *heard;
    size_t heard_count;
    struct buf frames;              /* bodies of own frames, one behind the other */
    size_t frame_count;
    uint32_t frame_kind;
    raft_id frame_from;
    size_t unreachable[MEMBERS + 1], snapshots_lost, lost[MEMBERS + 1][PEER_CHANNEL_COUNT];
    size_t refused, closed;
    enum peer_refusal why;
    char refused_text[ERR_TEXT_SIZE];
    uint64_t hello_from, hello_generation;
    const char *hello_error;        /* NULL: hellos are fine */
    enum err_code hello_code;       /* with that; OK: EXISTS */
    bool forget_sender;             /* when a message comes */
};

struct fixture_clock {
    struct clock door;
    int64_t now_ns;
};

static struct sim_net *sim;
static struct fixture_clock test_clock;
static struct member members[MEMBERS + 1];          /* by id; 0 is nobody */
static const char *const addresses[] = {"", "one", "two", "three", "four"};
static bool inside;                 /* a call that must not call back */

static int64_t fixture_now(struct clock *door)
{
    return container_of(door, struct fixture_clock, door)->now_ns;
}

static void on_message(void *context, const struct raft_message *message)
{
    struct member *member = context;
    assert_false(inside);
    assert_int_equal(message->to, member->id);
    assert_true(member->heard_count < HEARD_MAX);
    member->heard[member->heard_count].type = message->type;
    member->heard[member->heard_count].from = message->from;
    member->heard[member->heard_count++].index = message->index;
    for (size_t i = 0; i < message->entry_count; i++)
        if (message->entries[i].payload)
            assert_int_equal(atomic_load(&message->entries[i].payload->references), 1);
    if (member->forget_sender)
        peers_forget(member->peers, message->from);
}

static void on_frame(void *context, raft_id from, uint32_t kind, struct bytes bytes)
{
    struct member *member = context;
    assert_false(inside);
    buf_append(&member->frames, bytes);
    member->frame_count++;
    member->frame_kind = kind;
    member->frame_from = from;
}

static void on_unreachable(void *context, raft_id id, bool snapshot)
{
    struct member *member = context;
    assert_false(inside);
    assert_true(id <= MEMBERS);
    member->unreachable[id]++;
    member->snapshots_lost += snapshot;
}

static void on_lost(void *context, raft_id id, enum peer_channel channel)
{
    struct member *member = context;
    assert_false(inside);
    member->lost[id][channel]++;
}

static void on_refused(void *context, raft_id id, enum peer_refusal why, const char *text)
{
    struct member *member = context;
    (void)id;
    assert_false(inside);
    member->refused++;
    member->why = why;
    snprintf(member->refused_text, sizeof(member->refused_text), "%s", text);
}

static enum err_code on_hello(void *context, raft_id from, uint64_t generation, struct err *err)
{
    struct member *member = context;
    assert_false(inside);
    member->hello_from = from;
    member->hello_generation = generation;
    enum err_code code = member->hello_code ? member->hello_code : ERR_EXISTS;
    return member->hello_error ? err_set(err, code, "%s", member->hello_error) : ERR_OK;
}

/* What the hellos of members that start from now on say. */
static const char *says_address;

static struct peers *peers_of(struct member *member, uint64_t cluster_id, raft_id id)
{
    return peers_new(&(struct peers_options){
        .net = sim_net_host(sim, member->id),
        .clock = &test_clock.door,
        .seed = 100 + member->id,
        .cluster_id = cluster_id,
        .member_id = id,
        .generation = 1000 + member->id,
        .address = says_address,
        .handler = {on_message, on_frame, on_unreachable, on_lost, on_refused, on_hello, member, NULL},
    });
}

/* Begins (again): with its listener, without peers. */
static struct peers *member_start(raft_id id)
{
    struct member *member = &members[id];
    struct err err;
    member->id = id;
    if (!member->heard)
        member->heard = calloc(HEARD_MAX, sizeof(*member->heard));
    member->peers = peers_of(member, CLUSTER, id);
    assert_ok(peers_listen(member->peers, addresses[id], &err));
    return member->peers;
}

static void member_crash(raft_id id)
{
    sim_net_crash(sim, id);
    peers_abandon(members[id].peers);
    members[id].peers = NULL;
}

/* Everything that is due by then, timers and streams, at the time at which it is due. */
static void run_for(int64_t ns)
{
    int64_t end = test_clock.now_ns + ns;
    for (;;) {
        int64_t next = sim_net_next_ns(sim);
        for (raft_id id = 1; id <= MEMBERS; id++) {
            if (!members[id].peers)
                continue;
            peers_validate(members[id].peers);
            int64_t wake = peers_next_wake_ns(members[id].peers);
            next = wake < next ? wake : next;
        }
        if (next > end)
            break;
        if (next > test_clock.now_ns)
            test_clock.now_ns = next;
        sim_net_advance(sim, test_clock.now_ns);
        for (raft_id id = 1; id <= MEMBERS; id++)
            if (members[id].peers &&
                peers_next_wake_ns(members[id].peers) <= test_clock.now_ns)
                peers_turn(members[id].peers, test_clock.now_ns);
    }
    test_clock.now_ns = end;
    sim_net_advance(sim, end);
}

static void run_ms(int64_t ms)
{
    run_for(ms * NS_PER_MS);
}

static const struct sim_net_faults good_net = {
    .delay_min_ns = NS_PER_MS / 2, .delay_max_ns = NS_PER_MS / 2};

static int setup_empty(void **state)
{
    (void)state;
    memset(members, 0, sizeof(members));
    sim = sim_net_new(7);
    sim_net_set_faults(sim, &good_net);
    sim_net_on_frames(sim, frame_measure);
    test_clock = (struct fixture_clock){{fixture_now, fixture_now}, NS_PER_S};
    sim_net_advance(sim, test_clock.now_ns);
    return 0;
}

static void acquaint(raft_id a, raft_id b)
{
    inside = true;
    assert_ok(peers_set(members[a].peers, b, addresses[b]));
    assert_ok(peers_set(members[b].peers, a, addresses[a]));
    inside = false;
}

/* Members 1 and 2, connected. */
static int setup_pair(void **state)
{
    setup_empty(state);
    member_start(1);
    member_start(2);
    acquaint(1, 2);
    run_ms(10);
    return 0;
}

static void on_peers_closed(void *context)
{
    struct member *member = context;
    assert_false(inside);
    member->closed++;
    member->peers = NULL;
}

/* Each that lives closes in order, and has returned everything when it has. */
static int teardown_all(void **state)
{
    (void)state;
    inside = false;
    for (raft_id id = 1; id <= MEMBERS; id++) {
        if (!members[id].peers)
            continue;
        inside = true;
        peers_close(members[id].peers, on_peers_closed, &members[id]);
        inside = false;
        run_ms(2 * NET_SILENCE_MAX_MS);
        assert_int_equal(members[id].closed, 1);
    }
    sim_net_free(sim);
    for (raft_id id = 1; id <= MEMBERS; id++) {
        free(members[id].heard);
        buf_release(&members[id].frames);
    }
    return 0;
}

static void send_message(raft_id from, raft_id to, enum raft_message_type type, raft_index index)
{
    inside = true;
    peers_send(members[from].peers,
               &(struct raft_message){
                   .type = type, .from = from, .to = to, .term = 1, .index = index});
    inside = false;
}

static void flush(raft_id id)
{
    inside = true;
    peers_flush(members[id].peers);
    inside = false;
}

static void assert_heard(raft_id id, size_t place, enum raft_message_type type, raft_index index)
{
    const struct member *member = &members[id];
    assert_true(place < member->heard_count);
    assert_int_equal(member->heard[place].type, type);
    assert_int_equal(member->heard[place].index, index);
}

static struct peer_status status_of(raft_id id, raft_id peer)
{
    struct peer_status status;
    assert_true(peers_find(members[id].peers, peer, &status));
    return status;
}

#endif
