/* How long nobody can put when the leader is gone, and whether it is replaced when it is not.
 *
 * On both survivors a client puts, one after the other. What counts is a put that was sent after the
 * fault: from the fault to its answer. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/bench/bench_cluster.h"

#define PAUSE_MS 1              /* of the clients, which are not to take the machine */
#define OUTAGE_MAX_NS (30 * INT64_C(1000000000))
#define SPINNERS 2

/* ---- outages ---- */

static const struct rig_puts survivor = {.clients = 1, .pause_ms = PAUSE_MS, .value_size = 256};

/* From when it may have been, and when it certainly was. */
struct fault {
    int64_t begun_ns, done_ns;
};

/* The answer to the first put that was sent then or later; 0: there is none yet. */
static int64_t answered_after(const struct rig_shared *shared, int64_t then_ns)
{
    size_t count = atomic_load_explicit(&shared->put_count, memory_order_acquire);
    int64_t first = 0;
    for (size_t i = count; i-- > 0 && shared->puts[i].sent_ns >= then_ns;)
        first = shared->puts[i].answered_ns;
    return first;
}

static void take_outage(struct rig *rig, size_t place, const struct fault *fault, struct samples *ret)
{
    const struct rig_shared *shared = rig_shared(rig, place);
    int64_t answered;
    while (!(answered = answered_after(shared, fault->done_ns))) {
        rig_sleep_ms(1);
        if (bench_now_ns() - fault->done_ns > OUTAGE_MAX_NS)
            bench_die("no put is answered any more");
    }
    samples_add(ret, answered - fault->begun_ns);
}

struct outages {
    struct samples samples;
    uint64_t terms, failed;
};

/* One fault of the leader, seen by the two others. */
static void run_round(struct rig *rig, size_t leader, struct outages *outages,
                      struct fault (*make)(struct rig *rig, size_t leader, const char *netns),
                      const char *netns)
{
    struct rig_status before, after;
    size_t one = rig_other(leader), other = rig_other(one);
    rig_status(rig, one, &before);
    rig_puts_begin(rig, one, &survivor);
    rig_puts_begin(rig, other, &survivor);
    rig_sleep_ms(100 + bench_now_ns() / 1000 % 50);
    struct fault fault = make(rig, leader, netns);
    take_outage(rig, one, &fault, &outages->samples);
    take_outage(rig, other, &fault, &outages->samples);
    rig_puts_end(rig, one);
    rig_puts_end(rig, other);
    rig_status(rig, one, &after);
    outages->terms += after.term - before.term;
    outages->failed += atomic_load(&rig_shared(rig, one)->failed_count) +
                       atomic_load(&rig_shared(rig, other)->failed_count);
}

static void print_outages(const char *name, long rounds, struct outages *outages)
{
    struct samples *samples = &outages->samples;
    printf("%-16s p50 %8.1f ms  p90 %8.1f ms  p99 %8.1f ms  most %8.1f ms  (%ld times, %.2f terms each, "
           "%" PRIu64 " puts failed)\n",
           name, samples_at(samples, 0.5) / 1000, samples_at(samples, 0.9) / 1000,
           samples_at(samples, 0.99) / 1000, samples_at(samples, 1) / 1000, rounds,
           (double)outages->terms / (double)rounds, outages->failed);
}

/* ---- kill -9 ---- */

static struct fault kill_leader(struct rig *rig, size_t leader, const char *netns)
{
    (void)netns;
    int64_t now = rig_kill(rig, leader);
    return (struct fault){now, now};
}

void bench_kill(struct rig *rig, bool is_full)
{
    struct outages outages = {0};
    struct samples restarts = {0};
    long rounds = is_full ? 100 : 20;
    for (long i = 0; i < rounds; i++) {
        size_t leader = rig_settled(rig);
        run_round(rig, leader, &outages, kill_leader, NULL);
        int64_t begin = bench_now_ns();
        rig_start(rig, leader);
        rig_wait_serves(rig, leader);
        samples_add(&restarts, atomic_load(&rig_shared(rig, leader)->serves_ns) - begin);
    }
    print_outages("kill", rounds, &outages);
    printf("%-16s p50 %8.1f ms  p99 %8.1f ms\n", "restart", samples_at(&restarts, 0.5) / 1000,
           samples_at(&restarts, 0.99) / 1000);
    rig_goal_at_most("failover after kill -9, p50,", samples_at(&outages.samples, 0.5) / 1000, 100,
                     "ms");
    samples_release(&outages.samples);
    samples_release(&restarts);
}

/* ---- a link that is silent ---- */

/* The member's end at the bridge, taken off it and put back: its own end does not notice. */
static void set_link(const char *netns, size_t place, const char *bridge)
{
    char *command = mem_xformat("ip -n '%s-hub' link set dev to-%c %s", netns, (int)('a' + place), bridge);
    if (system(command) != 0)
        bench_die("'%s' does not work", command);
    free(command);
}

static struct fault cut_leader(struct rig *rig, size_t leader, const char *netns)
{
    struct fault fault = {.begun_ns = bench_now_ns()};
    (void)rig;
    set_link(netns, leader, "nomaster");
    fault.done_ns = bench_now_ns();
    return fault;
}

void bench_cut(struct rig *rig, bool is_full, const char *netns)
{
    struct outages outages = {0};
    long rounds = is_full ? 100 : 20;
    for (long i = 0; i < rounds; i++) {
        size_t leader = rig_settled(rig);
        run_round(rig, leader, &outages, cut_leader, netns);
        set_link(netns, leader, "master bridge");
    }
    print_outages("cut", rounds, &outages);
    rig_goal_at_most("failover after a silent cut, p99,", samples_at(&outages.samples, 0.99) / 1000,
                     1000, "ms");
    samples_release(&outages.samples);
}

/* ---- full load ---- */

static void spin(void)
{
    for (volatile unsigned i = 0;; i++)
        ;
}

static pid_t start_spinner(void)
{
    pid_t pid = fork();
    if (pid == 0)
        spin();
    if (pid < 0)
        bench_die("no spinner");
    return pid;
}

void bench_spin(struct rig *rig, bool is_full)
{
    struct samples puts = {0};
    struct rig_status before, after;
    pid_t spinners[SPINNERS];
    long seconds = is_full ? 600 : 20;
    size_t leader = rig_settled(rig);
    rig_status(rig, leader, &before);
    rig_puts_begin(rig, leader,
                   &(struct rig_puts){.clients = 1, .pause_ms = 10, .value_size = 256});
    for (size_t i = 0; i < SPINNERS; i++)
        spinners[i] = start_spinner();
    rig_sleep_ms(seconds * 1000);
    for (size_t i = 0; i < SPINNERS; i++) {
        kill(spinners[i], SIGKILL);
        waitpid(spinners[i], NULL, 0);
    }
    rig_puts_end(rig, leader);
    rig_status(rig, leader, &after);
    rig_take_samples(rig, leader, 0, INT64_MAX, &puts);
    printf("%-16s p50 %8.1f us  p99 %8.1f us  most %8.1f ms  (%d spinners, %ld s, 1 client)\n", "spin",
           samples_at(&puts, 0.5), samples_at(&puts, 0.99), samples_at(&puts, 1) / 1000, SPINNERS,
           seconds);
    rig_goal_at_most("elections without a fault", (double)(after.term - before.term), 0, "terms");
    samples_release(&puts);
}
