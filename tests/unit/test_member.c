/* cluster/loop_uv: a real member on real files and threads. */
#include "tests/test.h"

#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

#include "cluster/clock.h"
#include "cluster/loop_uv.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

struct client {
    struct load *load;
    struct kv_request request;
    struct kv_op op;
    char key[32], value[64];
    unsigned number, done;
};

struct load {
    struct member *member;
    struct client *clients;
    unsigned client_count, puts_each, running;
    unsigned long answered;
};

static void next_put(struct client *client);

static void on_put(struct kv_request *request, enum err_code code)
{
    struct client *client = container_of(request, struct client, request);
    struct load *load = client->load;
    assert_ok(code);
    load->answered++;
    client->done++;
    if (client->done < load->puts_each) {
        next_put(client);
    } else {
        kv_request_release(request);
        if (--load->running == 0)
            member_stop(load->member);
    }
}

static void next_put(struct client *client)
{
    snprintf(client->key, sizeof client->key, "/c/%u", client->number);
    snprintf(client->value, sizeof client->value, "%u", client->done + 1);
    client->op = (struct kv_op){.kind = KV_OP_PUT};
    client->op.put.key = bytes_of_text(client->key);
    client->op.put.value = bytes_of_text(client->value);
    client->request.kind = KV_TXN;
    client->request.txn = (struct kv_txn){.success = &client->op, .success_count = 1};
    client->request.done = on_put;
    kv_submit(member_kv(client->load->member), &client->request);
}

static struct member *open_member(const char *folder)
{
    struct member *member = NULL;
    struct err err;
    struct member_options options = {.data_path = folder, .start = {.name = "test"}, .socket = true,
                                     .segment_size = SEGMENT_SIZE_MIN};
    enum err_code code = member_open(&member, &options, &err);
    if (code != ERR_OK)
        print_message("%s\n", err.text);
    assert_ok(code);
    return member;
}

static void run_load(struct member *member, unsigned clients, unsigned puts_each)
{
    struct err err;
    struct load load = {member, mem_xzalloc(clients * sizeof(struct client)), clients, puts_each,
                        clients, 0};
    for (unsigned i = 0; i < clients; i++) {
        load.clients[i].load = &load;
        load.clients[i].number = i;
        next_put(&load.clients[i]);
    }
    assert_ok(member_run(member, &err));
    assert_int_equal(load.answered, (unsigned long)clients * puts_each);
    free(load.clients);
}

struct reader {
    struct member *member;
    struct kv_request request;
    size_t count;
};

static void on_read(struct kv_request *request, enum err_code code)
{
    struct reader *reader = container_of(request, struct reader, request);
    assert_ok(code);
    reader->count = request->result.range.count;
    for (size_t i = 0; i < reader->count; i++)
        assert_bytes_equal(request->result.range.items[i].value, BYTES_LITERAL("20"));
    member_stop(reader->member);
}

static void many_clients_and_every_put_is_there_after_a_restart(void **state)
{
    struct err err;
    const unsigned counts[] = {1, 64, 300};
    for (size_t i = 0; i < 3; i++) {
        struct member *member = open_member(*state);
        run_load(member, counts[i], 20);
        assert_ok(member_close(member, &err));
    }
    struct reader reader = {.member = open_member(*state)};
    reader.request.kind = KV_RANGE;
    reader.request.range.key = BYTES_LITERAL("/c/");
    reader.request.range.range_end = BYTES_LITERAL("/c0");
    reader.request.done = on_read;
    kv_submit(member_kv(reader.member), &reader.request);
    assert_ok(member_run(reader.member, &err));
    assert_int_equal(reader.count, 300);
    kv_request_release(&reader.request);
    assert_ok(member_close(reader.member, &err));
}

static void a_second_start_is_refused(void **state)
{
    struct member *member = open_member(*state), *second = NULL;
    struct member_options options = {.data_path = *state};
    struct err err;
    assert_err(member_open(&second, &options, &err), BUSY);
    assert_null(second);
    member_stop(member);
    assert_ok(member_run(member, &err));
    assert_ok(member_close(member, &err));
}

struct lent {
    struct member *member;
    struct member_poll poll;
    struct member_alarm alarm;
    int pipe[2];
    bool posted, read, fired;
};

static void lent_end(struct lent *lent)
{
    if (lent->posted && lent->read && lent->fired)
        member_stop(lent->member);
}

static void on_posted(void *context)
{
    struct lent *lent = context;
    lent->posted = true;
    lent_end(lent);
}

static void on_readable(struct member_poll *poll)
{
    struct lent *lent = container_of(poll, struct lent, poll);
    char byte;
    assert_int_equal(read(poll->fd, &byte, 1), 1);
    lent->read = true;
    member_poll_stop(lent->member, poll);
    lent_end(lent);
}

static void on_alarm(struct member_alarm *alarm)
{
    struct lent *lent = container_of(alarm, struct lent, alarm);
    lent->fired = true;
    member_alarm_stop(lent->member, alarm);
    lent_end(lent);
}

static void the_loop_is_lent(void **state)
{
    struct err err;
    struct lent lent = {.member = open_member(*state)};
    assert_int_equal(pipe(lent.pipe), 0);
    lent.poll = (struct member_poll){.fd = lent.pipe[0], .readable = on_readable};
    lent.alarm.fire = on_alarm;
    member_poll_start(lent.member, &lent.poll);
    member_alarm_set(lent.member, &lent.alarm, 5000);
    member_alarm_set(lent.member, &lent.alarm, 1);
    member_post(lent.member, on_posted, &lent);
    assert_int_equal(write(lent.pipe[1], "x", 1), 1);
    assert_ok(member_run(lent.member, &err));
    assert_true(lent.posted && lent.read && lent.fired);
    assert_ok(member_close(lent.member, &err));
    close(lent.pipe[0]);
    close(lent.pipe[1]);
}

static void a_missing_log_is_refused(void **state)
{
    struct err err;
    struct member *member = open_member(*state);
    run_load(member, 1, 3);
    assert_ok(member_close(member, &err));
    char command[600];
    snprintf(command, sizeof command, "mv '%s/wal' '%s/wal.away'", (char *)*state, (char *)*state);
    assert_int_equal(system(command), 0);
    struct member_options options = {.data_path = *state};
    assert_int_not_equal(member_open(&member, &options, &err), ERR_OK);
    assert_non_null(strstr(err.text, "open the log"));
    snprintf(command, sizeof command, "rm -rf '%s/wal'; mv '%s/wal.away' '%s/wal'",
             (char *)*state, (char *)*state, (char *)*state);
    assert_int_equal(system(command), 0);
    member = open_member(*state);
    run_load(member, 1, 3);
    assert_ok(member_close(member, &err));
}

static int make_folder(void **state)
{
    *state = test_folder_new();
    return 0;
}

static int remove_folder(void **state)
{
    test_folder_remove(*state);
    return 0;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(many_clients_and_every_put_is_there_after_a_restart),
        IN_FOLDER(a_second_start_is_refused),
        IN_FOLDER(the_loop_is_lent),
        IN_FOLDER(a_missing_log_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
