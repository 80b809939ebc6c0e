/* A cluster for benchmarks: each member is a process of its own with a real log, store and TCP, whose
 * clients live inside of it; one more process takes the floors. The caller tells them what to do.
 *
 *     rig_open         a process each; they form the cluster
 *     rig_puts_begin   a member's clients put; rig_puts_end waits for them
 *     rig_kill, rig_start, rig_join
 *
 * The caller opens nothing of a member and has no other thread, so it may fork at any time. Times are
 * CLOCK_MONOTONIC, the same in every process. Whatever goes wrong ends the program with a sentence, and
 * with it all its processes.
 */
#ifndef TESTS_BENCH_RIG_H
#define TESTS_BENCH_RIG_H

#include <stdatomic.h>

#include "tests/bench/bench.h"

#define RIG_MEMBERS_MAX 4           /* three that begin, one that joins */
#define RIG_VOTERS 3
#define RIG_CLIENTS_MAX 1000
#define RIG_PUTS_MAX (1u << 21)     /* of one order */
#define RIG_VALUE_MAX (256 * 1024)

/* What a process writes and the caller reads, at any time. */
struct rig_shared {
    _Atomic int64_t opened_ns, serves_ns;       /* of a member: 0: not yet */
    atomic_size_t put_count, failed_count;      /* of the order that runs or ran last */
    struct rig_put {
        int64_t sent_ns, answered_ns;
    } puts[RIG_PUTS_MAX];
};

/* An order for clients. */
struct rig_puts {
    long clients;
    long count;                 /* 0: until rig_puts_end; then what fails is counted and tried again */
    long pause_ms;              /* between an answer and the next put; for one client */
    size_t value_size;
    bool is_random;             /* values that do not compress; else half of each does */
    bool is_new;                /* a new key each; else 10,000 keys */
};

struct rig_status {
    uint64_t self, leader, term, index, applied, flushes;
    uint64_t entries;           /* applied since it started: those that came in tables are not among them */
};

struct rig;

/* folder: for data and what the members say. netns: NULL (loopback), or the beginning of the names of
 * network namespaces: member 0 lives in NETNS-a with the address 10.78.0.1, and so on. Returns when all
 * serve. */
struct rig *rig_open(const char *folder, const char *netns);
/* Ends the processes; data stays where it is. */
void rig_close(struct rig *rig);

/* ---- members, by their place: 0 is "a" ---- */

/* Where others can join: HOST:PORT. */
const char *rig_address(const struct rig *rig, size_t place);
const char *rig_data_path(const struct rig *rig, size_t place);
struct rig_shared *rig_shared(struct rig *rig, size_t place);
void rig_status(struct rig *rig, size_t place, struct rig_status *ret);
/* The place of the leader, once the voters agree on one and have all that it has. */
size_t rig_settled(struct rig *rig);
size_t rig_other(size_t place);                 /* another voter */
/* kill -9, at the instant that is returned; its process has ended on return. */
int64_t rig_kill(struct rig *rig, size_t place);
/* Starts it on the data it has; returns at once. See rig_shared's times. */
void rig_start(struct rig *rig, size_t place);
/* A new member at that place, a learner; likewise. */
void rig_join(struct rig *rig, size_t place);
void rig_wait_serves(struct rig *rig, size_t place);
/* Returns when the member has applied that; *ret_ns: when it had. */
void rig_wait_applied(struct rig *rig, size_t place, uint64_t index, int64_t *ret_ns);

/* ---- orders ---- */

void rig_puts_begin(struct rig *rig, size_t place, const struct rig_puts *puts);
/* Waits until they are all answered. */
void rig_puts_end(struct rig *rig, size_t place);
/* Adds those answered within [from, to) to the samples. */
void rig_take_samples(struct rig *rig, size_t place, int64_t from_ns, int64_t to_ns,
                      struct samples *ret);

/* The floor's process: puts written to three LevelDBs alone, batch puts at a time; and flushes of 512
 * bytes by two threads at once, each on a file of its own. Returns what the order took. */
int64_t rig_floor_puts(struct rig *rig, long count, size_t batch, size_t value_size);
void rig_floor_flushes(struct rig *rig, long count, struct samples *ret);
int64_t rig_floor_cpu_ns(struct rig *rig);

/* CPU time of the members; and the same once they have come to rest. */
int64_t rig_cpu_ns(struct rig *rig);
int64_t rig_cpu_at_rest_ns(struct rig *rig);
int64_t rig_floor_cpu_at_rest_ns(struct rig *rig);

/* ---- the report ---- */

void rig_sleep_ms(long ms);
/* "  goal: p99 at most 2 x quiet p99 = 12 us: met", or by how much it is missed. */
void rig_goal_at_most(const char *what, double value, double limit, const char *unit);
void rig_goal_at_least(const char *what, double value, double limit, const char *unit);

#endif
