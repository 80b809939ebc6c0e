/* Three members on this machine, each a process of its own, real log, store and TCP; clients inside of them.
 *
 * usage: bench_cluster FOLDER WORKLOAD [NETNS]
 *        WORKLOAD is puts, kill, cut, spin, catch-up or join
 *
 * Each figure is printed with its floor of the same run and the goal. bench_cluster.sh runs all, and the
 * ones through mounts. "cut" needs network namespaces whose names begin with NETNS (see there).
 * FULL=1 is the long form.
 */
#include "tests/bench/bench_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 256
#define FLUSHES 200             /* of each of the two threads, beside a block */

struct figures {
    struct samples ours, floor;         /* floor: three LevelDBs */
    struct samples flushes;
    int64_t puts_per_flush;             /* of the leader, of all blocks */
};

/* ---- puts ---- */

struct stage {
    const char *name;
    long clients, blocks, block;        /* puts in a block */
    enum { AT_LEADER, AT_FOLLOWER, AT_ALL } where;
};

static void begin_block(struct rig *rig, const struct stage *stage, size_t leader)
{
    size_t first = stage->where == AT_FOLLOWER ? rig_other(leader) : leader;
    size_t places = stage->where == AT_ALL ? RIG_VOTERS : 1;
    for (size_t i = 0; i < places; i++)
        rig_puts_begin(rig, (first + i) % RIG_VOTERS,
                       &(struct rig_puts){.clients = stage->clients / (long)places,
                                          .count = stage->block / (long)places,
                                          .value_size = VALUE_SIZE});
    for (size_t i = 0; i < places; i++)
        rig_puts_end(rig, (first + i) % RIG_VOTERS);
}

static void take_block(struct rig *rig, const struct stage *stage, size_t leader,
                       struct samples *ret)
{
    for (size_t i = 0; i < RIG_VOTERS; i++)
        if (stage->where == AT_ALL || (stage->where == AT_LEADER) == (i == leader))
            if (stage->where != AT_FOLLOWER || i == rig_other(leader))
                rig_take_samples(rig, i, 0, INT64_MAX, ret);
}

static void run_ours(struct rig *rig, const struct stage *stage, size_t leader,
                     struct figures *figures)
{
    struct rig_status before, after;
    rig_status(rig, leader, &before);
    int64_t cpu = rig_cpu_at_rest_ns(rig), begin = bench_now_ns();
    begin_block(rig, stage, leader);
    figures->ours.wall_ns += bench_now_ns() - begin;
    figures->ours.cpu_ns += rig_cpu_at_rest_ns(rig) - cpu;
    figures->ours.operations += (uint64_t)stage->block;
    rig_status(rig, leader, &after);
    figures->ours.flushes += after.flushes - before.flushes;
    take_block(rig, stage, leader, &figures->ours);
}

/* The batches of the floor are as large as ours were. */
static void run_floor(struct rig *rig, const struct stage *stage, struct figures *figures)
{
    double each = samples_flushes(&figures->ours);
    size_t batch = each > 0 && each < 1 ? (size_t)(1 / each + 0.5) : 1;
    int64_t cpu = rig_floor_cpu_at_rest_ns(rig);
    figures->floor.wall_ns += rig_floor_puts(rig, stage->block, batch, VALUE_SIZE);
    figures->floor.cpu_ns += rig_floor_cpu_at_rest_ns(rig) - cpu;
    figures->floor.operations += (uint64_t)stage->block;
    figures->puts_per_flush = (int64_t)batch;
}

static void print_stage(const struct stage *stage, struct figures *figures)
{
    double cpu = samples_cpu_us(&figures->ours), floor = samples_cpu_us(&figures->floor);
    double p50 = samples_at(&figures->ours, 0.5);
    printf("%-16s p50 %8.1f us  p99 %8.1f us %8.0f/s  cpu of all members %7.2f us a put  "
           "%" PRId64 " puts a flush | three leveldbs %6.2f us, x %.2f",
           stage->name, p50, samples_at(&figures->ours, 0.99), samples_rate(&figures->ours), cpu,
           figures->puts_per_flush, floor, floor > 0 ? cpu / floor : 0);
    if (figures->flushes.count)
        printf(" | two flushes at once p50 %.1f p99 %.1f us", samples_at(&figures->flushes, 0.5),
               samples_at(&figures->flushes, 0.99));
    printf("\n");
    if (stage->clients == 1 && stage->where == AT_LEADER)
        rig_goal_at_most("p50 of a put, 1.5 x two flushes at once + 200 us,", p50,
                         1.5 * samples_at(&figures->flushes, 0.5) + 200, "us");
    if (stage->clients == RIG_CLIENTS_MAX && stage->where == AT_LEADER)
        rig_goal_at_most("cpu a put, 2.5 x three leveldbs,", cpu, 2.5 * floor, "us");
    fflush(stdout);
}

static void run_stage(struct rig *rig, const struct stage *stage)
{
    struct figures figures = {0};
    size_t leader = rig_settled(rig);
    for (long block = 0; block < stage->blocks; block++) {
        run_ours(rig, stage, leader, &figures);
        run_floor(rig, stage, &figures);
        if (stage->clients == 1)
            rig_floor_flushes(rig, FLUSHES, &figures.flushes);
    }
    print_stage(stage, &figures);
    samples_release(&figures.ours);
    samples_release(&figures.flushes);
}

static void run_stages(struct rig *rig, bool is_full)
{
    long scale = is_full ? 5 : 1;
    const struct stage stages[] = {
        {"put-1", 1, 4 * scale, 500, AT_LEADER},
        {"put-1-follower", 1, 4 * scale, 500, AT_FOLLOWER},
        {"put-64", 64, 4 * scale, 5000, AT_LEADER},
        {"put-1000", 1000, 4 * scale, 20000, AT_LEADER},
        {"put-1000-spread", 999, 4 * scale, 19980, AT_ALL},
    };
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
        run_stage(rig, &stages[i]);
}

static void warm_up(struct rig *rig)
{
    size_t leader = rig_settled(rig);
    rig_puts_begin(rig, leader,
                   &(struct rig_puts){.clients = 64, .count = 5000, .value_size = VALUE_SIZE});
    rig_puts_end(rig, leader);
    rig_floor_puts(rig, 5000, 64, VALUE_SIZE);
}

void bench_puts(struct rig *rig, bool is_full)
{
    const char *idle = getenv("BENCH_IDLE");
    warm_up(rig);
    run_stages(rig, is_full);
    if (!idle || !*idle)
        return;
    setenv("BENCH_JOIN", rig_address(rig, 0), 1);
    if (system("sh \"$BENCH_SCRIPT\" --add-idle") != 0)
        bench_die("the idle mounts do not come up");
    printf("the same with %s idle mounts:\n", idle);
    run_stages(rig, is_full);
}

/* ---- all ---- */

int main(int argc, char **argv)
{
    const char *workload = argc > 2 ? argv[2] : "", *netns = argc > 3 ? argv[3] : NULL;
    bool is_full = bench_setting("FULL", 0) != 0;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s FOLDER puts|kill|cut|spin|catch-up|join [NETNS]\n", argv[0]);
        return 2;
    }
    struct rig *rig = rig_open(argv[1], netns);
    if (!strcmp(workload, "puts"))
        bench_puts(rig, is_full);
    else if (!strcmp(workload, "kill"))
        bench_kill(rig, is_full);
    else if (!strcmp(workload, "cut") && netns)
        bench_cut(rig, is_full, netns);
    else if (!strcmp(workload, "spin"))
        bench_spin(rig, is_full);
    else if (!strcmp(workload, "catch-up"))
        bench_catch_up(rig, is_full);
    else if (!strcmp(workload, "join"))
        bench_join(rig, is_full);
    else
        fprintf(stderr, "%s: there is no workload '%s'\n", argv[0], workload);
    rig_close(rig);
    return 0;
}
