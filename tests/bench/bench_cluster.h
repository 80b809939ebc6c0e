/* The workloads of bench_cluster, each with its own report. is_full: the long form. */
#ifndef TESTS_BENCH_BENCH_CLUSTER_H
#define TESTS_BENCH_BENCH_CLUSTER_H

#include "tests/bench/rig.h"

/* Puts at 1, 64 and 1000 clients, beside two flushes at once and three LevelDBs. With
 * BENCH_IDLE, so many idle mounts are added by "BENCH_SCRIPT --add-idle", and the same is done again. */
void bench_puts(struct rig *rig, bool is_full);
/* How long nobody can put: after kill -9 of the leader, and after its link went silent. */
void bench_kill(struct rig *rig, bool is_full);
void bench_cut(struct rig *rig, bool is_full, const char *netns);
/* Elections while two spinners take the machine. */
void bench_spin(struct rig *rig, bool is_full);
/* A follower that was away takes what it missed. */
void bench_catch_up(struct rig *rig, bool is_full);
/* A new member, of a cluster that holds much; and what that does to the leader. */
void bench_join(struct rig *rig, bool is_full);

#endif
