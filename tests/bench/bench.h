/* What the benchmarks share: times, percentiles, the CPU time of a process. One thread at a time. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Latencies of one workload at one place, in ns, and what they took together. Zeroed memory is none. */
struct samples {
    int64_t *ns;
    size_t count, capacity;
    int64_t wall_ns, cpu_ns;            /* of all blocks; cpu: of the daemon, -1 when not known */
    uint64_t operations, flushes;
};

void samples_add(struct samples *samples, int64_t ns);
void samples_release(struct samples *samples);
/* The value below which that part of them lies (0.5, 0.99), in us; 0 without samples. */
double samples_at(struct samples *samples, double part);
double samples_rate(const struct samples *samples);             /* operations a second */
double samples_cpu_us(const struct samples *samples);           /* of the daemon for one operation */
double samples_flushes(const struct samples *samples);          /* for one operation */

int64_t bench_now_ns(void);
/* CPU time of all threads of a process, those that have ended excepted; 0: itself. */
int64_t bench_cpu_ns(pid_t process);
/* Resident memory in KiB; 0: itself. */
long bench_resident_kib(pid_t process);
int bench_cores(void);                  /* that this process may run on */
/* A number from the environment, or the default. */
long bench_setting(const char *name, long otherwise);
/* Prints a sentence with errno's text and exits with 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
