#include "tests/sim/sim_worker.h"

static void submit(struct worker *door, enum worker_lane lane, struct worker_job *job)
{
    struct sim_worker *worker = container_of(door, struct sim_worker, door);
    list_push_back(&worker->queues[lane], &job->link);
    worker->waiting++;
}

void sim_worker_init(struct sim_worker *worker)
{
    *worker = (struct sim_worker){.door.submit = submit};
    for (int i = 0; i < WORKER_LANE_COUNT; i++)
        list_init(&worker->queues[i]);
}

bool sim_worker_run_one(struct sim_worker *worker, enum worker_lane lane)
{
    struct list *link = list_pop_front(&worker->queues[lane]);
    if (!link)
        return false;
    struct worker_job *job = container_of(link, struct worker_job, link);
    worker->waiting--;
    worker->ran++;
    job->run(job);
    job->done(job);
    return true;
}

size_t sim_worker_run_all(struct sim_worker *worker)
{
    size_t before = worker->ran;
    bool ran = true;
    while (ran) {
        ran = false;
        for (int i = 0; i < WORKER_LANE_COUNT; i++)
            ran |= sim_worker_run_one(worker, (enum worker_lane)i);
    }
    return worker->ran - before;
}

static int64_t monotonic_ns(struct clock *door)
{
    return container_of(door, struct sim_clock, door)->now_ns;
}

static int64_t wall_ns(struct clock *door)
{
    return container_of(door, struct sim_clock, door)->wall_ns;
}

void sim_clock_init(struct sim_clock *clock)
{
    *clock = (struct sim_clock){{monotonic_ns, wall_ns}, NS_PER_S, 1700000000 * NS_PER_S};
}

void sim_clock_advance(struct sim_clock *clock, int64_t ns)
{
    clock->now_ns += ns;
    clock->wall_ns += ns;
}
