#include "tests/bench/bench.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void samples_add(struct samples *samples, int64_t ns)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 1024;
        samples->ns = realloc(samples->ns, samples->capacity * sizeof(*samples->ns));
        if (!samples->ns)
            abort();
    }
    samples->ns[samples->count++] = ns;
}

void samples_release(struct samples *samples)
{
    free(samples->ns);
    *samples = (struct samples){0};
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

double samples_at(struct samples *samples, double part)
{
    if (!samples->count)
        return 0;
    qsort(samples->ns, samples->count, sizeof(*samples->ns), compare);
    size_t place = (size_t)(part * (double)samples->count);
    if (place >= samples->count)
        place = samples->count - 1;
    return (double)samples->ns[place] / 1000;
}

double samples_rate(const struct samples *samples)
{
    return samples->wall_ns ? (double)samples->operations * 1e9 / (double)samples->wall_ns : 0;
}

double samples_cpu_us(const struct samples *samples)
{
    return samples->operations ? (double)samples->cpu_ns / 1000 / (double)samples->operations : 0;
}

double samples_flushes(const struct samples *samples)
{
    return samples->operations ? (double)samples->flushes / (double)samples->operations : 0;
}

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t bench_cpu_ns(pid_t process)
{
    char path[320];
    int64_t sum = 0;
    snprintf(path, sizeof(path), process ? "/proc/%d/task" : "/proc/self/task", (int)process);
    DIR *tasks = opendir(path);
    if (!tasks)
        return -1;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        int64_t ns = 0;
        char file_path[640];
        snprintf(file_path, sizeof(file_path), "%s/%s/schedstat", path, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(file_path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%" SCNd64, &ns) == 1)
            sum += ns;
        fclose(file);
    }
    closedir(tasks);
    return sum;
}

long bench_resident_kib(pid_t process)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof(path), process ? "/proc/%d/status" : "/proc/self/status", (int)process);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

int bench_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

long bench_setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

_Noreturn void bench_die(const char *format, ...)
{
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(saved));
    exit(1);
}
