#include "tests/sim/mutants.h"

#include <stdio.h>

#include "proto/base/mutant.h"

#ifndef CONCORD_VERIFY

int mutants_run(const struct mutants_options *options)
{
    (void)options;
    fprintf(stderr, "simulate: mutants are in builds with --enable-debug alone\n");
    return 2;
}

#else

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cluster/clock.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "tests/sim/sim_run.h"

#define JOBS_MAX 16
#define SECONDS_PER_RUN 30

/* The search for one mutant. */
struct hunt {
    enum mutant mutant;
    const char *folder;                 /* of LevelDB; NULL: in memory */
    struct run_child children[JOBS_MAX];
    int says[JOBS_MAX];                 /* what each child writes to stderr */
    size_t jobs, running;
    uint64_t next_seed, tried;
    uint64_t stuck, unsound;            /* failures that do not count */
    int64_t begun_ns, deadline_ns;
    bool caught;
    uint64_t seed;
    char failure[800];
    double seconds;
};

static int64_t real_ns(void) { return clock_monotonic_ns(clock_system()); }

/* ---- children ---- */

/* With the bug, and with a stderr of its own: a CHECK says there what does not hold. */
static void start(struct hunt *hunt, size_t place)
{
    struct sim_params params;
    sim_params_draw(&params, hunt->next_seed++);
    int own = dup(STDERR_FILENO), says = memfd_create("stderr", MFD_CLOEXEC);
    CHECK(own >= 0 && says >= 0 && dup2(says, STDERR_FILENO) >= 0);
    mutant_select(hunt->mutant);
    run_child_start(&hunt->children[place], &params, hunt->folder, SECONDS_PER_RUN);
    mutant_select(MUTANT_NONE);
    CHECK(dup2(own, STDERR_FILENO) >= 0 && close(own) == 0);
    hunt->says[place] = says;
    hunt->running++;
    hunt->tried++;
}

static void take_back(struct hunt *hunt, size_t place, char *ret_said, size_t size)
{
    ssize_t got = pread(hunt->says[place], ret_said, size - 1, 0);
    ret_said[got > 0 ? got : 0] = 0;
    ret_said[strcspn(ret_said, "\n")] = 0;
    CHECK(close(hunt->says[place]) == 0);
    hunt->running--;
}

static void end_all(struct hunt *hunt)
{
    struct run_result result;
    char said[2];
    for (size_t i = 0; i < hunt->jobs; i++)
        if (hunt->children[i].pid)
            kill(hunt->children[i].pid, SIGKILL);
    while (hunt->running)
        take_back(hunt, run_child_wait(hunt->children, hunt->jobs, &result), said, sizeof said);
}

/* ---- verdicts ---- */

static bool fails_without(const struct sim_params *params, const char *folder)
{
    struct run_child child = {0};
    struct run_result result;
    run_child_start(&child, params, folder, SECONDS_PER_RUN);
    (void)run_child_wait(&child, 1, &result);
    return result.failed;
}

/* No mutant is about progress: what only stands still was not seen by a checker of safety. What counts is the
 * text of a checker, or of a CHECK of the program. */
static void take_verdict(struct hunt *hunt, size_t place, const struct run_result *result)
{
    char said[256];
    take_back(hunt, place, said, sizeof said);
    if (!result->failed)
        return;
    if (result->is_stuck) {
        hunt->stuck++;
    } else if (fails_without(&hunt->children[place].params, hunt->folder)) {
        hunt->unsound++;
    } else if (!hunt->caught) {
        hunt->caught = true;
        hunt->seed = hunt->children[place].params.seed;
        snprintf(hunt->failure, sizeof hunt->failure, "%s%s%s", result->failure,
                 said[0] ? ": " : "", said);
    }
}

/* ---- one, and all of them ---- */

static bool goes_on(const struct hunt *hunt)
{
    return !hunt->caught && real_ns() < hunt->deadline_ns;
}

static void hunt_run(struct hunt *hunt)
{
    struct run_result result;
    for (size_t i = 0; i < hunt->jobs; i++)
        start(hunt, i);
    while (goes_on(hunt)) {
        size_t place = run_child_wait(hunt->children, hunt->jobs, &result);
        take_verdict(hunt, place, &result);
        if (goes_on(hunt))
            start(hunt, place);
    }
    end_all(hunt);
    hunt->seconds = (double)(real_ns() - hunt->begun_ns) / 1e9;
}

static void hunt_print(const struct hunt *hunt)
{
    const char *name = mutant_name(hunt->mutant);
    if (hunt->caught)
        printf("%-27s %6.1f s, %4" PRIu64 " seeds, seed %" PRIu64 ": %s\n", name, hunt->seconds,
               hunt->tried, hunt->seed, hunt->failure);
    else
        printf("%-27s SURVIVED %.0f s and %" PRIu64 " seeds: %s\n", name, hunt->seconds,
               hunt->tried, mutant_text(hunt->mutant));
    if (hunt->stuck || hunt->unsound)
        printf("%-27s passed over: %" PRIu64 " stood still, %" PRIu64 " fail without it too\n", "",
               hunt->stuck, hunt->unsound);
    fflush(stdout);
}

static int by_seconds(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static int run_all(const struct mutants_options *options, const enum mutant *mutants, size_t count)
{
    double seconds[MUTANT_END];
    size_t caught = 0;
    uint64_t seed = options->from;
    printf("seeds from %" PRIu64 "\n", seed);
    for (size_t i = 0; i < count; i++) {
        struct hunt *hunt = calloc(1, sizeof *hunt);
        CHECK(hunt);
        hunt->mutant = mutants[i];
        hunt->folder = options->folder;
        hunt->jobs = options->jobs < JOBS_MAX ? options->jobs : JOBS_MAX;
        hunt->next_seed = seed;
        hunt->begun_ns = real_ns();
        hunt->deadline_ns = hunt->begun_ns + options->seconds * NS_PER_S;
        hunt_run(hunt);
        hunt_print(hunt);
        caught += hunt->caught;
        seconds[i] = hunt->seconds;
        seed = hunt->next_seed;
        free(hunt);
    }
    qsort(seconds, count, sizeof seconds[0], by_seconds);
    printf("%zu of %zu mutants caught, median %.1f s, longest %.1f s\n", caught, count,
           seconds[count / 2], seconds[count - 1]);
    return caught < count;
}

int mutants_run(const struct mutants_options *options)
{
    enum mutant mutants[MUTANT_END];
    size_t count = 0;
    for (size_t i = 0; i < options->count; i++) {
        enum mutant mutant = mutant_find(options->names[i]);
        if (mutant == MUTANT_NONE || count == MUTANT_END) {
            fprintf(stderr, "simulate: no mutant: %s\n", options->names[i]);
            return 2;
        }
        mutants[count++] = mutant;
    }
    for (enum mutant mutant = MUTANT_NONE + 1; !options->count && mutant < MUTANT_END; mutant++)
        mutants[count++] = mutant;
    return run_all(options, mutants, count);
}

#endif
