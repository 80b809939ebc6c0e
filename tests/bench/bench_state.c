/* State on its way: a follower that was away, and a member that is new. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/bench/bench_cluster.h"

#define FILL_VALUE_SIZE (64 * 1024)

/* ---- catching up ---- */

void bench_catch_up(struct rig *rig, bool is_full)
{
    const struct rig_puts puts = {.clients = 1000, .count = is_full ? 100000 : 20000, .value_size = 256};
    struct rig_status leading, following;
    size_t leader = rig_settled(rig), follower = rig_other(leader);
    rig_kill(rig, follower);
    int64_t begin = bench_now_ns(), reached;
    rig_puts_begin(rig, leader, &puts);
    rig_puts_end(rig, leader);
    double put_rate = (double)puts.count * 1e9 / (double)(bench_now_ns() - begin);
    rig_cpu_at_rest_ns(rig);
    rig_status(rig, leader, &leading);
    begin = bench_now_ns();
    rig_start(rig, follower);
    rig_wait_applied(rig, follower, leading.index, &reached);
    rig_status(rig, follower, &following);
    int64_t opened = atomic_load(&rig_shared(rig, follower)->opened_ns);
    double rate = (double)puts.count * 1e9 / (double)(reached - opened);
    printf("%-16s %8.0f entries/s, after %.0f ms of starting (%ld entries behind, %" PRIu64
           " came as entries, else in tables) | two members put %.0f/s, x %.2f\n",
           "catch-up", rate, (double)(opened - begin) / 1e6, puts.count, following.entries, put_rate,
           rate / put_rate);
    fflush(stdout);
}

/* ---- joining ---- */

static double number_of(const char *command)
{
    double number = 0;
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%lf", &number) != 1)
        bench_die("'%s' says nothing", command);
    pclose(pipe);
    return number;
}

static void run_command(char *command)          /* takes it */
{
    if (system(command) != 0)
        bench_die("'%s' does not work", command);
    free(command);
}

/* Seconds that cp takes for the tables, each synced; and their size. Links keep the tables that are
 * replaced meanwhile. */
static double copy_s(const struct rig *rig, size_t place, double *ret_bytes)
{
    const char *here = rig_data_path(rig, RIG_VOTERS);
    char *size = mem_xformat("cat '%s/links'/* | wc -c", here);
    run_command(mem_xformat("mkdir '%s/links' '%s/copy' && ln '%s'/store*/*.ldb '%s/links'", here, here,
                            rig_data_path(rig, place), here));
    int64_t begin = bench_now_ns();
    run_command(mem_xformat("cp '%s/links'/* '%s/copy' && sync '%s/copy'/*", here, here, here));
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    *ret_bytes = number_of(size);
    run_command(mem_xformat("rm -r '%s/links' '%s/copy'", here, here));
    free(size);
    return seconds;
}

static void fill(struct rig *rig, size_t leader, double mib)
{
    rig_puts_begin(rig, leader,
                   &(struct rig_puts){.clients = 16,
                                      .count = (long)(mib * 1024 * 1024 / FILL_VALUE_SIZE),
                                      .value_size = FILL_VALUE_SIZE,
                                      .is_random = true,
                                      .is_new = true});
    rig_puts_end(rig, leader);
    rig_settled(rig);
    rig_cpu_at_rest_ns(rig);
    run_command(mem_xstrdup("sync"));
}

/* What a join took, beside cp and fsync of the same tables before and after it. */
struct join {
    double bytes, join_s, copy_before_s, copy_after_s;
    struct samples quiet, during;       /* puts of the leader's one client */
};

static void run_join(struct rig *rig, bool is_full, struct join *join)
{
    const struct rig_puts puts = {.clients = 1, .pause_ms = 1, .value_size = 256};
    size_t leader = rig_settled(rig);
    fill(rig, leader, is_full ? 1024 : 128);
    join->copy_before_s = copy_s(rig, leader, &join->bytes);
    rig_puts_begin(rig, leader, &puts);
    rig_sleep_ms(is_full ? 20000 : 5000);
    int64_t begin = bench_now_ns();
    rig_join(rig, RIG_VOTERS);
    rig_wait_serves(rig, RIG_VOTERS);
    int64_t serves = atomic_load(&rig_shared(rig, RIG_VOTERS)->serves_ns);
    rig_puts_end(rig, leader);
    join->join_s = (double)(serves - begin) / 1e9;
    rig_take_samples(rig, leader, 0, begin, &join->quiet);
    rig_take_samples(rig, leader, begin, serves, &join->during);
    join->copy_after_s = copy_s(rig, RIG_VOTERS, &join->bytes);
}

void bench_join(struct rig *rig, bool is_full)
{
    struct join join = {0};
    run_join(rig, is_full, &join);
    double mib = join.bytes / (1024 * 1024), cp_s = (join.copy_before_s + join.copy_after_s) / 2;
    double quiet_p99 = samples_at(&join.quiet, 0.99), during_p99 = samples_at(&join.during, 0.99);
    printf("%-16s %8.1f MiB in %.2f s, %.0f MiB/s | cp + fsync %.2f and %.2f s, %.0f MiB/s, x %.2f\n",
           "join", mib, join.join_s, mib / join.join_s, join.copy_before_s, join.copy_after_s, mib / cp_s,
           cp_s / join.join_s);
    printf("%-16s p50 %8.1f us  p99 %8.1f us (%zu) | quiet p50 %.1f us, p99 %.1f us\n", "leader meanwhile",
           samples_at(&join.during, 0.5), during_p99, join.during.count, samples_at(&join.quiet, 0.5),
           quiet_p99);
    rig_goal_at_least("speed of a join, part of cp + fsync,", 100 * cp_s / join.join_s, 60, "%");
    rig_goal_at_most("p99 of the leader's puts, 2 x quiet,", during_p99, 2 * quiet_p99, "us");
    samples_release(&join.quiet);
    samples_release(&join.during);
}
