/* cluster/worker: the real threads. */
#include "tests/test.h"

#include <semaphore.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cluster/worker.h"
#include "proto/base/check.h"

struct errand {
    struct worker_job job;
    int priority;               /* of the thread that ran it */
    bool done;
};

static void run(struct worker_job *job)
{
    container_of(job, struct errand, job)->priority = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void done(struct worker_job *job) { container_of(job, struct errand, job)->done = true; }

static void wake(void *semaphore) { sem_post(semaphore); }

/* Threads are made by the first job of their lane; none inherits what another was given. */
static void only_bulk_yields(void **state)
{
    (void)state;
    sem_t completed;
    int own = getpriority(PRIO_PROCESS, (id_t)gettid()), lowest = own + 10 > 19 ? 19 : own + 10;
    struct errand errands[2 * WORKER_LANE_COUNT] = {0};
    sem_init(&completed, 0, 0);
    struct worker_threads *threads = worker_threads_new(wake, &completed);
    for (size_t i = 0; i < ARRAY_COUNT(errands); i++) {
        struct errand *errand = &errands[i];
        errand->job = (struct worker_job){.run = run, .done = done};
        worker_submit(worker_threads_door(threads), (enum worker_lane)(i % WORKER_LANE_COUNT), &errand->job);
        sem_wait(&completed);
        assert_false(errand->done);
        worker_threads_complete(threads);
        assert_true(errand->done);
        assert_int_equal(errand->priority, i % WORKER_LANE_COUNT == WORKER_BULK ? lowest : own);
    }
    worker_threads_free(threads);
    sem_destroy(&completed);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
}

/* What was submitted is run and told, however soon they end. */
static void the_end_waits_for_all(void **state)
{
    (void)state;
    sem_t completed;
    struct errand errands[40] = {0};
    sem_init(&completed, 0, 0);
    struct worker_threads *threads = worker_threads_new(wake, &completed);
    for (size_t i = 0; i < ARRAY_COUNT(errands); i++) {
        errands[i].job = (struct worker_job){.run = run, .done = done};
        worker_submit(worker_threads_door(threads), (enum worker_lane)(i % WORKER_LANE_COUNT),
                      &errands[i].job);
    }
    worker_threads_free(threads);
    sem_destroy(&completed);
    for (size_t i = 0; i < ARRAY_COUNT(errands); i++)
        assert_true(errands[i].done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_bulk_yields),
        cmocka_unit_test(the_end_waits_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
