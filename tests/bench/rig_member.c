/* A member's process: the member's loop, and clients that live on it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/loop_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/bench/rig_internal.h"

#define KEYS 10000
#define APPLIED_POLL_MS 1

struct client {
    struct kv_request request;
    struct kv_op op;
    struct process *process;
    char key[64];
    int64_t sent_ns;
};

struct process {
    const struct rig_process *options;
    struct member *member;
    struct kv_request current;          /* tells that it serves */
    struct member_poll commands;
    struct member_alarm pause, applied;
    struct client clients[RIG_CLIENTS_MAX];
    struct rig_puts puts;               /* the order that runs; clients == 0: none does */
    long sent, answered;
    int64_t begin_ns;
    uint64_t next_key, wanted_index;
    struct rand rand;
    FILE *log;
    uint8_t half[RIG_VALUE_MAX], random[2 * RIG_VALUE_MAX];
};

static void answer(struct process *process, struct rig_answer *answer)
{
    if (send(process->options->fd, answer, sizeof(*answer), MSG_NOSIGNAL) < 0)
        member_stop(process->member);
}

static void say(void *context, const char *line)
{
    struct process *process = context;
    fprintf(process->log, "%s\n", line);
    fflush(process->log);
}

/* ---- clients ---- */

static bool is_endless(const struct process *process) { return process->puts.count == 0; }

static struct bytes value_of(struct process *process)
{
    const uint8_t *from = process->puts.is_random
                              ? process->random + rand_below(&process->rand, RIG_VALUE_MAX)
                              : process->half;
    return bytes_of(from, process->puts.value_size);
}

static void on_answered(struct kv_request *request, enum err_code code);

static void submit(struct client *client)
{
    struct process *process = client->process;
    client->op = (struct kv_op){
        .kind = KV_OP_PUT,
        .put = {.key = bytes_of_text(client->key), .value = value_of(process)}};
    client->request = (struct kv_request){
        .kind = KV_TXN, .txn = {.success = &client->op, .success_count = 1}, .done = on_answered};
    kv_submit(member_kv(process->member), &client->request);
}

static void send_put(struct client *client)
{
    struct process *process = client->process;
    if (process->puts.is_new)
        snprintf(client->key, sizeof(client->key), "/new/%d-%010" PRIu64, (int)getpid(),
                 process->next_key++);
    else
        snprintf(client->key, sizeof(client->key), "/bench/%08" PRIu64,
                 rand_below(&process->rand, KEYS));
    client->sent_ns = bench_now_ns();
    process->sent++;
    submit(client);
}

static void note(struct process *process, const struct client *client)
{
    struct rig_shared *shared = process->options->shared;
    size_t count = atomic_load_explicit(&shared->put_count, memory_order_relaxed);
    if (count == RIG_PUTS_MAX)
        return;
    shared->puts[count] = (struct rig_put){client->sent_ns, bench_now_ns()};
    atomic_store_explicit(&shared->put_count, count + 1, memory_order_release);
}

static void end_puts(struct process *process)
{
    struct rig_answer done = {.order = RIG_PUTS, .ns = bench_now_ns() - process->begin_ns};
    process->puts.clients = 0;
    member_alarm_set(process->member, &process->pause, -1);
    answer(process, &done);
}

static void on_pause_over(struct member_alarm *alarm)
{
    struct process *process = container_of(alarm, struct process, pause);
    if (process->puts.clients && process->sent != process->puts.count)
        send_put(&process->clients[0]);
}

static void on_answered(struct kv_request *request, enum err_code code)
{
    struct client *client = container_of(request, struct client, request);
    struct process *process = client->process;
    kv_request_release(request);
    if (code == ERR_CLOSING)
        return;
    if (code != ERR_OK) {
        if (!is_endless(process)) {
            fprintf(stderr, "bench_cluster: a put failed: %s\n", request->err.text);
            _exit(1);
        }
        atomic_fetch_add(&process->options->shared->failed_count, 1);
        submit(client);
        return;
    }
    note(process, client);
    process->answered++;
    if (process->sent == process->puts.count) {
        if (process->answered == process->sent)
            end_puts(process);
    } else if (process->puts.pause_ms) {
        member_alarm_set(process->member, &process->pause, process->puts.pause_ms);
    } else {
        send_put(client);
    }
}

static void begin_puts(struct process *process, const struct rig_puts *puts)
{
    struct rig_shared *shared = process->options->shared;
    CHECK(process->puts.clients == 0 && puts->clients > 0 && puts->clients <= RIG_CLIENTS_MAX);
    process->puts = *puts;
    process->sent = process->answered = 0;
    atomic_store(&shared->put_count, 0);
    atomic_store(&shared->failed_count, 0);
    process->begin_ns = bench_now_ns();
    for (long i = 0; i < puts->clients && (is_endless(process) || i < puts->count); i++)
        send_put(&process->clients[i]);
}

/* What is under way is answered yet. */
static void stop_puts(struct process *process)
{
    if (!process->puts.clients || !is_endless(process))
        return;
    process->puts.count = process->sent;
    if (process->answered == process->sent)
        end_puts(process);
}

/* ---- commands ---- */

static void take_status(struct process *process, struct rig_status *ret)
{
    struct kv_status status;
    kv_status_get(member_kv(process->member), &status);
    *ret = (struct rig_status){.self = status.member_id,
                               .leader = status.leader_id,
                               .term = status.raft_term,
                               .index = status.raft_index,
                               .applied = status.applied_index,
                               .flushes = status.flushes,
                               .entries = status.entries};
}

static void on_look_at_applied(struct member_alarm *alarm)
{
    struct process *process = container_of(alarm, struct process, applied);
    struct rig_answer done = {.order = RIG_APPLIED, .ns = bench_now_ns()};
    take_status(process, &done.status);
    if (done.status.applied >= process->wanted_index)
        answer(process, &done);
    else
        member_alarm_set(process->member, alarm, APPLIED_POLL_MS);
}

static void obey(struct process *process, const struct rig_command *command)
{
    struct rig_answer status = {.order = RIG_STATUS};
    switch (command->order) {
    case RIG_STATUS:
        take_status(process, &status.status);
        answer(process, &status);
        break;
    case RIG_PUTS: begin_puts(process, &command->puts); break;
    case RIG_PUTS_STOP: stop_puts(process); break;
    case RIG_APPLIED:
        process->wanted_index = command->index;
        on_look_at_applied(&process->applied);
        break;
    case RIG_FLOOR_PUTS:
    case RIG_FLOOR_FLUSHES: CHECK(false);
    }
}

static void on_command(struct member_poll *poll)
{
    struct process *process = container_of(poll, struct process, commands);
    struct rig_command command;
    ssize_t size = recv(poll->fd, &command, sizeof(command), MSG_DONTWAIT);
    if (size == sizeof(command))
        obey(process, &command);
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
        member_stop(process->member);
}

/* ---- life ---- */

static void on_current(struct kv_request *request, enum err_code code)
{
    struct process *process = container_of(request, struct process, current);
    if (code == ERR_OK)
        atomic_store(&process->options->shared->serves_ns, bench_now_ns());
    else if (code != ERR_CLOSING)
        kv_submit(member_kv(process->member), request);
}

static void fill_values(struct process *process)
{
    rand_init(&process->rand, rand_system_seed());
    for (size_t i = 0; i < sizeof(process->random); i++)
        process->random[i] = (uint8_t)rand_u32(&process->rand);
    for (size_t i = 0; i < sizeof(process->half); i++)
        process->half[i] = i % 2 ? 'x' : process->random[i];
}

static enum err_code run(struct process *process, struct err *err)
{
    const struct rig_process *options = process->options;
    struct member_options member = {.data_path = options->data_path,
                                    .start = options->start,
                                    .log = say,
                                    .log_context = process};
    member.socket = true;               /* for "concordfs member" */
    enum err_code code = member_open(&process->member, &member, err);
    if (code != ERR_OK)
        return code;
    atomic_store(&options->shared->opened_ns, bench_now_ns());
    process->commands = (struct member_poll){.fd = options->fd, .readable = on_command};
    process->pause.fire = on_pause_over;
    process->applied.fire = on_look_at_applied;
    process->current = (struct kv_request){.kind = KV_CURRENT, .done = on_current};
    member_poll_start(process->member, &process->commands);
    kv_submit(member_kv(process->member), &process->current);
    code = member_run(process->member, err);
    member_poll_stop(process->member, &process->commands);
    member_alarm_stop(process->member, &process->pause);
    member_alarm_stop(process->member, &process->applied);
    struct err close_err = {0};
    enum err_code close_code = member_close(process->member, &close_err);
    if (code != ERR_OK || close_code == ERR_OK)
        return code;
    *err = close_err;
    return close_code;
}

void rig_member_main(const struct rig_process *options)
{
    struct process *process = mem_xzalloc(sizeof(*process));
    struct err err = {0};
    process->options = options;
    process->log = fopen(options->log_path, "a");
    if (!process->log)
        bench_die("cannot write %s", options->log_path);
    for (size_t i = 0; i < RIG_CLIENTS_MAX; i++)
        process->clients[i].process = process;
    fill_values(process);
    if (run(process, &err) != ERR_OK) {
        fprintf(stderr, "bench_cluster: the member in %s: %s\n", options->data_path, err.text);
        _exit(1);
    }
}
