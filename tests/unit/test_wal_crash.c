/* The log under faults: a run of every kind of call, stopped or made to fail at each call to the
 * disk in turn. What a flush had confirmed comes back, and nothing that was never appended. */
#include "tests/unit/wal_model.h"

struct run {
    struct sim_disk *sim;
    struct wal *wal;
    struct wal_options options;
    struct rand rand;
    struct model *model;
    struct wal_prepare_job *prepare;
    struct err err;
    bool refused;               /* some call answered NO_SPACE */
};

#define STEPS 120         /* of one run: several segments come and go */

static struct model_view found;

static void run_init(struct run *run, uint64_t seed)
{
    *run = (struct run){.sim = sim_disk_new(seed), .model = calloc(1, sizeof *run->model)};
    run->options = fixture_options(sim_disk_door(run->sim));
    rand_init(&run->rand, seed);
}

/* The process is gone: all handles with it. */
static void run_die(struct run *run)
{
    wal_abandon(run->wal);
    run->wal = NULL;
    run->prepare = NULL;
}

static void run_release(struct run *run)
{
    run_die(run);
    sim_disk_free(run->sim);
    free(run->model);
}

/* --- what a member may do with a log; each answers false once the log is dead --- */

static bool went_well(struct run *run, enum err_code code)
{
    if (code == ERR_NO_SPACE)
        run->refused = true;
    else if (code)
        assert_int_equal(code, ERR_IO);
    return code == ERR_OK;
}

static bool do_entries(struct run *run)
{
    struct model *model = run->model;
    raft_index index = model->now.last + 1;
    raft_term term = model->now.state.term ? model->now.state.term : 1;
    if (rand_chance(&run->rand, 1, 6) && model->now.last > model->now.mark_index)
        index = model->now.mark_index + 1 +
                rand_below(&run->rand, model->now.last - model->now.mark_index);
    size_t count = 1 + rand_below(&run->rand, 6);
    size_t size = rand_chance(&run->rand, 1, 2) ? rand_below(&run->rand, 60000)
                                                : rand_below(&run->rand, 400);
    if (!went_well(run, fixture_append(run->wal, index, term, count, size, &run->err)))
        return !wal_is_dead(run->wal);
    for (size_t i = 0; i < count; i++)
        model_push(model, (struct model_step){.kind = MODEL_ENTRY, .index = index + i,
                                              .term = term, .size = size});
    return true;
}

static bool do_state(struct run *run)
{
    struct hard_state state = run->model->now.state;
    state.term += 1 + rand_below(&run->rand, 2);
    state.vote = rand_below(&run->rand, 4);
    state.commit = run->model->now.mark_index;
    if (!went_well(run, wal_append(run->wal, &state, NULL, 0, &run->err)))
        return !wal_is_dead(run->wal);
    model_push(run->model, (struct model_step){.kind = MODEL_STATE, .state = state});
    return true;
}

static bool do_flush(struct run *run)
{
    struct wal_flush_job *job = wal_flush_begin(run->wal);
    size_t count = run->model->count;
    if (!job)
        return !wal_is_dead(run->wal);
    if (rand_chance(&run->rand, 1, 3))
        (void)!do_state(run);
    wal_flush_run(job);
    if (wal_flush_end(run->wal, job, &run->err))
        return false;
    run->model->flushed = count;
    return true;
}

static bool do_mark(struct run *run)
{
    struct model *model = run->model;
    struct model_view *now = &model->now;
    raft_index index = now->last > now->mark_index
                           ? now->mark_index + rand_below(&run->rand, now->last - now->mark_index)
                           : now->mark_index;
    raft_term term = index == now->mark_index ? now->mark_term : now->terms[index];
    bool replace = false;
    if (rand_chance(&run->rand, 1, 5)) {
        index = now->last + rand_below(&run->rand, 5);
        term = now->state.term + 1000;
        replace = true;
    }
    if (index == 0 || term == 0 || (index == now->mark_index && term != now->mark_term))
        return true;
    if (!went_well(run, fixture_mark(run->wal, index, term, "the members", &run->err)))
        return !wal_is_dead(run->wal);
    model_push(model, (struct model_step){.kind = MODEL_MARK, .index = index, .term = term,
                                          .replace = replace});
    return true;
}

static bool do_release(struct run *run)
{
    struct wal_stats stats;
    wal_get_stats(run->wal, &stats);
    wal_release(run->wal, stats.mark_index);
    return true;
}

/* A worker's job that begins now, runs later, ends later still. */
static bool do_prepare(struct run *run)
{
    if (!run->prepare) {
        run->prepare = wal_prepare_begin(run->wal);
        return true;
    }
    wal_prepare_run(run->prepare);
    enum err_code code = wal_prepare_end(run->wal, run->prepare, &run->err);
    run->prepare = NULL;
    return went_well(run, code) || !wal_is_dead(run->wal);
}

static bool run_step(struct run *run)
{
    switch (rand_below(&run->rand, 10)) {
    case 0:
        return do_state(run);
    case 1:
        return do_mark(run);
    case 2:
        return do_release(run);
    case 3:
    case 4:
        return do_prepare(run);
    case 5:
    case 6:
    case 7:
        return do_flush(run);
    default:
        return do_entries(run);
    }
}

/* --- coming back --- */

static enum err_code try_open(struct run *run, struct wal_recovery *recovery)
{
    return wal_open(&run->options, &run->wal, recovery, &run->err);
}

/* Opens and compares; the model goes on from there. */
static void check_open(struct run *run)
{
    struct wal_recovery recovery = {0};
    assert_good(try_open(run, &recovery), run->err);
    assert_true(model_find(run->model, &recovery, run->model->flushed, &found));
    model_check_payloads(&recovery);
    model_restart(run->model, &found);
    wal_recovery_release(&recovery);
}

static bool run_steps(struct run *run, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!run_step(run))
            return false;
    return true;
}

/* The whole of a run with the faults that are set: a start, steps, a clean stop, a start, steps. */
static bool run_all(struct run *run, unsigned steps)
{
    struct wal_recovery recovery = {0};
    enum err_code code = try_open(run, &recovery);
    wal_recovery_release(&recovery);
    if (code || !run_steps(run, steps))
        return false;
    if (run->prepare && !do_prepare(run))
        return false;
    struct wal *wal = run->wal;
    run->wal = NULL;
    code = wal_close(wal, &run->err);
    if (code)
        return false;
    run->model->flushed = run->model->count;
    code = try_open(run, &recovery);
    if (code == ERR_OK) {
        assert_true(recovery.sealed);
        assert_true(model_view_matches(&run->model->now, &recovery));
    }
    wal_recovery_release(&recovery);
    return code == ERR_OK && run_steps(run, steps / 2);
}

/* The calls of a run without faults, in which every kind of call occurs. */
static uint64_t count_calls(uint64_t seed, unsigned steps)
{
    struct run run;
    run_init(&run, seed);
    assert_true(run_all(&run, steps));
    uint64_t calls = sim_disk_calls(run.sim), of[SIM_DISK_KIND_COUNT];
    for (int kind = 0; kind < SIM_DISK_KIND_COUNT; kind++) {
        of[kind] = sim_disk_calls_of(run.sim, (enum sim_disk_kind)kind);
        assert_true(of[kind] > 0);
    }
    print_message("seed %" PRIu64 ": %" PRIu64 " calls: %" PRIu64 " opens, %" PRIu64 " writes, %"
                  PRIu64 " syncs, %" PRIu64 " of folders, %" PRIu64 " renames, %" PRIu64 " removals\n",
                  seed, calls, of[SIM_DISK_OPEN], of[SIM_DISK_WRITE], of[SIM_DISK_SYNC],
                  of[SIM_DISK_FOLDER], of[SIM_DISK_RENAME], of[SIM_DISK_REMOVE]);
    run_release(&run);
    return calls;
}

/* --- the tests --- */

static const struct { unsigned keep, torn; } losses[] = {{0, 0}, {500, 100}, {1000, 0}};

static void crash_at(uint64_t seed, unsigned steps, uint64_t call, unsigned keep, unsigned torn)
{
    struct run run;
    run_init(&run, seed);
    sim_disk_stop(run.sim, call);
    (void)!run_all(&run, steps);
    run_die(&run);
    sim_disk_crash(run.sim, keep, torn);
    sim_disk_stop(run.sim, sim_disk_calls(run.sim) + 1 + rand_below(&run.rand, 20));
    struct wal_recovery recovery = {0};
    if (try_open(&run, &recovery) == ERR_OK && run.model->flushed > 0)
        assert_true(model_find(run.model, &recovery, run.model->flushed, &found));
    wal_recovery_release(&recovery);
    run_die(&run);
    sim_disk_crash(run.sim, keep, torn);
    check_open(&run);
    run_release(&run);
}

static void test_power_cut_at_every_call(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        uint64_t calls = count_calls(seed, STEPS);
        assert_true(calls > 80);
        for (uint64_t call = 1; call <= calls; call++)
            for (size_t i = 0; i < ARRAY_COUNT(losses); i++)
                crash_at(seed, STEPS, call, losses[i].keep, losses[i].torn);
    }
}

/* One error at one call; the member does what it must: goes on, or stops and starts again. */
static void fail_at(uint64_t seed, unsigned steps, uint64_t call, enum err_code code, bool sticky)
{
    struct run run;
    run_init(&run, seed);
    sim_disk_fail(run.sim, call, code, sticky);
    (void)!run_all(&run, steps);
    run_die(&run);
    sim_disk_kill(run.sim);
    check_open(&run);
    assert_true(run_steps(&run, 20));
    run_die(&run);
    sim_disk_crash(run.sim, 300, 50);
    check_open(&run);
    run_release(&run);
}

static void test_every_call_fails_once(void **state)
{
    (void)state;
    uint64_t calls = count_calls(4, STEPS);
    for (uint64_t call = 1; call <= calls; call++) {
        fail_at(4, STEPS, call, ERR_IO, false);
        fail_at(4, STEPS, call, ERR_NO_SPACE, false);
    }
}

static void test_every_call_fails_from_then_on(void **state)
{
    (void)state;
    uint64_t calls = count_calls(5, STEPS);
    for (uint64_t call = 1; call <= calls; call++) {
        fail_at(5, STEPS, call, ERR_IO, true);
        fail_at(5, STEPS, call, ERR_NO_SPACE, true);
    }
}

/* Long lives: many crashes of one log, each after some steps. */
static void test_a_log_of_many_crashes(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 110; seed++) {
        struct run run;
        run_init(&run, seed);
        for (int life = 0; life < 40; life++) {
            check_open(&run);
            sim_disk_stop(run.sim, sim_disk_calls(run.sim) + 1 + rand_below(&run.rand, 60));
            (void)!run_steps(&run, 60);
            run_die(&run);
            if (rand_chance(&run.rand, 1, 4))
                sim_disk_kill(run.sim);
            else
                sim_disk_crash(run.sim, (unsigned)rand_below(&run.rand, 1001),
                               (unsigned)rand_below(&run.rand, 200));
            if (run.model->now.last > MODEL_ENTRIES_MAX / 2)
                break;
        }
        check_open(&run);
        run_release(&run);
    }
}

/* A sector that cannot be read stops the opening with its file named, or it is none of the log's. */
static void test_unreadable_sectors(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, 7);
    assert_true(run_all(&run, STEPS));
    assert_true(do_flush(&run));
    run_die(&run);
    sim_disk_kill(run.sim);
    unsigned refused = 0;
    for (unsigned number = 1; number < 40; number++) {
        char name[64];
        uint64_t size;
        snprintf(name, sizeof name, "wal/%016x.seg", number);
        for (uint64_t at = 0; sim_disk_look(run.sim, name, &size) && at < size; at += 16384) {
            struct sim_disk *copy = sim_disk_clone(run.sim, 1);
            struct wal_recovery recovery = {0};
            struct wal *wal = NULL;
            run.options.disk = sim_disk_door(copy);
            sim_disk_fail_sector(copy, name, at);
            if (wal_open(&run.options, &wal, &recovery, &run.err)) {
                assert_int_equal(run.err.code, ERR_IO);
                assert_non_null(strstr(run.err.text, name));
                refused++;
            }
            wal_abandon(wal);
            wal_recovery_release(&recovery);
            sim_disk_free(copy);
        }
    }
    assert_true(refused > 10);
    run_release(&run);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_power_cut_at_every_call),
    cmocka_unit_test(test_every_call_fails_once),
    cmocka_unit_test(test_every_call_fails_from_then_on),
    cmocka_unit_test(test_a_log_of_many_crashes),
    cmocka_unit_test(test_unreadable_sectors),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
