/* The net on TCP over libuv: what cluster/net.h promises of streams, over loopback. Addresses,
 * names and listeners: test_net_uv_addresses.c. */
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "tests/unit/net_fixture.h"

/* ---- bytes ---- */

static void converse(struct fixture *fixture, const char *host)
{
    struct hall hall = {.greets = true};
    struct end end = {0};
    hall_open(&hall, fixture->net, host, 1);
    end_connect(&end, fixture->net, hall.address);
    assert_ok(end_send(&end, "hello"));
    assert_int_equal(net_unsent(fixture->net, end.stream), 5);
    RUN_UNTIL(fixture, end.in.size == 7 && hall.count && hall.ends[0].in.size == 5);
    assert_bytes_equal(buf_bytes(&end.in), BYTES_LITERAL("welcome"));
    assert_bytes_equal(buf_bytes(&hall.ends[0].in), BYTES_LITERAL("hello"));
    assert_int_equal(end.connected, 1);
    assert_int_equal(hall.ends[0].connected, 0);
    assert_int_equal(net_unsent(fixture->net, end.stream), 0);
    assert_memory_equal(net_address(fixture->net, hall.ends[0].stream), host, strlen(host));
    end_finish(fixture, &end);
    assert_int_equal(end.why, ERR_OK);
    assert_string_equal(end.text, "");
    RUN_UNTIL(fixture, hall.ends[0].closed);
    assert_int_equal(hall.ends[0].why, ERR_CLOSING);
    assert_non_null(strstr(hall.ends[0].text, host));
    hall_finish(fixture, &hall);
}

static void test_bytes_go_both_ways_and_the_end_is_told_in_order(void **state)
{
    converse(*state, "127.0.0.1");
}

static void test_over_ipv6(void **state)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has_v6 = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0)
        close(fd);
    if (!has_v6)
        skip();
    converse(*state, "[::1]");
}

static void test_every_address_of_ipv6_is_every_address(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {0};
    struct net_acceptor acceptor = {hall_accepted, &hall};
    struct err err;
    char address[64];
    hall.ends = calloc(1, sizeof(*hall.ends));
    hall.size = 1;
    hall.net = fixture->net;
    if (net_listen(fixture->net, "[::]:0", &acceptor, &hall.listener, &err) != ERR_OK) {
        free(hall.ends);
        skip();
    }
    snprintf(address, sizeof(address), "127.0.0.1:%u", net_uv_port(hall.listener));
    end_connect(&end, fixture->net, address);
    RUN_UNTIL(fixture, hall.count && end.connected);
    assert_memory_equal(net_address(fixture->net, hall.ends[0].stream), "127.0.0.1:", 10);
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
}

static void test_small_writes_arrive_each_once_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {0};
    enum { COUNT = 10000, SIZE = 13 };
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&end, fixture->net, hall.address);
    for (size_t i = 0; i < COUNT; i++) {
        struct buf buf = pattern(i * SIZE, SIZE);
        assert_ok(end_write(&end, &buf));
        assert_null(buf.data);
        if (i % 100 == 99)
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(fixture, hall.count && hall.ends[0].in.size == COUNT * SIZE);
    assert_pattern(buf_bytes(&hall.ends[0].in));
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
}

static void test_drained_is_told_once_for_all_that_was_written(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {.greets = true};
    struct end end = {0};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&end, fixture->net, hall.address);
    for (int i = 0; i < 3; i++)
        assert_ok(end_send(&end, "hello"));
    RUN_UNTIL(fixture, hall.count && hall.ends[0].in.size == 15 && end.in.size == 7);
    assert_int_equal(end.drained, 1);
    assert_int_equal(hall.ends[0].drained, 0);  /* taken at once */
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
}

static void test_a_slow_reader_bounds_what_is_unsent(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    size_t written = fill(&end);
    struct buf buf = {0}, seen = {0};
    enum err_code code;
    for (;;) {
        size_t unsent = net_unsent(fixture->net, end.stream);
        buf = pattern(written, 1 * MIB);
        code = end_write(&end, &buf);
        if (code != ERR_OK)
            break;
        written += 1 * MIB;
        assert_int_equal(net_unsent(fixture->net, end.stream), unsent + 1 * MIB);
        assert_true(net_unsent(fixture->net, end.stream) <= NET_UNSENT_BYTES_MAX);
    }
    assert_int_equal(code, ERR_BUSY);
    assert_int_equal(buf.size, 1 * MIB);
    assert_true(net_unsent(fixture->net, end.stream) > NET_UNSENT_BYTES_MAX - 1 * MIB);
    buf_release(&buf);
    assert_int_equal(end.drained, 0);
    while (seen.size < written) {
        raw_read(fd, &seen);
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(fixture, end.drained);
    assert_int_equal(end.drained, 1);
    assert_pattern(buf_bytes(&seen));
    assert_ok(end_send(&end, "more"));
    buf_release(&seen);
    close(fd);
    end_finish(fixture, &end);
}

static void test_a_buffer_of_any_size_is_taken_when_nothing_is_unsent(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {0};
    size_t size = 3 * (size_t)NET_UNSENT_BYTES_MAX;
    struct buf buf = pattern(0, size), small = {0};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&end, fixture->net, hall.address);
    assert_ok(end_write(&end, &small));
    assert_ok(end_write(&end, &buf));
    assert_int_equal(net_unsent(fixture->net, end.stream), size);
    buf_append_u8(&small, 1);
    assert_err(end_write(&end, &small), BUSY);
    buf_release(&small);
    RUN_UNTIL(fixture, hall.count && hall.ends[0].in.size == size);
    assert_pattern(buf_bytes(&hall.ends[0].in));
    RUN_UNTIL(fixture, end.drained);
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
}

static void test_bytes_are_read_into_the_owners_room(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    size_t size = 3 * (size_t)MIB;
    struct buf sent = pattern(0, size + 10);
    uint8_t *room = malloc(size);
    end.room = room;
    end.room_size = size;
    for (size_t done = 0; done < sent.size || end.in.size < 10;) {
        ssize_t put = send(fd, sent.data + done, sent.size - done, MSG_DONTWAIT);
        done += put > 0 ? (size_t)put : 0;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(end.room_used, size);
    assert_pattern(bytes_of(room, size));
    assert_int_equal(end.in.size, 10);
    assert_memory_equal(end.in.data, sent.data + size, 10);
    close(fd);
    end_finish(fixture, &end);
    buf_release(&sent);
    free(room);
}

static void test_an_owner_without_room_and_drained(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {.net = fixture->net};
    struct net_handler handler = {&end_events_least, &end};
    struct buf buf = pattern(0, 3 * MIB);
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    assert_ok(net_connect(fixture->net, hall.address, &handler, &end.stream, NULL));
    assert_ok(end_write(&end, &buf));
    RUN_UNTIL(fixture, hall.count && hall.ends[0].in.size == 3 * MIB);
    hall.ends[0].echoes = true;
    assert_ok(end_send(&end, "ping"));
    RUN_UNTIL(fixture, end.in.size == 4);
    assert_int_equal(end.drained + end.rooms, 0);
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
}

static void test_many_streams_at_once(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 200, SIZE = 100000 };
    struct hall hall = {0};
    struct end *ends = calloc(COUNT, sizeof(*ends));
    hall_open(&hall, fixture->net, "127.0.0.1", COUNT);
    for (int i = 0; i < COUNT; i++) {
        struct buf buf = pattern(0, SIZE + (size_t)i);
        end_connect(&ends[i], fixture->net, hall.address);
        assert_ok(end_write(&ends[i], &buf));
    }
    RUN_UNTIL(fixture, hall.count == COUNT);
    for (int i = 0; i < COUNT; i++)
        RUN_UNTIL(fixture, ends[i].connected && hall.ends[i].in.size >= SIZE);
    for (int i = 0; i < COUNT; i++)
        end_finish(fixture, &ends[i]);
    for (int i = 0; i < COUNT; i++) {
        RUN_UNTIL(fixture, hall.ends[i].closed);
        assert_int_equal(hall.ends[i].why, ERR_CLOSING);
        assert_pattern(buf_bytes(&hall.ends[i].in));
    }
    hall_finish(fixture, &hall);
    free(ends);
}

static void test_two_nets_share_a_loop(void **state)
{
    struct fixture *fixture = *state;
    struct fixture other = {.net = net_uv_new(&fixture->loop, NULL)};
    struct hall hall = {0};
    struct end end = {0};
    hall_open(&hall, other.net, "127.0.0.1", 1);
    end_connect(&end, fixture->net, hall.address);
    assert_ok(end_send(&end, "hello"));
    RUN_UNTIL(fixture, hall.count && hall.ends[0].in.size == 5);
    net_uv_close(other.net, fixture_on_closed, &other);
    RUN_UNTIL(fixture, other.is_closed && end.closed);
    assert_int_equal(hall.ends[0].why, ERR_OK);
    assert_int_equal(end.why, ERR_CLOSING);
    buf_release(&end.in);
    hall_release(&hall);
}

/* ---- streams that end ---- */

static void test_the_other_side_resets(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    raw_reset(fd);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "reset"));
    assert_non_null(strstr(end.text, "127.0.0.1:"));
}

static void test_a_write_finds_the_reset_and_what_came_before_it_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    assert_int_equal(send(fd, "last words", 10, 0), 10);
    raw_reset(fd);
    end_send_until_refused(&end);
    assert_err(end_send(&end, "again"), CLOSING);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "reset"));
    assert_bytes_equal(buf_bytes(&end.in), BYTES_LITERAL("last words"));
    buf_release(&end.in);
}

/* Nobody looks for the end that came in order before writing: the first write is answered by a
 * reset, and the second would be by SIGPIPE. */
static void test_a_write_to_somebody_who_has_gone(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    close(raw_pair(fixture, &end, 0));
    assert_ok(end_send(&end, "hello"));
    end_send_until_refused(&end);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "reset"));
}

static void test_a_reset_finds_bytes_unsent(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    fill(&end);
    raw_reset(fd);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_int_equal(end.drained, 0);
}

static void test_a_broken_stream_may_be_closed(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    raw_reset(raw_pair(fixture, &end, 0));
    end_send_until_refused(&end);
    end_close(&end);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_OK);
}

static void test_the_other_side_ends_its_direction(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    struct buf seen = {0};
    int fd = raw_pair(fixture, &end, 0), result;
    assert_ok(end_send(&end, "hello"));
    assert_int_equal(send(fd, "bye", 3, 0), 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_CLOSING);
    assert_non_null(strstr(end.text, "127.0.0.1:"));
    assert_bytes_equal(buf_bytes(&end.in), BYTES_LITERAL("bye"));
    do
        result = raw_read(fd, &seen);
    while (result == 1 || result == -1);
    assert_int_equal(result, 0);
    assert_bytes_equal(buf_bytes(&seen), BYTES_LITERAL("hello"));
    close(fd);
    buf_release(&seen);
    buf_release(&end.in);
}

static void test_the_other_side_takes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    int fd = raw_pair(fixture, &end, 0);
    fill(&end);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "silent for 200 ms"));
    close(fd);
}

/* ---- net_close ---- */

static void test_what_was_written_is_sent_after_a_close(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    struct buf seen = {0};
    int fd = raw_pair(fixture, &end, 0), result = -1;
    /* Unread bytes: a socket closed on them takes back what it sent. */
    assert_int_equal(send(fd, "unread", 6, 0), 6);
    size_t written = fill(&end);
    end_close(&end);
    end_close(&end);
    assert_err(end_send(&end, "late"), CLOSING);
    while (result == 1 || result == -1) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        result = raw_read(fd, &seen);
    }
    assert_int_equal(result, 0);
    assert_int_equal(seen.size, written);
    assert_pattern(buf_bytes(&seen));
    assert_int_equal(end.closed, 0);
    close(fd);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_OK);
    assert_int_equal(end.reads + end.drained, 0);
    buf_release(&seen);
}

static void test_their_direction_may_end_before_ours(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0};
    struct buf seen = {0};
    int fd = raw_pair(fixture, &end, 0), result = -1;
    size_t written = fill(&end);
    end_close(&end);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    while (result == 1 || result == -1) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        result = raw_read(fd, &seen);
    }
    assert_int_equal(result, 0);
    assert_int_equal(seen.size, written);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_OK);
    close(fd);
    buf_release(&seen);
}

static void test_lingering_has_an_end(void **state)
{
    struct fixture *fixture = *state;
    struct end stuck = {0}, idle = {0};
    int first = raw_pair(fixture, &stuck, 0), second = raw_pair(fixture, &idle, 0);
    fill(&stuck);
    end_close(&stuck);
    end_close(&idle);
    RUN_UNTIL(fixture, stuck.closed && idle.closed);
    assert_int_equal(stuck.why, ERR_OK);
    assert_int_equal(idle.why, ERR_OK);
    close(first);
    close(second);
}

static void test_a_reset_ends_lingering(void **state)
{
    struct fixture *fixture = *state;
    struct end end = {0}, full = {0};
    int fd = raw_pair(fixture, &end, 0), other = raw_pair(fixture, &full, 0);
    fill(&full);
    end_close(&end);
    end_close(&full);
    raw_reset(fd);
    raw_reset(other);
    RUN_UNTIL(fixture, end.closed && full.closed);
    assert_int_equal(end.why, ERR_OK);
    assert_int_equal(full.why, ERR_OK);
}

static void test_a_close_while_connecting(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end mute = {0}, name = {0};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&mute, fixture->net, hall.address);
    end_connect(&name, fixture->net, "gate.test:1");
    end_close(&mute);
    end_close(&name);
    end_close(&name);
    assert_err(end_send(&mute, "late"), CLOSING);
    RUN_UNTIL(fixture, mute.closed && name.closed);
    assert_int_equal(mute.why, ERR_OK);
    assert_int_equal(name.why, ERR_OK);
    assert_int_equal(mute.connected + name.connected, 0);
    net_listener_close(fixture->net, hall.listener);
    hall.listener = NULL;
    hall_finish(fixture, &hall);
}

static void test_what_was_written_while_connecting_is_sent_after_a_close(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {0}, name = {0};
    char address[64];
    hall_open(&hall, fixture->net, "127.0.0.1", 2);
    snprintf(address, sizeof(address), "second.test:%u", net_uv_port(hall.listener));
    end_connect(&end, fixture->net, hall.address);
    end_connect(&name, fixture->net, address);
    assert_ok(end_send(&end, "hello"));
    assert_ok(end_send(&name, "hello"));
    end_close(&end);
    end_close(&name);
    assert_err(end_send(&end, "late"), CLOSING);
    RUN_UNTIL(fixture, end.closed && name.closed && hall.count == 2);
    assert_int_equal(end.why, ERR_OK);
    assert_int_equal(end.connected + end.drained + name.connected, 0);
    hall_finish(fixture, &hall);
}

static void test_a_close_with_bytes_for_nobody(void **state)
{
    struct fixture *fixture = *state;
    char bound[64], silent[64];
    int fd = raw_bind(bound), full = raw_listen(silent, 0), waiting = raw_connect(raw_port(full));
    const char *const addresses[] = {bound, silent, "none.test:1", "gate.test:1"};
    struct end ends[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        end_connect(&ends[i], fixture->net, addresses[i]);
        assert_ok(end_send(&ends[i], "hello"));
        end_close(&ends[i]);
    }
    for (int i = 0; i < 4; i++) {
        RUN_UNTIL(fixture, ends[i].closed);
        assert_int_equal(ends[i].why, ERR_OK);
        assert_int_equal(ends[i].connected, 0);
    }
    close(waiting);
    close(full);
    close(fd);
}

static void test_a_close_in_any_callback(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {.greets = true};
    hall_open(&hall, fixture->net, "127.0.0.1", 4);
    for (enum at at = AT_CONNECTED; at <= AT_DRAINED; at++) {
        struct end end = {.close_at = at};
        end_connect(&end, fixture->net, hall.address);
        assert_ok(end_send(&end, "hello"));
        RUN_UNTIL(fixture, end.closed);
        assert_int_equal(end.why, ERR_OK);
        if (at < AT_READ)
            assert_int_equal(end.reads, 0);
        if (at == AT_READ)
            assert_int_equal(end.reads, 1);
        RUN_UNTIL(fixture, hall.count == (size_t)at && hall.ends[at - 1].closed);
        assert_int_equal(hall.ends[at - 1].why, ERR_CLOSING);
        assert_bytes_equal(buf_bytes(&hall.ends[at - 1].in), BYTES_LITERAL("hello"));
        buf_release(&end.in);
    }
    hall_finish(fixture, &hall);
}

/* An owner that has closed may free what it lent. */
static void test_a_room_is_not_written_to_after_a_close(void **state)
{
    static const uint8_t untouched[16];
    struct fixture *fixture = *state;
    uint8_t room[16] = {0};
    struct end end = {.close_at = AT_ROOM, .room = room, .room_size = sizeof(room)};
    int fd = raw_pair(fixture, &end, 0);
    assert_int_equal(send(fd, "sixteen bytes xx", 16, 0), 16);
    RUN_UNTIL(fixture, end.rooms);
    close(fd);
    RUN_UNTIL(fixture, end.closed);
    assert_memory_equal(room, untouched, sizeof(room));
    assert_int_equal(end.reads, 0);
}

/* ---- the end of the net ---- */

static void test_the_net_is_closed_with_streams_in_every_state(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    char silent[64];
    int full = raw_listen(silent, 0), waiting = raw_connect(raw_port(full));
    enum { RESOLVING, RESOLVING_FULL, CONNECTING, CONNECTING_FULL, OPEN, FULL, BROKEN, LINGERING,
           ENDING, COUNT };
    struct end ends[COUNT] = {{0}};
    int fds[COUNT];
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    for (int i = OPEN; i < COUNT; i++)
        fds[i] = raw_pair(fixture, &ends[i], 0);
    fill(&ends[FULL]);
    raw_reset(fds[BROKEN]);
    end_send_until_refused(&ends[BROKEN]);
    end_close(&ends[LINGERING]);
    raw_reset(fds[ENDING]);
    end_send_until_refused(&ends[ENDING]);
    end_close(&ends[ENDING]);
    end_connect(&ends[RESOLVING], fixture->net, "gate.test:1");
    end_connect(&ends[RESOLVING_FULL], fixture->net, "gate.test:1");
    end_connect(&ends[CONNECTING], fixture->net, silent);
    end_connect(&ends[CONNECTING_FULL], fixture->net, silent);
    assert_ok(end_send(&ends[RESOLVING_FULL], "hello"));
    assert_ok(end_send(&ends[CONNECTING_FULL], "hello"));
    gate_await(1);
    in_call++;
    net_uv_close(fixture->net, fixture_on_closed, fixture);
    in_call--;
    struct net_handler handler = {&end_events, &ends[0]};
    struct net_acceptor acceptor = {hall_accepted, &hall};
    struct net_stream *stream = NULL;
    assert_err(net_connect(fixture->net, silent, &handler, &stream, NULL), CLOSING);
    assert_err(net_listen(fixture->net, silent, &acceptor, &hall.listener, NULL), CLOSING);
    for (int i = 0; i < COUNT; i++) {
        RUN_UNTIL(fixture, ends[i].closed);
        assert_int_equal(ends[i].why, ERR_OK);
    }
    assert_false(fixture->is_closed);           /* the resolver is still at it */
    gate_set(true);
    RUN_UNTIL(fixture, fixture->is_closed);
    fixture->net = NULL;
    close(fds[OPEN]);
    close(fds[FULL]);
    close(fds[LINGERING]);
    close(waiting);
    close(full);
    hall_release(&hall);
}

struct closer {
    struct fixture *fixture;
    struct end end;
};

static void closer_on_read(void *context, struct bytes from)
{
    struct closer *closer = context;
    (void)from;
    net_uv_close(closer->fixture->net, fixture_on_closed, closer->fixture);
}

static void closer_on_closed(void *context, const struct err *why)
{
    struct closer *closer = context;
    end_on_closed(&closer->end, why);
}

static void test_the_net_is_closed_from_a_callback(void **state)
{
    static const struct net_events events = {
        .connected = end_on_connected, .read = closer_on_read, .closed = closer_on_closed};
    struct fixture *fixture = *state;
    struct hall hall = {.greets = true};
    struct closer closer = {.fixture = fixture, .end = {.net = fixture->net}};
    struct net_handler handler = {&events, &closer};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    assert_ok(net_connect(fixture->net, hall.address, &handler, &closer.end.stream, NULL));
    RUN_UNTIL(fixture, fixture->is_closed);
    assert_int_equal(closer.end.why, ERR_OK);
    assert_int_equal(hall.ends[0].closed, 1);
    fixture->net = NULL;
    hall_release(&hall);
}

/* ---- a host that vanishes ---- */

static bool loopback_set(bool up)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* In a network of its own, whose only wire is cut. 77: not permitted here. */
static int vanish(bool writes)
{
    struct end end = {0};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0)
        return 77;
    if (!loopback_set(true))
        return 77;
    struct fixture *fixture = fixture_new(1000, 100);
    int fd = raw_pair(fixture, &end, 0);
    if (!loopback_set(false))
        return 1;
    if (writes && end_send(&end, "hello") != ERR_OK)
        return 2;
    RUN_UNTIL(fixture, end.closed);
    close(fd);
    fixture_free(fixture);
    return end.why == ERR_IO && end.text[0] ? 0 : 3;
}

static void assert_vanishing_is_noticed(bool writes)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(vanish(writes));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_host_that_vanished_is_noticed_by_writing(void **state)
{
    (void)state;
    assert_vanishing_is_noticed(true);
}

static void test_a_host_that_vanished_is_noticed_without_writing(void **state)
{
    (void)state;
    assert_vanishing_is_noticed(false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define HASTY(name) cmocka_unit_test_setup_teardown(name, fixture_setup_hasty, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_go_both_ways_and_the_end_is_told_in_order),
        TEST(test_over_ipv6),
        TEST(test_every_address_of_ipv6_is_every_address),
        TEST(test_small_writes_arrive_each_once_and_in_order),
        TEST(test_drained_is_told_once_for_all_that_was_written),
        TEST(test_a_slow_reader_bounds_what_is_unsent),
        TEST(test_a_buffer_of_any_size_is_taken_when_nothing_is_unsent),
        TEST(test_bytes_are_read_into_the_owners_room),
        TEST(test_an_owner_without_room_and_drained),
        TEST(test_many_streams_at_once),
        TEST(test_two_nets_share_a_loop),
        TEST(test_the_other_side_resets),
        TEST(test_a_write_finds_the_reset_and_what_came_before_it_is_read),
        TEST(test_a_write_to_somebody_who_has_gone),
        TEST(test_a_reset_finds_bytes_unsent),
        TEST(test_a_broken_stream_may_be_closed),
        TEST(test_the_other_side_ends_its_direction),
        HASTY(test_the_other_side_takes_nothing),
        TEST(test_what_was_written_is_sent_after_a_close),
        TEST(test_their_direction_may_end_before_ours),
        HASTY(test_lingering_has_an_end),
        TEST(test_a_reset_ends_lingering),
        TEST(test_a_close_while_connecting),
        TEST(test_what_was_written_while_connecting_is_sent_after_a_close),
        HASTY(test_a_close_with_bytes_for_nobody),
        TEST(test_a_close_in_any_callback),
        TEST(test_a_room_is_not_written_to_after_a_close),
        HASTY(test_the_net_is_closed_with_streams_in_every_state),
        TEST(test_the_net_is_closed_from_a_callback),
        TEST(test_a_host_that_vanished_is_noticed_by_writing),
        TEST(test_a_host_that_vanished_is_noticed_without_writing),
    };
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
