/* The net on TCP over libuv: everything that cluster/net.h promises, over loopback. */
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/net_fixture.h"

#include "cluster/net_address.h"
#include "proto/base/limits.h"

static int setup(void **state)
{
    *state = fixture_new(0, 0);
    return 0;
}

/* Silence and lingering are over soon. */
static int setup_hasty(void **state)
{
    *state = fixture_new(200, 200);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void end_finish(struct fixture *fixture, struct end *end)
{
    if (!end->closed)
        end_close(end);
    RUN_UNTIL(fixture, end->closed);
    buf_release(&end->in);
}

static void hall_finish(struct fixture *fixture, struct hall *hall)
{
    for (size_t i = 0; i < hall->count; i++)
        RUN_UNTIL(fixture, hall->ends[i].closed);
    net_listener_close(hall->net, hall->listener);
    hall_release(hall);
}

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

/* Writes until the system takes no more; how much was written. */
static size_t fill(struct end *end)
{
    size_t written = 0;
    while (net_unsent(end->net, end->stream) == 0) {
        struct buf buf = pattern(written, 1 * MIB);
        assert_ok(end_write(end, &buf));
        written += 1 * MIB;
    }
    return written;
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

/* ---- streams that do not come about ---- */

static void assert_fails(struct fixture *fixture, const char *address, const char *text)
{
    struct end end = {0};
    end_connect(&end, fixture->net, address);
    assert_ok(end_send(&end, "hello"));
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.connected + end.drained + end.reads + end.rooms, 0);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, address));
    if (!strstr(end.text, text))
        fail_msg("\"%s\" does not say \"%s\"", end.text, text);
}

static void test_nobody_listens(void **state)
{
    char address[64];
    int fd = raw_bind(address);
    assert_fails(*state, address, "refused");
    close(fd);
}

/* The kernel answers no one while more wait than the backlog holds. */
static void test_nobody_answers(void **state)
{
    char address[64];
    int fd = raw_listen(address, 0), waiting = raw_connect(raw_port(fd));
    assert_fails(*state, address, "silent");
    close(waiting);
    close(fd);
}

static void test_no_descriptor_is_left_to_connect_with(void **state)
{
    struct rlimit limit, none;
    char address[64];
    int fd = raw_listen(address, 1), lowest = dup(fd);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)lowest;
    close(lowest);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_fails(*state, address, "too many open files");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(fd);
}

static void test_a_name_that_does_not_resolve(void **state)
{
    assert_fails(*state, "none.test:80", "does not resolve");
}

static void test_what_cannot_be_a_name_is_not_asked_for(void **state)
{
    char address[300];
    memset(address, 'a', sizeof(address));
    snprintf(address + 250, 4, ":80");
    assert_fails(*state, address, "does not resolve");
}

static void test_a_resolver_that_does_not_answer(void **state)
{
    assert_fails(*state, "gate.test:80", "no answer");
}

static void test_texts_that_are_no_addresses(void **state)
{
    static const char *const wrong[] = {
        "", ":", ":80", "host", "host:", "host:x", "host:-1", "host:65536", "host:999999999999999",
        "host: 80", "::1:80", "[::1]", "[::1]80", "[::1", "[]:80", "[127.0.0.1]:80", "[host]:80",
        "[::1%nosuchif]:80", "a b:80", "http://host:80", "user@host:80", "ho\tst:80", "host:80:80",
        "host/:80", "[::1%]:80",
    };
    struct fixture *fixture = *state;
    struct end end = {0};
    struct hall hall = {0};
    struct net_handler handler = {&end_events, &end};
    struct net_acceptor acceptor = {hall_accepted, &hall};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err = {0};
        assert_err(net_connect(fixture->net, wrong[i], &handler, &end.stream, &err), INVALID);
        assert_non_null(strstr(err.text, wrong[i]));
        assert_err(net_listen(fixture->net, wrong[i], &acceptor, &hall.listener, &err), INVALID);
        assert_null(hall.listener);
    }
    assert_err(net_connect(fixture->net, "127.0.0.1:0", &handler, &end.stream, NULL), INVALID);
    assert_null(end.stream);
}

static void test_addresses_as_text(void **state)
{
    static const char *const texts[][2] = {
        {"1.2.3.4:80", "1.2.3.4:80"},
        {"[::1]:0", "[::1]:0"},
        {"[::ffff:1.2.3.4]:7", "1.2.3.4:7"},
        {"[fe80::1%7]:65535", "[fe80::1%7]:65535"},
        {"[fe80::1%lo]:1", "[fe80::1%1]:1"},
    };
    struct net_address address;
    union net_sockaddr number;
    char text[NET_ADDRESS_TEXT_SIZE], host[400];
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_ok(net_address_parse(texts[i][0], &address, NULL));
        assert_true(net_address_number(&address, &number));
        net_sockaddr_format(&number, text);
        assert_string_equal(text, texts[i][1]);
        net_sockaddr_set_port(&number, 99);
        assert_int_equal(net_sockaddr_port(&number), 99);
    }
    assert_ok(net_address_parse("a-b_c.example:80", &address, NULL));
    assert_string_equal(address.host, "a-b_c.example");
    assert_int_equal(address.port, 80);
    assert_false(net_address_number(&address, &number));
    memset(host, 'a', sizeof(host));
    memcpy(host + NET_HOST_SIZE_MAX, ":1", 3);
    assert_ok(net_address_parse(host, &address, NULL));
    memcpy(host + NET_HOST_SIZE_MAX, "a:1", 4);
    assert_err(net_address_parse(host, &address, NULL), INVALID);
    host[0] = '[';
    memcpy(host + 300, "]:1", 4);
    memset(host + 1, '1', 299);
    assert_err(net_address_parse(host, &address, NULL), INVALID);
}

/* ---- names ---- */

static void test_the_addresses_of_a_name_are_tried_in_turn(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    char address[64];
    hall_open(&hall, fixture->net, "127.0.0.1", 2);
    for (size_t i = 0; i < 2; i++) {
        struct end end = {0};
        snprintf(address, sizeof(address), "%s:%u", i ? "both.test" : "second.test",
                 net_uv_port(hall.listener));
        end_connect(&end, fixture->net, address);
        assert_ok(end_send(&end, "hello"));
        RUN_UNTIL(fixture, hall.count == i + 1 && hall.ends[i].in.size == 5);
        assert_int_equal(end.connected, 1);
        end_finish(fixture, &end);
    }
    hall_finish(fixture, &hall);
}

static void test_the_last_address_that_failed_is_named(void **state)
{
    struct fixture *fixture = *state;
    char bound[64], address[64], text[96];
    int fd = raw_bind(bound);
    snprintf(address, sizeof(address), "second.test:%u", raw_port(fd));
    snprintf(text, sizeof(text), "at 127.0.0.1:%u: refused", raw_port(fd));
    assert_fails(fixture, address, text);
    close(fd);
}

/* 127.0.0.9 answers nobody, 127.0.0.1 does, on the same port. */
static void test_a_silent_address_does_not_hide_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end end = {0};
    char address[64];
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(net_uv_port(hall.listener)),
                             .sin_addr.s_addr = inet_addr("127.0.0.9")};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(connect(waiting, (struct sockaddr *)&at, sizeof(at)), 0);
    snprintf(address, sizeof(address), "second.test:%u", net_uv_port(hall.listener));
    end_connect(&end, fixture->net, address);
    RUN_UNTIL(fixture, end.connected && hall.count);
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
    close(waiting);
    close(fd);
}

static void test_a_name_is_looked_up_once_for_all_who_ask(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end ends[4] = {{0}};
    char address[64];
    hall_open(&hall, fixture->net, "127.0.0.1", 4);
    snprintf(address, sizeof(address), "gate.test:%u", net_uv_port(hall.listener));
    for (int i = 0; i < 4; i++)
        end_connect(&ends[i], fixture->net, address);
    gate_await(1);
    end_close(&ends[1]);
    RUN_UNTIL(fixture, ends[1].closed);
    gate_set(true);
    RUN_UNTIL(fixture, hall.count == 3 && ends[0].connected && ends[2].connected);
    RUN_UNTIL(fixture, ends[3].connected);
    assert_int_equal(names_asked, 1);
    assert_int_equal(ends[1].connected, 0);
    for (int i = 0; i < 4; i++)
        end_finish(fixture, &ends[i]);
    hall_finish(fixture, &hall);
}

/* With the pool's thread at the gate, a look-up that nobody waits for any more is not made. */
static void test_a_lookup_that_has_not_begun_is_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct end held = {0}, end = {0}, again = {0};
    end_connect(&held, fixture->net, "gate.none:80");
    gate_await(1);
    end_connect(&end, fixture->net, "one.test:80");
    end_close(&end);
    end_connect(&again, fixture->net, "none.test:80");
    RUN_UNTIL(fixture, end.closed);
    gate_set(true);
    RUN_UNTIL(fixture, held.closed && again.closed);
    assert_int_equal(held.why, ERR_IO);
    assert_int_equal(again.why, ERR_IO);
    assert_int_equal(names_asked, 2);
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
    enum err_code code = end_send(&end, "hello");
    assert_int_equal(code, ERR_CLOSING);
    assert_err(end_send(&end, "again"), CLOSING);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "reset"));
    assert_bytes_equal(buf_bytes(&end.in), BYTES_LITERAL("last words"));
    buf_release(&end.in);
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
    assert_err(end_send(&end, "hello"), CLOSING);
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

/* ---- accepting ---- */

static void test_whoever_is_not_accepted_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {.refuses = true};
    struct end end = {0};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&end, fixture->net, hall.address);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(hall.count, 1);
    assert_true(end.why == ERR_CLOSING || end.why == ERR_IO);
    net_listener_close(fixture->net, hall.listener);
    hall.listener = NULL;
    hall.count = 0;
    hall_finish(fixture, &hall);
}

static void test_a_refusal_may_be_said_and_a_stream_closed_while_it_is_accepted(void **state)
{
    struct fixture *fixture = *state;
    for (int refuses = 0; refuses < 2; refuses++) {
        struct hall hall = {.refuses = refuses, .greets = true, .closes = true};
        struct end end = {0};
        hall_open(&hall, fixture->net, "127.0.0.1", 1);
        end_connect(&end, fixture->net, hall.address);
        RUN_UNTIL(fixture, end.closed);
        assert_bytes_equal(buf_bytes(&end.in), BYTES_LITERAL("welcome"));
        buf_release(&end.in);
        if (refuses)
            hall.count = 0;
        hall_finish(fixture, &hall);
    }
}

static void test_streams_go_on_when_their_listener_is_closed(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {.closes_listener = true}, again = {0};
    struct end first = {0}, second = {0}, end = {0};
    struct net_acceptor acceptor = {hall_accepted, &again};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    end_connect(&first, fixture->net, hall.address);
    end_connect(&second, fixture->net, hall.address);
    RUN_UNTIL(fixture, hall.count && second.closed);
    assert_int_equal(second.why, ERR_IO);
    assert_ok(end_send(&first, "hello"));
    RUN_UNTIL(fixture, hall.ends[0].in.size == 5);
    assert_fails(fixture, hall.address, "refused");
    /* The port is free at once, though a stream of it lives. */
    again.ends = calloc(1, sizeof(*again.ends));
    again.size = 1;
    again.net = fixture->net;
    assert_ok(net_listen(fixture->net, hall.address, &acceptor, &again.listener, NULL));
    end_connect(&end, fixture->net, hall.address);
    RUN_UNTIL(fixture, again.count);
    end_finish(fixture, &end);
    end_finish(fixture, &first);
    hall_finish(fixture, &again);
    hall_finish(fixture, &hall);
}

static void assert_cannot_listen(struct fixture *fixture, const char *address, const char *text)
{
    struct hall hall = {0};
    struct net_acceptor acceptor = {hall_accepted, &hall};
    struct err err = {0};
    assert_err(net_listen(fixture->net, address, &acceptor, &hall.listener, &err), IO);
    assert_null(hall.listener);
    assert_non_null(strstr(err.text, address));
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void test_addresses_that_cannot_be_listened_at(void **state)
{
    char address[64], name[64];
    int fd = raw_listen(address, 1);
    snprintf(name, sizeof(name), "foreign.test:%u", raw_port(fd));
    assert_cannot_listen(*state, address, "in use");
    assert_cannot_listen(*state, name, "in use");
    snprintf(name, sizeof(name), "many.test:%u", raw_port(fd));
    assert_cannot_listen(*state, "192.0.2.1:7", "not available");
    assert_cannot_listen(*state, "abroad.test:7", "not available");
    assert_cannot_listen(*state, "none.test:7", "does not resolve");
    close(fd);
}

/* The second of three is taken: the first is given back. */
static void test_a_name_is_listened_at_as_a_whole_or_not(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct net_acceptor acceptor = {hall_accepted, &hall};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.0.0.4")};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char address[64], first[64];
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof(address), "many.test:%u", ntohs(at.sin_port));
    snprintf(first, sizeof(first), "127.0.0.3:%u", ntohs(at.sin_port));
    assert_cannot_listen(fixture, address, "in use");
    assert_ok(net_listen(fixture->net, first, &acceptor, &hall.listener, NULL));
    net_listener_close(fixture->net, hall.listener);
    close(fd);
}

static void test_a_name_is_listened_at_on_all_its_addresses_here(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0}, foreign = {0};
    struct end ends[4] = {{0}};
    char address[64];
    hall_open(&hall, fixture->net, "many.test", 3);
    for (int i = 0; i < 3; i++) {
        snprintf(address, sizeof(address), "127.0.0.%d:%u", 3 + i, net_uv_port(hall.listener));
        end_connect(&ends[i], fixture->net, address);
    }
    hall_open(&foreign, fixture->net, "foreign.test", 1);
    snprintf(address, sizeof(address), "127.0.0.1:%u", net_uv_port(foreign.listener));
    end_connect(&ends[3], fixture->net, address);
    RUN_UNTIL(fixture, hall.count == 3 && foreign.count == 1);
    for (int i = 0; i < 4; i++) {
        RUN_UNTIL(fixture, ends[i].connected);
        end_finish(fixture, &ends[i]);
    }
    hall_finish(fixture, &hall);
    hall_finish(fixture, &foreign);
}

/* Strangers until nobody more is let in; those who are in go on, and some descriptors are left. */
static void test_strangers_do_not_take_the_last_descriptors(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit, small;
    enum { STRANGERS = 64, ROOM = 8 };
    struct hall hall = {0};
    struct end end = {0};
    int strangers[STRANGERS], spare[NET_DESCRIPTORS_RESERVED];
    hall_open(&hall, fixture->net, "127.0.0.1", STRANGERS + 2);
    end_connect(&end, fixture->net, hall.address);
    RUN_UNTIL(fixture, hall.count && end.connected);
    for (int i = 0; i < STRANGERS; i++)
        strangers[i] = raw_connect(net_uv_port(hall.listener));
    getrlimit(RLIMIT_NOFILE, &limit);
    small = limit;
    small.rlim_cur = (rlim_t)strangers[STRANGERS - 1] + 1 + ROOM + NET_DESCRIPTORS_RESERVED;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    RUN_UNTIL(fixture, hall.count == 1 + ROOM);
    /* Two pauses, each of which turns one away. */
    struct buf seen = {0};
    for (int i = ROOM; i < ROOM + 2; i++) {
        int result;
        while ((result = raw_read(strangers[i], &seen)) == -1)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_true(result <= 0);
    }
    assert_int_equal(hall.count, 1 + ROOM);
    for (int i = 0; i < NET_DESCRIPTORS_RESERVED; i++)
        assert_true((spare[i] = dup(0)) >= 0);
    assert_int_equal(dup(0), -1);
    hall.ends[0].echoes = true;
    assert_ok(end_send(&end, "hello"));
    RUN_UNTIL(fixture, end.in.size == 5);
    for (int i = 0; i < NET_DESCRIPTORS_RESERVED; i++)
        close(spare[i]);
    /* With room again, those who waited come in. */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    RUN_UNTIL(fixture, hall.count >= 1 + STRANGERS - 4);
    for (int i = 0; i < STRANGERS; i++)
        close(strangers[i]);
    end_finish(fixture, &end);
    hall_finish(fixture, &hall);
    buf_release(&seen);
}

static void test_out_of_descriptors_those_who_come_wait(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit, none;
    struct hall hall = {0};
    hall_open(&hall, fixture->net, "127.0.0.1", 1);
    int stranger = raw_connect(net_uv_port(hall.listener));
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)stranger + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 3; i++)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(hall.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    RUN_UNTIL(fixture, hall.count == 1);
    close(stranger);
    hall_finish(fixture, &hall);
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
    assert_err(end_send(&ends[BROKEN], "hello"), CLOSING);
    end_close(&ends[LINGERING]);
    raw_reset(fds[ENDING]);
    assert_err(end_send(&ends[ENDING], "hello"), CLOSING);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define HASTY(name) cmocka_unit_test_setup_teardown(name, setup_hasty, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_go_both_ways_and_the_end_is_told_in_order),
        TEST(test_over_ipv6),
        TEST(test_every_address_of_ipv6_is_every_address),
        TEST(test_small_writes_arrive_each_once_and_in_order),
        TEST(test_a_slow_reader_bounds_what_is_unsent),
        TEST(test_a_buffer_of_any_size_is_taken_when_nothing_is_unsent),
        TEST(test_bytes_are_read_into_the_owners_room),
        TEST(test_an_owner_without_room_and_drained),
        TEST(test_many_streams_at_once),
        TEST(test_two_nets_share_a_loop),
        TEST(test_nobody_listens),
        HASTY(test_nobody_answers),
        TEST(test_no_descriptor_is_left_to_connect_with),
        TEST(test_a_name_that_does_not_resolve),
        TEST(test_what_cannot_be_a_name_is_not_asked_for),
        HASTY(test_a_resolver_that_does_not_answer),
        TEST(test_texts_that_are_no_addresses),
        TEST(test_addresses_as_text),
        TEST(test_the_addresses_of_a_name_are_tried_in_turn),
        TEST(test_the_last_address_that_failed_is_named),
        HASTY(test_a_silent_address_does_not_hide_the_next),
        TEST(test_a_name_is_looked_up_once_for_all_who_ask),
        TEST(test_a_lookup_that_has_not_begun_is_taken_back),
        TEST(test_the_other_side_resets),
        TEST(test_a_write_finds_the_reset_and_what_came_before_it_is_read),
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
        TEST(test_whoever_is_not_accepted_is_told),
        TEST(test_a_refusal_may_be_said_and_a_stream_closed_while_it_is_accepted),
        TEST(test_streams_go_on_when_their_listener_is_closed),
        TEST(test_addresses_that_cannot_be_listened_at),
        TEST(test_a_name_is_listened_at_as_a_whole_or_not),
        TEST(test_a_name_is_listened_at_on_all_its_addresses_here),
        TEST(test_strangers_do_not_take_the_last_descriptors),
        TEST(test_out_of_descriptors_those_who_come_wait),
        HASTY(test_the_net_is_closed_with_streams_in_every_state),
        TEST(test_the_net_is_closed_from_a_callback),
        TEST(test_a_host_that_vanished_is_noticed_by_writing),
        TEST(test_a_host_that_vanished_is_noticed_without_writing),
    };
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
