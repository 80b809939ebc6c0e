/* The simulated net keeps the door's promises (cluster/net.h), and its faults are those it says. */
#include "tests/test.h"

#include "cluster/clock.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"
#include "tests/sim/sim_net.h"

#define TALKERS_MAX 400

/* The owner of one end. */
struct talker {
    struct net *net;
    struct net_stream *stream;      /* NULL after closed */
    struct buf got;
    size_t reads, connected, drained, closed;
    struct err why;
    uint8_t place[8];
    bool use_room;
};

static struct sim_net *sim;
static struct net *one, *two;
static struct talker talkers[TALKERS_MAX];
static size_t talker_count;
static bool inside, accept_all;
static int64_t now;
static uint64_t trace;              /* of everything that was heard */

static void note(const struct talker *talker, unsigned what, uint64_t value)
{
    uint64_t words[4] = {trace, (uint64_t)(talker - talkers), what, value};
    assert_false(inside);
    trace = hash_bytes(0, bytes_of(words, sizeof(words)));
}

static void on_connected(void *context)
{
    struct talker *talker = context;
    note(talker, 1, 0);
    talker->connected++;
}

static uint8_t *on_room(void *context, size_t *ret_size)
{
    struct talker *talker = context;
    *ret_size = sizeof(talker->place);
    return talker->use_room ? talker->place : NULL;
}

static void on_read(void *context, struct bytes from)
{
    struct talker *talker = context;
    assert_true(from.size > 0 && talker->stream);
    assert_int_equal(talker->closed, 0);
    if (talker->use_room) {
        assert_ptr_equal(from.data, talker->place);
        assert_true(from.size <= sizeof(talker->place));
    }
    note(talker, 2, from.size);
    buf_append(&talker->got, from);
    talker->reads++;
}

static void on_drained(void *context)
{
    struct talker *talker = context;
    note(talker, 3, 0);
    assert_int_equal(net_unsent(talker->net, talker->stream), 0);
    talker->drained++;
}

static void on_closed(void *context, const struct err *why)
{
    struct talker *talker = context;
    note(talker, 4, (uint64_t)why->code);
    talker->closed++;
    talker->why = *why;
    talker->stream = NULL;
}

static const struct net_events events = {on_connected, on_room, on_read, on_drained, on_closed};

static struct talker *talker_new(struct net *net)
{
    struct talker *talker = &talkers[talker_count++];
    assert_true(talker_count <= TALKERS_MAX);
    talker->net = net;
    return talker;
}

static bool on_accepted(void *context, struct net_stream *stream, struct net_handler *ret_handler)
{
    assert_false(inside);
    if (!accept_all)
        return false;
    struct talker *talker = talker_new(context);
    talker->stream = stream;
    *ret_handler = (struct net_handler){&events, talker};
    return true;
}

static struct net_listener *listen_at(struct net *net, const char *address)
{
    const struct net_acceptor acceptor = {on_accepted, net};
    struct net_listener *listener;
    struct err err;
    assert_ok(net_listen(net, address, &acceptor, &listener, &err));
    return listener;
}

static struct talker *dial(struct net *net, const char *address)
{
    struct talker *talker = talker_new(net);
    const struct net_handler handler = {&events, talker};
    struct err err;
    inside = true;
    assert_ok(net_connect(net, address, &handler, &talker->stream, &err));
    inside = false;
    return talker;
}

static enum err_code say(struct talker *talker, struct bytes bytes)
{
    struct buf buf = {0};
    buf_append(&buf, bytes);
    inside = true;
    enum err_code code = net_write(talker->net, talker->stream, &buf);
    inside = false;
    assert_int_equal(buf.size, code ? bytes.size : 0);
    buf_release(&buf);
    return code;
}

static void hang_up(struct talker *talker)
{
    inside = true;
    net_close(talker->net, talker->stream);
    net_close(talker->net, talker->stream);
    inside = false;
    assert_int_equal(talker->closed, 0);
}

static void run_for(int64_t ns)
{
    now += ns;
    sim_net_advance(sim, now);
}

static void run_ms(int64_t ms)
{
    run_for(ms * NS_PER_MS);
}

static const struct sim_net_faults good = {
    .delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};

static void world(uint64_t seed)
{
    sim = sim_net_new(seed);
    sim_net_set_faults(sim, &good);
    one = sim_net_host(sim, 1);
    two = sim_net_host(sim, 2);
    talker_count = 0;
    accept_all = true;
    now = 0;
    trace = 0;
    run_ms(1);
}

static void world_end(void)
{
    sim_net_free(sim);
    for (size_t i = 0; i < talker_count; i++)
        buf_release(&talkers[i].got);
    memset(talkers, 0, sizeof(talkers));
}

static int setup(void **state)
{
    (void)state;
    world(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end();
    return 0;
}

/* A connected pair: the dialer, *ret the other end. */
static struct talker *pair(struct talker **ret)
{
    struct talker *dialer = dial(one, "two");
    run_ms(10);
    assert_int_equal(dialer->connected, 1);
    *ret = &talkers[talker_count - 1];
    assert_ptr_not_equal(*ret, dialer);
    return dialer;
}

/* --- the door --------------------------------------------------------------------------------- */

static void test_talk(void **state)
{
    (void)state;
    struct talker *a, *b;
    struct net_listener *listener = listen_at(two, "two");
    a = dial(one, "two");
    assert_string_equal(net_address(one, a->stream), "two");
    assert_ok(say(a, BYTES_LITERAL("early "))); /* before it is connected */
    run_ms(10);
    assert_int_equal(a->connected, 1);
    b = &talkers[1];
    assert_ok(say(a, BYTES_LITERAL("late")));
    assert_ok(say(b, BYTES_LITERAL("back")));
    assert_int_equal(b->reads, 1);
    run_ms(10);
    assert_bytes_equal(buf_bytes(&b->got), BYTES_LITERAL("early late"));
    assert_bytes_equal(buf_bytes(&a->got), BYTES_LITERAL("back"));
    assert_int_equal(sim_net_streams(sim, 0), 2);
    net_listener_close(two, listener);
    net_listener_close(two, NULL);
    assert_ok(say(a, BYTES_LITERAL("!")));
    run_ms(10);
    assert_int_equal(b->got.size, 11);
}

/* What was written before close arrives, then the end: OK for who closed, CLOSING for the other. */
static void test_close(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    assert_ok(say(a, BYTES_LITERAL("last")));
    hang_up(a);
    assert_err(say(a, BYTES_LITERAL("no")), CLOSING);
    assert_ok(say(b, BYTES_LITERAL("unheard")));
    run_ms(10);
    assert_bytes_equal(buf_bytes(&b->got), BYTES_LITERAL("last"));
    assert_int_equal(a->got.size, 0);
    assert_int_equal(a->closed, 1);
    assert_int_equal(b->closed, 1);
    assert_int_equal(a->why.code, ERR_OK);
    assert_int_equal(b->why.code, ERR_CLOSING);
    assert_int_equal(sim_net_streams(sim, 0), 0);
    assert_int_equal(sim_net_next_ns(sim), INT64_MAX);
}

static void test_both_close(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    hang_up(a);
    hang_up(b);
    run_ms(2000);
    assert_int_equal(a->closed, 1);
    assert_int_equal(b->closed, 1);
    assert_int_equal(a->why.code, ERR_OK);
    assert_int_equal(b->why.code, ERR_OK);
}

static void test_close_before_connected(void **state)
{
    (void)state;
    listen_at(two, "two");
    struct talker *a = dial(one, "two");
    hang_up(a);
    run_ms(100);
    assert_int_equal(a->connected, 0);
    assert_int_equal(a->closed, 1);
    assert_int_equal(sim_net_streams(sim, 0), 0);
}

static void test_addresses(void **state)
{
    (void)state;
    const struct net_acceptor acceptor = {on_accepted, two};
    struct net_listener *listener;
    const struct net_handler handler = {&events, &talkers[9]};
    struct net_stream *stream;
    struct err err;
    listen_at(two, "two");
    assert_err(net_listen(two, "two", &acceptor, &listener, &err), IO);
    assert_string_equal(err.text, "'two' is in use");
    assert_err(net_listen(two, "", &acceptor, &listener, &err), INVALID);
    assert_err(net_connect(one, "", &handler, &stream, &err), INVALID);

    struct talker *a = dial(one, "nobody");
    run_ms(10);
    assert_int_equal(a->closed, 1);
    assert_int_equal(a->why.code, ERR_IO);
    assert_string_equal(a->why.text, "'nobody': refused");

    accept_all = false;
    a = dial(one, "two");
    run_ms(10);
    assert_int_equal(a->closed, 1);
    assert_int_equal(a->why.code, ERR_IO);
}

static void test_room(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    b->use_room = true;
    assert_ok(say(a, BYTES_LITERAL("0123456789abcdefghij")));
    run_ms(10);
    assert_bytes_equal(buf_bytes(&b->got), BYTES_LITERAL("0123456789abcdefghij"));
    assert_int_equal(b->reads, 3);
}

/* A full stream says so, takes no more, and tells when it is empty. */
static void test_back_pressure(void **state)
{
    (void)state;
    struct sim_net_faults faults = good;
    struct talker *a, *b;
    struct buf large = {0};
    faults.unsent_bytes = 1000;
    sim_net_set_faults(sim, &faults);
    listen_at(two, "two");
    a = pair(&b);
    assert_ok(say(a, BYTES_LITERAL("small")));
    assert_int_equal(net_unsent(one, a->stream), 0);
    memset(buf_extend(&large, NET_UNSENT_BYTES_MAX), 'x', NET_UNSENT_BYTES_MAX);
    assert_ok(say(a, buf_bytes(&large)));
    assert_int_equal(net_unsent(one, a->stream), NET_UNSENT_BYTES_MAX + 5 - 1000);
    assert_err(say(a, buf_bytes(&large)), BUSY);
    assert_int_equal(a->drained, 0);
    run_ms(10);
    assert_int_equal(a->drained, 1);
    assert_int_equal(b->got.size, NET_UNSENT_BYTES_MAX + 5);
    buf_release(&large);
}

/* --- cuts ------------------------------------------------------------------------------------- */

static void test_cut_holds(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    sim_net_cut(sim, 1, 2);
    assert_true(sim_net_is_cut(sim, 1, 2));
    assert_false(sim_net_is_cut(sim, 2, 1));
    assert_ok(say(a, BYTES_LITERAL("held")));
    assert_ok(say(b, BYTES_LITERAL("free")));
    run_ms(NET_SILENCE_MAX_MS - 100);
    assert_int_equal(b->got.size, 0);
    assert_bytes_equal(buf_bytes(&a->got), BYTES_LITERAL("free"));
    sim_net_mend(sim, 1, 2);
    run_ms(0);
    assert_bytes_equal(buf_bytes(&b->got), BYTES_LITERAL("held"));
    run_ms(10000);
    assert_int_equal(a->closed + b->closed, 0);
}

/* In whichever direction it is silent: neither end hears that its bytes arrived. */
static void test_silence(void **state)
{
    (void)state;
    listen_at(two, "two");
    for (int direction = 0; direction < 2; direction++) {
        struct talker *a, *b;
        a = pair(&b);
        sim_net_cut(sim, direction ? 1 : 2, direction ? 2 : 1);
        run_ms(NET_SILENCE_MAX_MS - 1);
        assert_int_equal(a->closed + b->closed, 0);
        run_ms(1);
        assert_int_equal(a->closed, 1);
        assert_int_equal(b->closed, 1);
        assert_int_equal(a->why.code, ERR_IO);
        assert_string_equal(a->why.text, "'two': silent for 3000 ms");
        assert_int_equal(b->why.code, ERR_IO);
        sim_net_mend_all(sim);
    }
}

static void test_connect_over_a_cut(void **state)
{
    (void)state;
    listen_at(two, "two");
    sim_net_cut(sim, 2, 1);
    struct talker *a = dial(one, "two"), *b = &talkers[1], *c;
    assert_ok(say(a, BYTES_LITERAL("early")));
    run_ms(100);
    assert_int_equal(a->connected, 0);
    assert_int_equal(talker_count, 2);      /* accepted, and nothing sent before that is known */
    assert_int_equal(b->got.size, 0);
    c = dial(one, "nobody else");   /* no such host: the refusal is not from behind the cut */
    run_ms(10);
    assert_int_equal(c->closed, 1);
    sim_net_mend(sim, 2, 1);
    run_ms(10);
    assert_int_equal(a->connected, 1);
    assert_int_equal(b->got.size, 5);
    sim_net_cut(sim, 0, 2);
    a = dial(one, "two");
    run_ms(NET_SILENCE_MAX_MS);
    assert_int_equal(a->closed, 1);
    assert_int_equal(a->connected, 0);
}

static void test_close_over_a_cut(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    sim_net_cut(sim, 1, 2);
    hang_up(a);
    run_ms(NET_LINGER_MAX_MS);
    assert_int_equal(a->closed, 1);
    assert_int_equal(b->closed, 0);
    sim_net_mend(sim, 1, 2);
    run_ms(10);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->why.code, ERR_IO);
}

static void test_split(void **state)
{
    (void)state;
    sim_net_host(sim, 3);
    sim_net_host(sim, 4);
    sim_net_split(sim, 1u << 1 | 1u << 4);
    for (uint64_t from = 1; from <= 4; from++)
        for (uint64_t to = 1; to <= 4; to++)
            assert_int_equal(sim_net_is_cut(sim, from, to),
                             (from == 1 || from == 4) != (to == 1 || to == 4));
    sim_net_mend_all(sim);
    assert_false(sim_net_is_cut(sim, 1, 2));
}

static void test_flap(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    sim_net_flap(sim, 1, 2, 20 * NS_PER_MS);
    assert_true(sim_net_is_cut(sim, 1, 2));
    assert_ok(say(a, BYTES_LITERAL("x")));
    run_ms(19);
    assert_int_equal(b->got.size, 0);
    assert_int_equal(sim_net_next_ns(sim), now + NS_PER_MS);
    run_ms(1);
    assert_false(sim_net_is_cut(sim, 1, 2));
    assert_int_equal(b->got.size, 1);
    run_ms(20);
    assert_true(sim_net_is_cut(sim, 1, 2));
    sim_net_mend(sim, 1, 2);
    run_ms(100);
    assert_false(sim_net_is_cut(sim, 1, 2));
    assert_int_equal(sim_net_counters(sim)->flaps, 2);
}

/* --- ends that nobody wanted ------------------------------------------------------------------ */

static void test_reset(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    sim_net_reset(sim, 2, 1);
    assert_int_equal(a->closed + b->closed, 0);
    run_ms(0);
    assert_int_equal(a->why.code, ERR_IO);
    assert_string_equal(b->why.text, "'host 1': reset");
    assert_int_equal(a->closed + b->closed, 2);
}

/* The dead host hears nothing; what it had written arrives. It may listen again at once. */
static void test_crash(void **state)
{
    (void)state;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    assert_ok(say(b, BYTES_LITERAL("testament")));
    sim_net_crash(sim, 2);
    assert_int_equal(sim_net_streams(sim, 2), 0);
    struct talker *early = dial(one, "two");
    run_ms(10);
    assert_bytes_equal(buf_bytes(&a->got), BYTES_LITERAL("testament"));
    assert_int_equal(a->closed, 1);
    assert_int_equal(a->why.code, ERR_IO);
    assert_int_equal(b->closed, 0);
    assert_int_equal(early->closed, 1);
    assert_string_equal(early->why.text, "'two': refused");
    listen_at(two, "two");
    pair(&b);
}

static void test_crash_in_silence(void **state)
{
    (void)state;
    struct sim_net_faults faults = good;
    struct talker *a, *b, *c, *d;
    faults.silent = 1000;
    sim_net_set_faults(sim, &faults);
    listen_at(two, "two");
    a = pair(&b);
    c = pair(&d);
    sim_net_crash(sim, 2);
    struct talker *early = dial(one, "two");
    assert_ok(say(a, BYTES_LITERAL("anybody")));
    run_ms(NET_SILENCE_MAX_MS - 1);
    assert_int_equal(a->closed + early->closed, 0);
    run_ms(2);
    assert_int_equal(a->closed, 1);
    assert_int_equal(c->closed, 1);
    assert_int_equal(early->closed, 1);
    assert_int_equal(early->connected, 0);
    assert_int_equal(b->closed + d->closed, 0);

    /* who writes to a host that is back hears that it knows of nothing */
    listen_at(two, "two");
    a = pair(&b);
    sim_net_crash(sim, 2);
    listen_at(two, "two");
    assert_ok(say(a, BYTES_LITERAL("still there")));
    run_ms(10);
    assert_int_equal(a->closed, 1);
    assert_string_equal(a->why.text, "'two': reset");
}

/* --- bytes and frames ------------------------------------------------------------------------- */

static void test_cut_into_pieces(void **state)
{
    (void)state;
    struct sim_net_faults faults = good;
    struct talker *a, *b;
    struct buf sent = {0};
    faults.fragment = 500;
    faults.delay_max_ns = 5 * NS_PER_MS;
    faults.late = 50;
    faults.late_ns = 50 * NS_PER_MS;
    sim_net_set_faults(sim, &faults);
    listen_at(two, "two");
    a = dial(one, "two");
    run_ms(200);
    b = &talkers[1];
    for (int i = 0; i < 500; i++) {
        size_t begin = sent.size;
        buf_append_format(&sent, "line %d\n", i);
        assert_ok(say(a, bytes_skip(buf_bytes(&sent), begin)));
        if (i % 10 == 0)
            run_ms(1);
    }
    run_ms(5000);
    assert_bytes_equal(buf_bytes(&b->got), buf_bytes(&sent));
    assert_true(sim_net_counters(sim)->fragments > 100);
    assert_true(sim_net_counters(sim)->late > 10);
    buf_release(&sent);
}

static void test_corrupt(void **state)
{
    (void)state;
    struct sim_net_faults faults = good;
    struct talker *a, *b;
    listen_at(two, "two");
    a = pair(&b);
    faults.corrupt = 1000;
    sim_net_set_faults(sim, &faults);
    assert_ok(say(a, BYTES_LITERAL("0000")));
    run_ms(10);
    assert_int_equal(b->got.size, 4);
    int bits = 0;
    for (int i = 0; i < 4; i++)
        bits += __builtin_popcount((unsigned)(b->got.data[i] ^ '0'));
    assert_int_equal(bits, 1);
    assert_int_equal(sim_net_counters(sim)->corruptions, 1);
}

/* A frame is a letter and a digit; capital letters may not be touched. */
static bool measure(struct bytes from, size_t *ret_size)
{
    *ret_size = from.size < 2 ? 0 : 2;
    return *ret_size && from.data[0] >= 'a';
}

static void talk_frames(const struct sim_net_faults *faults, const char *text, const char *heard)
{
    struct talker *a, *b;
    a = pair(&b);
    sim_net_set_faults(sim, faults);
    assert_ok(say(a, bytes_of_text(text)));
    run_ms(10);
    assert_bytes_equal(buf_bytes(&b->got), bytes_of_text(heard));
    sim_net_set_faults(sim, &good);
}

static void test_frames(void **state)
{
    (void)state;
    struct sim_net_faults lost = good, doubled = good, swapped = good;
    lost.frame_lost = doubled.frame_doubled = swapped.frame_swapped = 1000;
    listen_at(two, "two");
    talk_frames(&lost, "A1b2C3d4", "A1b2C3d4"); /* nobody said what frames are */
    sim_net_on_frames(sim, measure);
    talk_frames(&lost, "A1b2C3d4", "A1C3");
    talk_frames(&doubled, "A1b2C3d4", "A1b2b2C3d4d4");
    talk_frames(&swapped, "a1b2c3d4", "b2a1d4c3");
    talk_frames(&swapped, "A1b2c3D4", "A1c3b2D4");
    talk_frames(&lost, "A", "A"); /* not whole: left alone */
    assert_int_equal(sim_net_counters(sim)->frames_lost, 2);
    assert_int_equal(sim_net_counters(sim)->frames_doubled, 2);
    assert_int_equal(sim_net_counters(sim)->frames_swapped, 3);
}

/* On whichever stream of the link the next one goes. */
static void test_frames_again(void **state)
{
    (void)state;
    struct sim_net_faults again = good;
    again.frame_again = 1000;
    listen_at(two, "two");
    sim_net_on_frames(sim, measure);
    talk_frames(&again, "A1b2C3d4", "A1b2C3d4b2");
    talk_frames(&again, "E5f6", "E5f6d4");
    assert_int_equal(sim_net_counters(sim)->frames_again, 2);
}

static void note_written(void *context, uint64_t host, struct bytes from)
{
    assert_int_equal(host, 1);
    buf_append(context, from);
}

/* Before anything happens to it. */
static void test_written(void **state)
{
    (void)state;
    struct buf written = {0};
    struct sim_net_faults lost = good;
    lost.frame_lost = 1000;
    listen_at(two, "two");
    sim_net_on_frames(sim, measure);
    sim_net_on_written(sim, note_written, &written);
    talk_frames(&lost, "A1b2C3d4", "A1C3");
    assert_true(bytes_equal(buf_bytes(&written), BYTES_LITERAL("A1b2C3d4")));
    buf_release(&written);
}

static void test_refuse(void **state)
{
    (void)state;
    struct sim_net_faults faults = good;
    faults.refuse = 1000;
    sim_net_set_faults(sim, &faults);
    listen_at(two, "two");
    struct talker *a = dial(one, "two");
    run_ms(10);
    assert_int_equal(a->closed, 1);
    assert_string_equal(a->why.text, "'two': refused");
}

/* --- everything at once ----------------------------------------------------------------------- */

static void random_step(struct rand *rand)
{
    static const char *const addresses[] = {"one", "two", "three", "nobody"};
    struct net *net = sim_net_host(sim, 1 + rand_below(rand, 3));
    struct talker *talker = talker_count ? &talkers[rand_below(rand, talker_count)] : NULL;
    uint64_t a = 1 + rand_below(rand, 3), b = 1 + rand_below(rand, 3);
    switch (rand_below(rand, 40)) {
    case 0: case 1: case 2: case 3:
        if (talker_count < TALKERS_MAX - 40)
            dial(net, addresses[rand_below(rand, 4)]);
        break;
    case 4:
        if (talker && talker->stream)
            hang_up(talker);
        break;
    case 5: if (a != b) sim_net_cut(sim, a, b); break;
    case 6: case 7: sim_net_mend_all(sim); break;
    case 8: if (a != b) sim_net_flap(sim, a, b, 30 * NS_PER_MS); break;
    case 9: if (rand_chance(rand, 1, 4)) sim_net_reset(sim, a, b); break;
    case 10:
        if (rand_chance(rand, 1, 4)) {
            sim_net_crash(sim, a);
            for (size_t i = 0; i < talker_count; i++)
                if (talkers[i].net == sim_net_host(sim, a))
                    talkers[i].stream = NULL;
            listen_at(sim_net_host(sim, a), addresses[a - 1]);
        }
        break;
    case 11: case 12: case 13: case 14: run_for((int64_t)rand_below(rand, 20000000)); break;
    case 15: run_ms((int64_t)rand_below(rand, 1500)); break;
    default:
        if (talker && talker->stream) {
            enum err_code code = say(talker, BYTES_LITERAL("a1b2C3d4e5"));
            assert_true(code == ERR_OK || code == ERR_CLOSING);
        }
    }
}

static uint64_t random_run(uint64_t seed, struct sim_net_counters *ret)
{
    const struct sim_net_faults faults = {
        .delay_min_ns = 100000, .delay_max_ns = 8 * NS_PER_MS, .late = 20,
        .late_ns = 200 * NS_PER_MS, .fragment = 300, .reset = 5, .corrupt = 10, .refuse = 50,
        .frame_lost = 30, .frame_doubled = 30, .frame_swapped = 30, .frame_again = 30,
        .silent = 500,
        .unsent_bytes = 15,
    };
    struct rand rand;
    rand_init(&rand, seed);
    world(seed);
    sim_net_set_faults(sim, &faults);
    sim_net_on_frames(sim, measure);
    listen_at(one, "one");
    listen_at(two, "two");
    listen_at(sim_net_host(sim, 3), "three");
    for (int i = 0; i < 3000; i++)
        random_step(&rand);
    /* everybody hangs up: every stream ends, once */
    sim_net_mend_all(sim);
    for (size_t i = 0; i < talker_count; i++)
        if (talkers[i].stream)
            hang_up(&talkers[i]);
    run_ms(2 * NET_SILENCE_MAX_MS);
    for (size_t i = 0; i < talker_count; i++) {
        assert_null(talkers[i].stream);
        assert_in_range(talkers[i].closed, 0, 1);
    }
    assert_int_equal(sim_net_streams(sim, 0), 0);
    assert_int_equal(sim_net_next_ns(sim), INT64_MAX);
    *ret = *sim_net_counters(sim);
    uint64_t result = trace;
    world_end();
    return result;
}

static void test_random(void **state)
{
    (void)state;
    struct sim_net_counters counters, again;
    uint64_t total[sizeof(counters) / sizeof(uint64_t)] = {0};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t first = random_run(seed, &counters);
        assert_int_equal(random_run(seed, &again), first);
        assert_memory_equal(&counters, &again, sizeof(counters));
        for (size_t i = 0; i < ARRAY_COUNT(total); i++)
            total[i] += ((const uint64_t *)&counters)[i];
    }
    for (size_t i = 0; i < ARRAY_COUNT(total); i++)
        if (total[i] == 0)
            fail_msg("counter %zu of struct sim_net_counters is 0", i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_talk),
        TEST(test_close),
        TEST(test_both_close),
        TEST(test_close_before_connected),
        TEST(test_addresses),
        TEST(test_room),
        TEST(test_back_pressure),
        TEST(test_cut_holds),
        TEST(test_silence),
        TEST(test_connect_over_a_cut),
        TEST(test_close_over_a_cut),
        TEST(test_split),
        TEST(test_flap),
        TEST(test_reset),
        TEST(test_crash),
        TEST(test_crash_in_silence),
        TEST(test_cut_into_pieces),
        TEST(test_corrupt),
        TEST(test_frames),
        TEST(test_frames_again),
        TEST(test_written),
        TEST(test_refuse),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
