/* cluster/logwriter on a disk without room: what waits, and what may be let go. */
#include "tests/unit/wal_fixture.h"

#include "cluster/logwriter.h"
#include "proto/base/mem.h"
#include "tests/sim/sim_worker.h"

#define SELF 1
#define LEADER 2

struct fixture {
    struct sim_disk *disk;
    struct wal *wal;
    struct raftlog raftlog;
    struct mem mem;
    struct sim_worker worker;
    struct sim_clock clock;
    struct logwriter writer;
    size_t told;                /* answers that went to the leader */
};

static void progressed(struct logwriter *writer) { (void)writer; }

static void send(struct logwriter *writer, const struct raft_message *message)
{
    assert_int_equal(message->to, LEADER);
    container_of(writer, struct fixture, writer)->told++;
}

static void open_log(struct fixture *fixture, struct wal_recovery *ret)
{
    struct wal_options options = fixture_options(sim_disk_door(fixture->disk));
    struct err err = {0};
    assert_good(wal_open(&options, &fixture->wal, ret, &err), err);
}

static int setup(void **state)
{
    struct fixture *fixture = mem_xzalloc(sizeof *fixture);
    struct wal_recovery recovery;
    fixture->disk = sim_disk_new(1);
    sim_worker_init(&fixture->worker);
    sim_clock_init(&fixture->clock);
    open_log(fixture, &recovery);
    raftlog_init(&fixture->raftlog, 0, 0, &(struct hard_state){0}, &(struct raft_conf_state){0});
    fixture->writer = (struct logwriter){
        .wal = fixture->wal, .raftlog = &fixture->raftlog, .mem = &fixture->mem,
        .worker = &fixture->worker.door, .clock = &fixture->clock.door,
        .progressed = progressed, .send = send};
    logwriter_begin(&fixture->writer, &recovery);
    wal_recovery_release(&recovery);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    logwriter_release(&fixture->writer);
    raftlog_release(&fixture->raftlog);
    wal_abandon(fixture->wal);
    sim_disk_free(fixture->disk);
    assert_int_equal(fixture->mem.live, 0);
    free(fixture);
    return 0;
}

static void queue_state(struct fixture *fixture, raft_term term, raft_id vote, raft_index commit)
{
    assert_ok(logwriter_queue(&fixture->writer,
                              &(struct raft_message){.type = RAFT_MSG_STORAGE_APPEND, .from = SELF,
                                                     .term = term, .vote = vote, .commit = commit}));
}

/* Of a term that was told before: nothing but entry and answer. */
static void queue_entry(struct fixture *fixture, raft_index index, raft_term term)
{
    struct entry entry = fixture_entry(index, term, 100);
    struct raft_message answer = {.type = RAFT_MSG_APP_RESP, .from = SELF, .to = LEADER, .term = term,
                                  .index = index};
    assert_ok(logwriter_queue(&fixture->writer,
                              &(struct raft_message){.type = RAFT_MSG_STORAGE_APPEND, .from = SELF,
                                                     .entries = &entry, .entry_count = 1,
                                                     .responses = &answer, .response_count = 1}));
    blob_unref(entry.payload);
}

static void settle(struct fixture *fixture)
{
    sim_clock_advance(&fixture->clock, 10 * NS_PER_S);
    while (logwriter_turn(&fixture->writer, 0) || sim_worker_run_all(&fixture->worker) > 0)
        ;
    assert_ok(fixture->writer.code);
}

static void fill_the_disk(struct fixture *fixture)
{
    struct hard_state state = {4, LEADER, 0};
    enum err_code code = ERR_OK;
    settle(fixture);
    sim_disk_limit(fixture->disk, 1);
    while (code == ERR_OK)
        code = wal_append(fixture->wal, &state, NULL, 0, NULL);
    assert_int_equal(code, ERR_NO_SPACE);
}

/* The power goes; what the log still knows is compared with state. */
static void expect_after_crash(struct fixture *fixture, struct hard_state state, raft_index last)
{
    struct wal_recovery recovery;
    wal_abandon(fixture->wal);
    sim_disk_crash(fixture->disk, 0, 0);
    open_log(fixture, &recovery);
    assert_true(hard_state_equal(&recovery.state, &state));
    assert_int_equal(recovery.entry_count, last);
    wal_recovery_release(&recovery);
}

/* A heartbeat of a new leader raises the term, with nothing to keep beside it and nobody to answer. An
 * entry of that term, acknowledged once there is room, rests on it. */
static void a_term_is_not_let_go(void **state)
{
    struct fixture *fixture = *state;
    queue_state(fixture, 4, LEADER, 0);
    fill_the_disk(fixture);
    queue_state(fixture, 5, RAFT_NOBODY, 0);
    assert_true(fixture->writer.no_space);
    queue_entry(fixture, 1, 5);
    settle(fixture);
    assert_int_equal(fixture->told, 0);
    sim_disk_limit(fixture->disk, 0);
    settle(fixture);
    assert_int_equal(fixture->told, 1);
    expect_after_crash(fixture, (struct hard_state){5, RAFT_NOBODY, 0}, 1);
}

static void a_vote_is_not_let_go(void **state)
{
    struct fixture *fixture = *state;
    queue_state(fixture, 4, LEADER, 0);
    fill_the_disk(fixture);
    queue_state(fixture, 4, SELF, 0);
    assert_true(fixture->writer.no_space);
    sim_disk_limit(fixture->disk, 0);
    settle(fixture);
    queue_entry(fixture, 1, 4);
    settle(fixture);
    expect_after_crash(fixture, (struct hard_state){4, SELF, 0}, 1);
}

static void a_commit_index_is_let_go(void **state)
{
    struct fixture *fixture = *state;
    queue_state(fixture, 4, LEADER, 0);
    fill_the_disk(fixture);
    queue_state(fixture, 4, LEADER, 1);
    assert_false(fixture->writer.no_space);
    assert_false(logwriter_commit_is_durable(&fixture->writer, 1));
    sim_disk_limit(fixture->disk, 0);
    settle(fixture);
    queue_entry(fixture, 1, 4);
    settle(fixture);
    assert_false(logwriter_commit_is_durable(&fixture->writer, 1));
    queue_state(fixture, 4, LEADER, 1);
    assert_false(logwriter_commit_is_durable(&fixture->writer, 1));     /* asks for a flush */
    settle(fixture);
    assert_true(logwriter_commit_is_durable(&fixture->writer, 1));
    expect_after_crash(fixture, (struct hard_state){4, LEADER, 1}, 1);
}

#define WRITER(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER(a_term_is_not_let_go),
        WRITER(a_vote_is_not_let_go),
        WRITER(a_commit_index_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
