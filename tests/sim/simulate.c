/* simulate: whole clusters under faults, each run decided by one number.
 *
 *   simulate --seed N [--set NAME=VALUE].. [--trace]      one run, with its parameters
 *   simulate --seeds COUNT [--from N] [--jobs J]          many, from a fresh number on
 *   simulate --seconds S                                  as many as fit
 *   simulate --twice COUNT                                each twice: equal hashes
 *   simulate --mutants [NAME..]                           planted bugs: is each noticed?
 *
 * --leveldb FOLDER keeps the stores in LevelDB below that folder. A run that fails is made smaller, and its
 * last line is the command that replays it. Exit status 1: some run failed, or a kind of fault never
 * happened in a long run.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "tests/sim/mutants.h"
#include "tests/sim/sim_run.h"

#define JOBS_MAX 16
#define SECONDS_PER_RUN 120
#define SECONDS_PER_MUTANT 240
#define COUNTERS_COUNT_FROM 300     /* runs, from which on every counter must be above zero */

struct settings {
    uint64_t seed, seeds, from, twice;
    int64_t seconds;
    size_t jobs;
    bool has_seed, has_from, trace, no_shrink, mutants;
    const char *folder;
    const char *set[64];
    size_t set_count;
};

static void say_line(struct trace *trace, const char *line)
{
    (void)trace;
    puts(line);
}

static struct sim_params params_of(const struct settings *settings, uint64_t seed)
{
    struct sim_params params;
    sim_params_draw(&params, seed);
    for (size_t i = 0; i < settings->set_count; i++)
        if (!sim_params_set(&params, settings->set[i])) {
            fprintf(stderr, "simulate: no parameter, or no number: %s\n", settings->set[i]);
            exit(2);
        }
    return params;
}

/* ---- sums ---- */

static void add(struct world_totals *sum, const struct world_totals *one)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)one;
    static_assert(sizeof *sum % sizeof *to == 0, "counters alone");
    int64_t longest = sum->recovery_ns_max > one->recovery_ns_max ? sum->recovery_ns_max
                                                                  : one->recovery_ns_max;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
    sum->recovery_ns_max = longest;
}

static bool print_counter(const char *name, uint64_t value, bool must)
{
    printf("  %-22s %" PRIu64 "%s\n", name, value, must && value == 0 ? "   NEVER HAPPENED" : "");
    return must && value == 0;
}

/* Rows change in memory alone: LevelDB has checksums. */
static bool needs_memory(enum world_fault fault)
{
    return fault == WORLD_silent_flips || fault == WORLD_fenced || fault == WORLD_rebuilt_stores;
}

/* And folders are there of LevelDB alone. */
static bool needs_leveldb(enum world_fault fault) { return fault == WORLD_restored_folders; }

/* True when something that should have happened never did. */
static bool print_totals(const struct world_totals *sum, bool must, bool in_memory)
{
    bool missing = false;
#define X(name)                                                                                    \
    missing |= print_counter(#name, sum->faults[WORLD_##name],                                     \
                             must && (in_memory ? !needs_leveldb(WORLD_##name)                       \
                                       : !needs_memory(WORLD_##name)));
    WORLD_FAULTS(X)
#undef X
#define X(name)                                                                                    \
    missing |= print_counter("ended: " #name, sum->endings[WORLD_ended_##name],                    \
                             must && WORLD_ended_##name != WORLD_ended_undecided);
    WORLD_ENDINGS(X)
#undef X
    missing |= print_counter("frames_lost", sum->net.frames_lost, must);
    missing |= print_counter("frames_doubled", sum->net.frames_doubled, must);
    missing |= print_counter("frames_swapped", sum->net.frames_swapped, must);
    missing |= print_counter("frames_again", sum->net.frames_again, must);
    missing |= print_counter("late", sum->net.late, must);
    missing |= print_counter("fragments", sum->net.fragments, must);
    missing |= print_counter("resets", sum->net.resets, must);
    missing |= print_counter("corruptions", sum->net.corruptions, must);
    missing |= print_counter("silences", sum->net.silences, must);
    print_counter("operations", sum->operations, false);
    print_counter("acknowledged", sum->acknowledged, false);
    print_counter("unknown outcomes", sum->unknown, false);
    print_counter("watch events", sum->events, false);
    print_counter("entries committed", sum->entries, false);
    print_counter("steps", sum->steps, false);
    print_counter("longest recovery, ms", (uint64_t)sum->recovery_ns_max / NS_PER_MS, false);
    return missing;
}

/* ---- one run ---- */

static void print_replay(const struct settings *settings, const struct sim_params *params)
{
    struct sim_params drawn;
    sim_params_draw(&drawn, params->seed);
    printf("replay: tests/sim/simulate --seed %" PRIu64, params->seed);
    for (int i = 0; i < SIM_PARAM_COUNT; i++)
        if (params->value[i] != drawn.value[i])
            printf(" --set %s=%" PRId64, sim_param_name((enum sim_param)i), params->value[i]);
    if (settings->folder)
        printf(" --leveldb %s", settings->folder);
    printf("\n");
}

static int run_one(const struct settings *settings)
{
    struct trace trace = {say_line};
    struct sim_params params = params_of(settings, settings->seed);
    struct run_result result;
    printf("seed %" PRIu64 "\n", settings->seed);
    sim_params_print(&params, stdout);
    fflush(stdout);
    run_here(&params, settings->trace ? &trace : NULL, settings->folder, &result);
    print_totals(&result.totals, false, true);
    printf("hash %016" PRIx64 ", %" PRId64 " s simulated\n", result.hash,
           (int64_t)(result.totals.simulated_ns / NS_PER_S));
    printf("%s%s\n", result.failed ? "FAILED: " : "no violation", result.failure);
    return result.failed;
}

/* ---- many ---- */

struct many {
    const struct settings *settings;
    struct run_child children[JOBS_MAX];
    struct world_totals sum;
    uint64_t next, done, failed;
    int64_t begun_ns;
};

static int64_t real_ns(void) { return clock_monotonic_ns(clock_system()); }

static bool wants_more(const struct many *many)
{
    const struct settings *settings = many->settings;
    if (settings->seconds)
        return real_ns() - many->begun_ns < settings->seconds * NS_PER_S;
    return many->next < settings->from + settings->seeds;
}

static void tell_failure(struct many *many, const struct sim_params *params, struct run_result *result)
{
    struct sim_params smaller = *params;
    many->failed++;
    printf("seed %" PRIu64 " FAILED: %s\n", params->seed, result->failure);
    print_replay(many->settings, params);
    if (!many->settings->no_shrink && many->failed <= 3) {
        printf("making it smaller\n");
        fflush(stdout);
        run_shrink(&smaller, many->settings->folder, result);
        printf("smaller: %s\n", result->failure);
        print_replay(many->settings, &smaller);
    }
    fflush(stdout);
}

static void take(struct many *many, size_t place, struct run_result *result)
{
    many->done++;
    if (result->failed)
        tell_failure(many, &many->children[place].params, result);
    else
        add(&many->sum, &result->totals);
    if (many->done % 100 == 0) {
        printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", many->done, many->failed);
        fflush(stdout);
    }
}

static bool start_next(struct many *many, size_t place)
{
    if (!wants_more(many))
        return false;
    struct sim_params params = params_of(many->settings, many->next++);
    run_child_start(&many->children[place], &params, many->settings->folder, SECONDS_PER_RUN);
    return true;
}

static int run_many(const struct settings *settings)
{
    struct many *many = calloc(1, sizeof *many);
    struct run_result result;
    size_t running = 0;
    many->settings = settings;
    many->next = settings->from;
    many->begun_ns = real_ns();
    printf("seeds from %" PRIu64 "\n", settings->from);
    for (size_t i = 0; i < settings->jobs; i++)
        running += start_next(many, i);
    while (running) {
        size_t place = run_child_wait(many->children, settings->jobs, &result);
        take(many, place, &result);
        if (!start_next(many, place))
            running--;
    }
    double real = (double)(real_ns() - many->begun_ns) / 1e9;
    double simulated = (double)many->sum.simulated_ns / 1e9;
    bool missing = print_totals(&many->sum, many->done >= COUNTERS_COUNT_FROM,
                                !many->settings->folder);
    const uint64_t *endings = many->sum.endings;
    CHECK(run_endings(&many->sum) + many->failed == many->done);
    printf("%" PRIu64 " ended in progress, %" PRIu64 " in a demanded safe stop, %" PRIu64
           " undecided, %" PRIu64 " failed\n", endings[WORLD_ended_progress],
           endings[WORLD_ended_safe_stop], endings[WORLD_ended_undecided], many->failed);
    printf("%" PRIu64 " seeds in %.0f s, %" PRIu64 " failed; %.0f s simulated, %.0f times real time "
           "on %zu processes\n", many->done, real, many->failed, simulated, simulated / real,
           settings->jobs);
    int status = many->failed || missing;
    free(many);
    return status;
}

/* ---- twice ---- */

/* One that aborts or does not end has no hash. In LevelDB only the verdict is the same each time. */
static bool results_differ(const struct settings *settings, const struct run_result results[2])
{
    if (settings->folder)
        return results[0].failed != results[1].failed;
    return results[0].hash != results[1].hash ||
           strcmp(results[0].failure, results[1].failure) != 0;
}

/* Whether one of the two failed, each of which is told, or both. */
static bool tell_failures(const struct settings *settings, const struct sim_params *params,
                          const struct run_result results[2])
{
    for (size_t k = 0; k < 2; k++)
        if (results[k].failed)
            printf("seed %" PRIu64 ", run %zu of 2 FAILED: %s\n", params->seed, k + 1,
                   results[k].failure);
    if (!results[0].failed && !results[1].failed)
        return false;
    print_replay(settings, params);
    return true;
}

static int run_twice(const struct settings *settings)
{
    uint64_t differ = 0, failed = 0;
    for (uint64_t i = 0; i < settings->twice; i++) {
        struct sim_params params = params_of(settings, settings->from + i);
        struct run_child children[2] = {{0}};
        struct run_result results[2], result;
        for (size_t k = 0; k < 2; k++)
            run_child_start(&children[k], &params, settings->folder, SECONDS_PER_RUN);
        for (size_t k = 0; k < 2; k++)
            results[run_child_wait(children, 2, &result)] = result;
        failed += tell_failures(settings, &params, results);
        if (results_differ(settings, results)) {
            printf("seed %" PRIu64 ": two runs differ\n", params.seed);
            differ++;
        }
    }
    printf("%" PRIu64 " seeds twice from %" PRIu64 ", %" PRIu64 " failed, %" PRIu64 " differ\n",
           settings->twice, settings->from, failed, differ);
    return failed || differ;
}

/* ---- the program ---- */

static const struct option options[] = {
    {"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'n'},
    {"from", required_argument, NULL, 'f'},   {"jobs", required_argument, NULL, 'j'},
    {"seconds", required_argument, NULL, 't'}, {"twice", required_argument, NULL, '2'},
    {"set", required_argument, NULL, 'p'},    {"trace", no_argument, NULL, 'v'},
    {"leveldb", required_argument, NULL, 'l'}, {"no-shrink", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"mutants", no_argument, NULL, 'm'},
    {NULL, 0, NULL, 0},
};

static uint64_t number(const char *text)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || end == text) {
        fprintf(stderr, "simulate: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static const char usage[] =
    "usage: simulate --seed N | --seeds COUNT | --seconds S | --twice COUNT | --mutants [NAME..]\n"
    "                [--from N] [--jobs J] [--set NAME=VALUE].. [--trace]\n"
    "                [--leveldb FOLDER] [--no-shrink]\n";

static void help(void)
{
    printf("%s\n"
           "Runs whole clusters under faults in one thread, each run decided by one number.\n"
           "\n"
           "  --seed N          one run; prints its parameters and what happened how often\n"
           "  --seeds COUNT     many, each in a process of its own; what fails is made smaller\n"
           "  --seconds S       as many as fit\n"
           "  --twice COUNT     each twice: none may fail, and the hashes of all that happened must\n"
           "                    be equal; with LevelDB the verdicts alone\n"
           "  --mutants [NAME..]  planted bugs, each until a checker notices it, for --seconds S\n"
           "                    at most (240 without it); needs --enable-debug\n"
           "  --from N          the first number; without it a fresh one is drawn\n"
           "  --jobs J          processes at a time, up to %d; 2 without it\n"
           "  --set NAME=VALUE  instead of what the number draws; again for another one\n"
           "  --trace           of one run: a line per decision\n"
           "  --leveldb FOLDER  keeps the stores in LevelDB, in folders below this one\n"
           "  --no-shrink       failing runs are told and not made smaller\n"
           "\n"
           "Exit status 1: a run failed, or two differ, or something never happened in %d runs or\n"
           "more. Parameters, with what number 0 draws:\n\n",
           usage, JOBS_MAX, COUNTERS_COUNT_FROM);
    struct sim_params params;
    sim_params_draw(&params, 0);
    sim_params_print(&params, stdout);
}

static void take_option(struct settings *settings, int option)
{
    switch (option) {
    case 's':
        settings->seed = number(optarg);
        settings->has_seed = true;
        break;
    case 'n': settings->seeds = number(optarg); break;
    case 'f':
        settings->from = number(optarg);
        settings->has_from = true;
        break;
    case 'j': settings->jobs = number(optarg); break;
    case 't': settings->seconds = (int64_t)number(optarg); break;
    case '2': settings->twice = number(optarg); break;
    case 'p':
        if (settings->set_count < ARRAY_COUNT(settings->set))
            settings->set[settings->set_count++] = optarg;
        break;
    case 'v': settings->trace = true; break;
    case 'l': settings->folder = optarg; break;
    case 'q': settings->no_shrink = true; break;
    case 'm': settings->mutants = true; break;
    case 'h': help(); exit(0);
    default: fprintf(stderr, "%s", usage); exit(2);
    }
}

static int run_mutants(const struct settings *settings, char *const *names, size_t count)
{
    return mutants_run(&(struct mutants_options){
        .names = names,
        .count = count,
        .from = settings->from,
        .seconds = settings->seconds ? settings->seconds : SECONDS_PER_MUTANT,
        .jobs = settings->jobs,
        .folder = settings->folder,
    });
}

int main(int argc, char **argv)
{
    struct settings settings = {.jobs = 2};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(&settings, option);
    if (!settings.has_from)
        settings.from = rand_system_seed() % 1000000000;
    if (settings.jobs < 1 || settings.jobs > JOBS_MAX)
        settings.jobs = 2;
    if (settings.mutants)
        return run_mutants(&settings, argv + optind, (size_t)(argc - optind));
    if (settings.has_seed)
        return run_one(&settings);
    if (settings.twice)
        return run_twice(&settings);
    if (!settings.seeds && !settings.seconds)
        take_option(&settings, '?');
    return run_many(&settings);
}
