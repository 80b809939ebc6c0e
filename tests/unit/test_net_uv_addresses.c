/* The net on TCP over libuv: addresses, names, connecting and listening. */
#include <sys/resource.h>

#include "tests/unit/net_fixture.h"

#include "cluster/net_address.h"

/* ---- streams that do not come about ---- */

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
    struct fixture *fixture = *state;
    struct end end = {0};
    end_connect(&end, fixture->net, "\xff\xfe.test:80");
    assert_err(end_send(&end, "hello"), CLOSING);
    assert_int_equal(end.closed, 0);
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, "does not resolve"));
    assert_int_equal(names_asked, 0);
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

/* It came when nobody waited any more: the next who asks has it at once. */
static void test_a_late_answer_is_for_the_next_who_asks(void **state)
{
    struct fixture *fixture = *state;
    struct hall hall = {0};
    struct end late = {0}, other = {0}, end = {0}, fresh = {0};
    char address[64];
    hall_open(&hall, fixture->net, "127.0.0.1", 2);
    snprintf(address, sizeof(address), "gate.test:%u", net_uv_port(hall.listener));
    end_connect(&late, fixture->net, address);
    RUN_UNTIL(fixture, late.closed);
    assert_non_null(strstr(late.text, "no answer"));
    gate_await(1);
    gate_set(true);
    end_connect(&other, fixture->net, "none.test:1");
    RUN_UNTIL(fixture, other.closed);
    assert_int_equal(names_asked, 2);
    end_connect(&end, fixture->net, address);
    RUN_UNTIL(fixture, end.connected);
    assert_int_equal(names_asked, 2);
    end_connect(&fresh, fixture->net, address);
    RUN_UNTIL(fixture, fresh.connected);
    assert_int_equal(names_asked, 3);
    end_finish(fixture, &end);
    end_finish(fixture, &fresh);
    RUN_UNTIL(fixture, hall.count == 2);
    hall_finish(fixture, &hall);
}

static void test_a_late_answer_that_nobody_asks_for(void **state)
{
    struct fixture *fixture = *state;
    struct end late = {0}, other = {0};
    end_connect(&late, fixture->net, "gate.test:1");
    gate_await(1);
    end_close(&late);
    gate_set(true);
    end_connect(&other, fixture->net, "none.test:1");
    RUN_UNTIL(fixture, other.closed && late.closed);
    assert_int_equal(names_asked, 2);
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
    int taken = accept(hall.heir, NULL, NULL);
    assert_true(taken >= 0);
    close(taken);
    close(hall.waiting);
    close(hall.heir);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define HASTY(name) cmocka_unit_test_setup_teardown(name, fixture_setup_hasty, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        HASTY(test_a_late_answer_is_for_the_next_who_asks),
        TEST(test_a_late_answer_that_nobody_asks_for),
        TEST(test_a_lookup_that_has_not_begun_is_taken_back),
        TEST(test_whoever_is_not_accepted_is_told),
        TEST(test_a_refusal_may_be_said_and_a_stream_closed_while_it_is_accepted),
        TEST(test_streams_go_on_when_their_listener_is_closed),
        TEST(test_addresses_that_cannot_be_listened_at),
        TEST(test_a_name_is_listened_at_as_a_whole_or_not),
        TEST(test_a_name_is_listened_at_on_all_its_addresses_here),
        TEST(test_strangers_do_not_take_the_last_descriptors),
        TEST(test_out_of_descriptors_those_who_come_wait),
    };
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
