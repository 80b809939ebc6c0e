/* What the core itself costs: one or three members in one process, messages handed over directly,
 * storage in memory. They write asynchronously as the program does; "sync" is the plain way, by
 * raft_advance. One line per workload: CPU time per proposal for all members together, messages
 * between them, and how often the core asked for memory once it was warm: never, or the program
 * aborts.
 *
 *     bench_raft [PROPOSALS] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cluster/raft/raft.h"
#include "proto/base/check.h"
#include "tests/script/raft_storage.h"

#define MEMBERS 3
#define LOG_KEEP 4096
#define BATCH_MAX 64

struct member {
    struct raft *raft;
    struct raft_storage storage;
};

struct bench {
    struct mem mem;
    bool sync;
    size_t count;
    struct member members[MEMBERS];
    uint64_t messages;
};

static void deliver(struct bench *bench, const struct raft_message *message)
{
    bench->messages += message->to != message->from;
    enum err_code code = raft_step(bench->members[message->to - 1].raft, message);
    CHECK(code == ERR_OK);
}

static void work(struct bench *bench, const struct raft_message *message)
{
    for (size_t i = 0; message && i < message->response_count; i++) {
        const struct raft_message *response = &message->responses[i];
        if (response->from == RAFT_APPEND_THREAD || response->from == RAFT_APPLY_THREAD)
            CHECK(raft_step(bench->members[message->from - 1].raft, response) == ERR_OK);
        else
            deliver(bench, response);
    }
}

static void handle_async(struct bench *bench, struct member *member, const struct raft_ready *ready)
{
    if (ready->append)
        raft_storage_write(&member->storage, ready->append);
    work(bench, ready->append);
    work(bench, ready->apply);
}

static void handle_sync(struct bench *bench, struct member *member, const struct raft_ready *ready)
{
    if (ready->has_hard_state)
        member->storage.hard = ready->hard_state;
    raft_storage_append(&member->storage, ready->entries, ready->entry_count);
    for (size_t i = 0; i < ready->messages_after_count; i++)
        deliver(bench, &ready->messages_after[i]);
    CHECK(raft_advance(member->raft) == ERR_OK);
}

static bool handle(struct bench *bench, struct member *member)
{
    struct raft_ready ready;
    if (!raft_has_ready(member->raft))
        return false;
    CHECK(raft_ready(member->raft, &ready) == ERR_OK);
    for (size_t i = 0; i < ready.message_count; i++)
        if (ready.messages[i].to <= MEMBERS)
            deliver(bench, &ready.messages[i]);
    (bench->sync ? handle_sync : handle_async)(bench, member, &ready);
    if (member->storage.count > LOG_KEEP && raft_applied(member->raft) > member->storage.base.index)
        raft_storage_compact(&member->storage, raft_applied(member->raft));
    return true;
}

static void settle(struct bench *bench)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (size_t i = 0; i < bench->count; i++)
            busy |= handle(bench, &bench->members[i]);
    }
}

static void start(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) {
        struct member *member = &bench->members[i];
        raft_storage_init(&member->storage);
        member->storage.initial.voters = (struct raft_id_set){bench->count, {1, 2, 3}};
        struct raft_config config = {
            .id = i + 1,
            .election_tick = 10,
            .heartbeat_tick = 1,
            .log = &member->storage.view,
            .mem = &bench->mem,
            .async_storage_writes = !bench->sync,
            .max_size_per_message = 1024 * 1024,
            .max_inflight_messages = 512,
            .check_quorum = true,
            .pre_vote = true,
            .seed = i + 1,
        };
        struct err err = {0};
        CHECK(raft_new(&config, &member->raft, &err) == ERR_OK);
    }
    CHECK(raft_campaign(bench->members[0].raft) == ERR_OK);
    settle(bench);
    CHECK(raft_role(bench->members[0].raft) == RAFT_LEADER);
}

static void stop(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) {
        raft_free(bench->members[i].raft);
        raft_storage_release(&bench->members[i].storage);
    }
}

/* As many as batch before anything else happens, in calls of that many entries. */
static void propose(struct bench *bench, size_t batch, size_t call, struct blob *payload)
{
    struct entry entries[BATCH_MAX];
    for (size_t i = 0; i < call; i++)
        entries[i] = (struct entry){.payload = payload};
    for (size_t i = 0; i < batch; i += call)
        CHECK(raft_propose(bench->members[0].raft, entries, call) == ERR_OK);
    settle(bench);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run(const char *name, bool sync, size_t members, size_t batch, size_t call,
                uint64_t proposals)
{
    struct bench bench = {.sync = sync, .count = members};
    struct blob *payload = blob_new(128);
    memset(payload->data, 'x', payload->size);
    start(&bench);
    for (size_t i = 0; i < 4 * LOG_KEEP / batch; i++)
        propose(&bench, batch, call, payload);
    raft_index before = raft_applied(bench.members[0].raft);
    uint64_t calls = bench.mem.calls, messages = bench.messages, begin = now_ns();
    bench.mem.sealed = true;
    for (uint64_t i = 0; i < proposals / batch; i++)
        propose(&bench, batch, call, payload);
    uint64_t elapsed = now_ns() - begin;
    double count = (double)(raft_applied(bench.members[0].raft) - before);
    bench.mem.sealed = false;
    messages = bench.messages - messages;
    calls = bench.mem.calls - calls;
    printf("raft/%-16s %8.0f ns/proposal %8.2f messages/proposal %8.4f allocations/message\n", name,
           (double)elapsed / count, (double)messages / count,
           messages ? (double)calls / (double)messages : 0.0);
    stop(&bench);
    blob_unref(payload);
}

int main(int argc, char **argv)
{
    uint64_t proposals = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    run("alone-batch-1", false, 1, 1, 1, proposals);
    run("three-batch-1", false, 3, 1, 1, proposals);
    run("three-batch-64", false, 3, BATCH_MAX, BATCH_MAX, proposals);
    run("three-64-singly", false, 3, BATCH_MAX, 1, proposals);
    run("three-sync-1", true, 3, 1, 1, proposals);
    run("three-sync-64", true, 3, BATCH_MAX, BATCH_MAX, proposals);
    return 0;
}
