/* The local socket and its client, over the real socket file, with a kv in memory behind it. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "cluster/client.h"
#include "proto/base/limits.h"
#include "tests/unit/fake_member.h"

static int setup(void **state)
{
    *state = fake_member_start();
    return 0;
}

static int teardown(void **state)
{
    fake_member_end(*state);
    return 0;
}

static struct client open_client(struct fake_member *member)
{
    struct client client = {0};
    struct err err = {0};
    if (client_open(&client, member->folder, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return client;
}

static enum err_code put(struct client *client, const char *key, struct bytes value)
{
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = bytes_of_text(key), .value = value}};
    struct socket_request request = {.kind = SOCKET_TXN,
                                     .txn = {.success = &op, .success_count = 1}};
    struct socket_response response;
    struct err err;
    return client_call(client, &request, &response, &err);
}

static struct socket_request range_of(const char *key)
{
    return (struct socket_request){.kind = SOCKET_RANGE, .range = {.key = bytes_of_text(key)}};
}

/* Waits, without limit, until a condition that the loop thread brings about holds. */
#define WAIT_FOR(condition)                                                                        \
    while (!(condition))                                                                           \
    poll(NULL, 0, 1)

static void test_a_put_is_read_back(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct socket_response response;
    struct err err;
    struct socket_request request = range_of("/a");
    assert_ok(put(&client, "/a", BYTES_LITERAL("one\0two")));
    assert_ok(client_call(&client, &request, &response, &err));
    assert_int_equal(response.result.range.count, 1);
    assert_bytes_equal(response.result.range.items[0].value, BYTES_LITERAL("one\0two"));
    assert_int_equal(response.revision, 2);
    assert_int_equal(response.cluster_id, 11);
    assert_int_equal(response.member_id, 22);
    assert_int_equal(response.raft_term, 3);
    client_close(&client);
}

static void test_a_write_waits_until_it_is_settled_and_a_read_does_not(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct socket_response response;
    struct socket_request request = range_of("/a");
    struct err err;
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    assert_int_equal(atomic_load(&member->settles), 1);
    assert_ok(client_call(&client, &request, &response, &err));
    assert_int_equal(atomic_load(&member->settles), 1);
    client_close(&client);
}

static void test_a_write_does_not_wait_for_ever_and_a_late_notice_harms_nobody(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    atomic_store(&member->is_silent, true);
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    atomic_store(&member->is_silent, false);
    assert_ok(put(&client, "/a", BYTES_LITERAL("2")));
    assert_int_equal(atomic_load(&member->settles), 2);
    client_close(&client);
}

static void send_put(struct client *client)
{
    struct buf out = {0};
    struct kv_op op = {.kind = KV_OP_PUT,
                       .put = {.key = BYTES_LITERAL("/a"), .value = BYTES_LITERAL("1")}};
    struct socket_request request = {.kind = SOCKET_TXN,
                                     .txn = {.success = &op, .success_count = 1}};
    socket_request_encode(&request, &out);
    assert_int_equal(send(client->fd, out.data, out.size, 0), out.size);
    buf_release(&out);
}

static void test_who_leaves_or_stops_does_not_wait_for_the_kernel(void **state)
{
    struct fake_member *member = *state;
    struct client first = open_client(member), second = open_client(member);
    atomic_store(&member->is_silent, true);
    send_put(&first);
    WAIT_FOR(atomic_load(&member->settles) == 1);
    client_close(&first);
    send_put(&second);
    WAIT_FOR(atomic_load(&member->settles) == 2);
    atomic_store(&member->is_ending, true);
    fake_member_wake(member);
    WAIT_FOR(atomic_load(&member->is_closed));
    client_close(&second);
}

static void test_a_refusal_arrives_with_its_text(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct socket_response response;
    struct socket_request request = range_of("/a");
    struct err err;
    atomic_store(&member->fail_with, ERR_NO_SPACE);
    assert_err(client_call(&client, &request, &response, &err), NO_SPACE);
    assert_string_equal(err.text, "as the test wants it");
    atomic_store(&member->fail_with, 0);
    assert_ok(client_call(&client, &request, &response, &err));
    client_close(&client);
}

struct gathered {
    size_t count;
    char last[32];
    bool is_sorted;
};

static enum err_code gather(void *context, const struct kv_item *item)
{
    struct gathered *gathered = context;
    char key[32];
    snprintf(key, sizeof(key), "%.*s", (int)item->key.size, (const char *)item->key.data);
    if (strcmp(key, gathered->last) <= 0)
        gathered->is_sorted = false;
    memcpy(gathered->last, key, sizeof(key));
    gathered->count++;
    return ERR_OK;
}

static void fill(struct client *client, size_t count, size_t size)
{
    struct buf value = {0};
    memset(buf_extend(&value, size), 'x', size);
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/n/%05zu", i);
        assert_ok(put(client, key, buf_bytes(&value)));
    }
    buf_release(&value);
}

static void test_a_long_range_comes_in_pieces(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct gathered gathered = {.is_sorted = true};
    struct client_header header;
    struct err err;
    fill(&client, 300, 20000);
    struct client_range walk = {.range = {.key = BYTES_LITERAL("/n/"), .range_end = BYTES_LITERAL("/n0")},
                                .context = &gathered, .each = gather};
    assert_ok(client_range(&client, &walk, &header, &err));
    assert_int_equal(gathered.count, 300);
    assert_true(gathered.is_sorted);
    assert_int_equal(header.total, 300);
    assert_false(header.more);
    assert_true(atomic_load(&member->ranges) > 3);
    client_close(&client);
}

static void test_a_limit_counts_over_all_pieces(void **state)
{
    struct client client = open_client(*state);
    struct client_header header;
    struct err err;
    fill(&client, 50, 10);
    for (int64_t limit = 1; limit <= 51; limit++) {
        struct gathered gathered = {.is_sorted = true};
        struct client_range walk = {.range = {.key = BYTES_LITERAL("/n/"), .limit = limit,
                                              .range_end = BYTES_LITERAL("/n0")},
                                    .context = &gathered, .each = gather};
        assert_ok(client_range(&client, &walk, &header, &err));
        assert_int_equal(gathered.count, limit < 50 ? limit : 50);
        assert_int_equal(header.more, limit < 50);
        assert_int_equal(header.total, 50);
    }
    client_close(&client);
}

static enum err_code refuse_third(void *context, const struct kv_item *item)
{
    int *count = context;
    (void)item;
    return ++*count == 3 ? ERR_CANCELED : ERR_OK;
}

static void test_a_walk_ends_where_its_caller_says(void **state)
{
    struct client client = open_client(*state);
    struct client_header header;
    struct err err;
    int count = 0;
    fill(&client, 50, 10);
    struct client_range walk = {.range = {.key = BYTES_LITERAL("/"), .range_end = BYTES_LITERAL("0")},
                                .context = &count, .each = refuse_third};
    assert_err(client_range(&client, &walk, &header, &err), CANCELED);
    assert_int_equal(count, 3);
    client_close(&client);
}

/* ---- several requests at once ---- */

static void send_ranges(struct client *client, int first, int count)
{
    struct buf out = {0};
    for (int i = first; i < first + count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/n/%05d", i);
        struct socket_request request = range_of(key);
        socket_request_encode(&request, &out);
    }
    assert_int_equal(send(client->fd, out.data, out.size, 0), out.size);
    buf_release(&out);
}

static void receive(struct client *client, struct socket_response *response)
{
    uint8_t size_bytes[4];
    struct err err = {0};
    assert_int_equal(recv(client->fd, size_bytes, 4, MSG_WAITALL), 4);
    size_t size = get_le32(size_bytes);
    arena_clear(&client->arena);
    buf_clear(&client->in);
    assert_int_equal(recv(client->fd, buf_extend(&client->in, size), size, MSG_WAITALL), size);
    if (socket_response_decode(buf_bytes(&client->in), &client->arena, response, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void assert_end(struct client *client)
{
    char byte;
    assert_true(recv(client->fd, &byte, 1, 0) <= 0);
    client_close(client);
}

static void assert_ranges_answered(struct client *client, int first, int count)
{
    struct socket_response response;
    for (int i = first; i < first + count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/n/%05d", i);
        receive(client, &response);
        assert_int_equal(response.result.range.count, 1);
        assert_bytes_equal(response.result.range.items[0].key, bytes_of_text(key));
    }
}

static void test_answers_come_in_the_order_of_requests(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    fill(&client, 10, 10);
    atomic_store(&member->is_holding, true);
    atomic_store(&member->in_reverse, true);
    send_ranges(&client, 0, 10);
    WAIT_FOR(atomic_load(&member->in_flight) == 10);
    atomic_store(&member->is_holding, false);
    fake_member_wake(member);
    assert_ranges_answered(&client, 0, 10);
    client_close(&client);
}

static void test_a_connection_has_a_bounded_number_of_requests(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    fill(&client, 100, 1000);
    atomic_store(&member->is_holding, true);
    send_ranges(&client, 0, 100);
    WAIT_FOR(atomic_load(&member->in_flight) == SOCKET_REQUESTS_MAX);
    atomic_store(&member->is_holding, false);
    fake_member_wake(member);
    assert_ranges_answered(&client, 0, 100);
    assert_int_equal(atomic_load(&member->in_flight_max), SOCKET_REQUESTS_MAX);
    client_close(&client);
}

static void test_a_request_may_arrive_byte_by_byte(void **state)
{
    struct client client = open_client(*state);
    struct buf out = {0};
    struct socket_request request = range_of("/n/00000");
    fill(&client, 1, 10);
    socket_request_encode(&request, &out);
    for (size_t i = 0; i < out.size; i++) {
        assert_int_equal(send(client.fd, out.data + i, 1, 0), 1);
        if (i % 7 == 0)
            poll(NULL, 0, 1);
    }
    assert_ranges_answered(&client, 0, 1);
    buf_release(&out);
    client_close(&client);
}

static void test_who_leaves_cancels_what_it_asked(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    atomic_store(&member->is_holding, true);
    send_ranges(&client, 0, 5);
    WAIT_FOR(atomic_load(&member->in_flight) == 5);
    client_close(&client);
    WAIT_FOR(atomic_load(&member->in_flight) == 0);
    assert_int_equal(atomic_load(&member->canceled), 5);
    atomic_store(&member->is_holding, false);
    client = open_client(member);
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    client_close(&client);
}

static void test_a_close_cancels_what_is_in_flight(void **state)
{
    struct fake_member *member = *state;
    struct client first = open_client(member), second = open_client(member);
    atomic_store(&member->is_holding, true);
    send_ranges(&first, 0, 3);
    send_ranges(&second, 0, 2);
    WAIT_FOR(atomic_load(&member->in_flight) == 5);
    atomic_store(&member->is_ending, true);
    fake_member_wake(member);
    assert_end(&first);
    assert_end(&second);
    WAIT_FOR(atomic_load(&member->is_closed));
    assert_int_equal(atomic_load(&member->canceled), 5);
}

static void test_a_peer_that_reads_nothing_holds_up_nobody_else(void **state)
{
    struct fake_member *member = *state;
    struct client lazy = open_client(member), client = open_client(member);
    struct buf value = {0};
    memset(buf_extend(&value, REQUEST_SIZE_MAX - 1000), 'x', REQUEST_SIZE_MAX - 1000);
    assert_ok(put(&client, "/n/00000", buf_bytes(&value)));
    for (int i = 0; i < 40; i++)
        send_ranges(&lazy, 0, 1);
    WAIT_FOR(atomic_load(&member->ranges) > 0);
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    assert_true(atomic_load(&member->ranges) <= 1 + SOCKET_REQUESTS_MAX);
    for (int i = 0; i < 40; i++)
        assert_ranges_answered(&lazy, 0, 1);
    buf_release(&value);
    client_close(&lazy);
    client_close(&client);
}

/* ---- bad peers ---- */

static void test_bytes_that_are_no_request_are_refused_and_end_the_connection(void **state)
{
    static const uint8_t garbage[] = {5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct client client = open_client(*state);
    struct socket_response response;
    assert_int_equal(send(client.fd, garbage, sizeof(garbage), 0), sizeof(garbage));
    receive(&client, &response);
    assert_int_equal(response.code, ERR_INVALID);
    assert_end(&client);
}

static void test_a_size_out_of_bounds_is_refused_and_ends_the_connection(void **state)
{
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    struct client client = open_client(*state);
    struct socket_response response;
    assert_int_equal(send(client.fd, huge, sizeof(huge), 0), sizeof(huge));
    receive(&client, &response);
    assert_int_equal(response.code, ERR_TOO_BIG);
    assert_end(&client);
}

static void test_answers_before_a_bad_request_still_arrive(void **state)
{
    static const uint8_t garbage[] = {1, 0, 0, 0, 0xff};
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct socket_response response;
    fill(&client, 3, 10);
    atomic_store(&member->is_holding, true);
    send_ranges(&client, 0, 3);
    assert_int_equal(send(client.fd, garbage, sizeof(garbage), 0), sizeof(garbage));
    WAIT_FOR(atomic_load(&member->in_flight) == 3);
    atomic_store(&member->is_holding, false);
    fake_member_wake(member);
    assert_ranges_answered(&client, 0, 3);
    receive(&client, &response);
    assert_int_equal(response.code, ERR_INVALID);
    assert_end(&client);
}

static void test_one_connection_too_many_is_told_so(void **state)
{
    struct client clients[SOCKET_CONNECTIONS_MAX];
    struct fake_member *member = *state;
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        clients[i] = open_client(member);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        assert_ok(put(&clients[i], "/a", BYTES_LITERAL("1")));
    struct client extra = open_client(member);
    assert_err(put(&extra, "/a", BYTES_LITERAL("2")), BUSY);
    client_close(&extra);
    assert_ok(put(&clients[0], "/a", BYTES_LITERAL("3")));
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        client_close(&clients[i]);
}

static void test_the_client_refuses_an_answer_without_sense(void **state)
{
    static const uint8_t garbage[] = {2, 0, 0, 0, 0xff, 0xff}, huge[] = {0, 0, 0, 0xff};
    int pair[2];
    struct client client;
    struct socket_response response;
    struct socket_request request = {.kind = SOCKET_STATUS};
    struct err err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        client_open_fd(&client, pair[0]);
        if (i < 2)
            assert_true(send(pair[1], i ? huge : garbage, i ? sizeof(huge) : sizeof(garbage), 0) > 0);
        shutdown(pair[1], SHUT_WR);
        enum err_code code = client_call(&client, &request, &response, &err);
        assert_int_equal(code, i < 2 ? ERR_CORRUPT : ERR_IO);
        client_close(&client);
        close(pair[1]);
    }
}

/* ---- who may ---- */

static void test_the_socket_is_for_its_owner_alone(void **state)
{
    struct fake_member *member = *state;
    struct stat stat_result;
    char *path = mem_xformat("%s/sock", member->folder);
    assert_int_equal(stat(path, &stat_result), 0);
    assert_true(S_ISSOCK(stat_result.st_mode));
    assert_int_equal(stat_result.st_mode & 07777, 0600);
    free(path);
}

/* The thread alone becomes someone else: the library's own call would change the loop's thread too. */
static void become(uid_t uid)
{
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
}

static void test_another_user_is_not_privileged(void **state)
{
    struct fake_member *member = *state;
    struct socket_response response;
    struct socket_request stop = {.kind = SOCKET_STOP};
    struct err err;
    char *path = mem_xformat("%s/sock", member->folder);
    if (geteuid() != 0) {
        free(path);
        skip();
    }
    assert_int_equal(chmod(member->folder, 0755) | chmod(path, 0666), 0);
    become(65534);
    struct client client = open_client(member);
    become(0);
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    assert_int_equal(atomic_load(&member->unprivileged), 1);
    assert_int_equal(atomic_load(&member->privileged), 0);
    assert_err(client_call(&client, &stop, &response, &err), DENIED);
    assert_int_equal(atomic_load(&member->stops), 0);
    client_close(&client);
    client = open_client(member);
    assert_ok(put(&client, "/a", BYTES_LITERAL("1")));
    assert_int_equal(atomic_load(&member->privileged), 1);
    client_close(&client);
    free(path);
}

static void test_stop_is_answered_before_the_end(void **state)
{
    struct fake_member *member = *state;
    struct client client = open_client(member);
    struct socket_response response;
    struct socket_request stop = {.kind = SOCKET_STOP};
    struct err err;
    assert_ok(client_call(&client, &stop, &response, &err));
    assert_int_equal(atomic_load(&member->stops), 1);
    assert_end(&client);
    WAIT_FOR(atomic_load(&member->is_closed));
    assert_err(client_open(&client, member->folder, &err), NO_LEADER);
}

/* ---- the file ---- */

static void on_closed(void *context) { *(bool *)context = true; }

static void open_and_close(const char *path)
{
    struct kv kv = {.ops = &fake_ops};
    struct socket_options options = {.path = path, .kv = &kv};
    struct socket *server = NULL;
    struct err err = {0};
    uv_loop_t loop;
    bool is_closed = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    if (socket_open(&server, &loop, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
    socket_close(server, on_closed, &is_closed);
    assert_false(is_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_a_stale_file_is_replaced_and_a_path_may_be_long(void **state)
{
    char *folder = test_folder_new();
    char *deep = mem_xformat("%s/%0120d", folder, 0), *path = mem_xformat("%s/sock", deep);
    (void)state;
    assert_int_equal(mkdir(deep, 0700), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    open_and_close(path);
    free(deep);
    free(path);
    test_folder_remove(folder);
}

static void test_a_folder_that_is_not_there_is_named(void **state)
{
    struct kv kv = {.ops = &fake_ops};
    struct socket_options options = {.path = "/nonexistent/sock", .kv = &kv};
    struct socket *server = NULL;
    struct err err = {0};
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_err(socket_open(&server, &loop, &options, &err), IO);
    assert_non_null(strstr(err.text, "\"/nonexistent/sock\""));
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_a_client_without_member_says_what_is_missing(void **state)
{
    char *folder = test_folder_new();
    struct client client = {0};
    struct err err = {0};
    (void)state;
    assert_err(client_open(&client, folder, &err), NO_LEADER);
    assert_non_null(strstr(err.text, folder));
    assert_err(client_open(&client, "/nonexistent", &err), INVALID);
    assert_err(client_open(&client, "/proc/self/status", &err), INVALID);
    client_close(&client);
    test_folder_remove(folder);
}

int main(void)
{
#define WITH_MEMBER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MEMBER(test_a_put_is_read_back),
        WITH_MEMBER(test_a_write_waits_until_it_is_settled_and_a_read_does_not),
        WITH_MEMBER(test_a_write_does_not_wait_for_ever_and_a_late_notice_harms_nobody),
        WITH_MEMBER(test_who_leaves_or_stops_does_not_wait_for_the_kernel),
        WITH_MEMBER(test_a_refusal_arrives_with_its_text),
        WITH_MEMBER(test_a_long_range_comes_in_pieces),
        WITH_MEMBER(test_a_limit_counts_over_all_pieces),
        WITH_MEMBER(test_a_walk_ends_where_its_caller_says),
        WITH_MEMBER(test_answers_come_in_the_order_of_requests),
        WITH_MEMBER(test_a_connection_has_a_bounded_number_of_requests),
        WITH_MEMBER(test_a_request_may_arrive_byte_by_byte),
        WITH_MEMBER(test_who_leaves_cancels_what_it_asked),
        WITH_MEMBER(test_a_close_cancels_what_is_in_flight),
        WITH_MEMBER(test_a_peer_that_reads_nothing_holds_up_nobody_else),
        WITH_MEMBER(test_bytes_that_are_no_request_are_refused_and_end_the_connection),
        WITH_MEMBER(test_a_size_out_of_bounds_is_refused_and_ends_the_connection),
        WITH_MEMBER(test_answers_before_a_bad_request_still_arrive),
        WITH_MEMBER(test_one_connection_too_many_is_told_so),
        cmocka_unit_test(test_the_client_refuses_an_answer_without_sense),
        WITH_MEMBER(test_the_socket_is_for_its_owner_alone),
        WITH_MEMBER(test_another_user_is_not_privileged),
        WITH_MEMBER(test_stop_is_answered_before_the_end),
        cmocka_unit_test(test_a_stale_file_is_replaced_and_a_path_may_be_long),
        cmocka_unit_test(test_a_folder_that_is_not_there_is_named),
        cmocka_unit_test(test_a_client_without_member_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
