/* CPU of a put in batches of 64 through the store, beside the floor: LevelDB written with the key row and
 * the revision row alone, same options, same values, same run. Then the resident memory with many keys,
 * and point reads.
 *
 *     bench_store [KEYS [PUTS [FOLDER]]]      1000000 200000 /tmp
 *
 * One line per workload: name, CPU us/op, wall us/op. "new, in order" and "hot" are what an operator and a
 * controller do; shuffled and random keys are the worst there is for a cache.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mvcc/store.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/kv_pb.h"

#define BATCH 64
#ifndef VALUE_SIZE
#define VALUE_SIZE 256
#endif

struct bench {
    struct rand rand;
    uint64_t keys, puts;
    uint8_t value[VALUE_SIZE];
    int64_t excluded_ns;                /* spent on making requests */
};

struct span {
    int64_t cpu, wall;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct span span_start(struct bench *bench)
{
    bench->excluded_ns = 0;
    return (struct span){now_ns(CLOCK_PROCESS_CPUTIME_ID), now_ns(CLOCK_MONOTONIC)};
}

static double span_end(struct bench *bench, struct span start, const char *name, uint64_t ops)
{
    double cpu = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start.cpu - bench->excluded_ns);
    double wall = (double)(now_ns(CLOCK_MONOTONIC) - start.wall - bench->excluded_ns);
    printf("%-28s %8.2f CPU us/op %8.2f us/op\n", name, cpu / 1e3 / (double)ops,
           wall / 1e3 / (double)ops);
    fflush(stdout);
    return cpu / (double)ops;
}

static struct bytes key_of(char text[64], uint64_t number)
{
    int size = snprintf(text, 64, "/bench/%02" PRIu64 "/key-%08" PRIu64, number / 10000, number);
    return bytes_of(text, (size_t)size);
}

/* Values do not compress: as bad as it gets. */
static void draw_value(struct bench *bench)
{
    for (size_t i = 0; i < VALUE_SIZE; i += 8)
        put_le64(bench->value + i, rand_u64(&bench->rand));
}

static void must(enum err_code code, const struct err *err)
{
    if (code) {
        fprintf(stderr, "bench_store: %s\n", err->text);
        exit(1);
    }
}

static struct backend *open_backend(const char *folder, const char *name)
{
    char path[512];
    struct backend *backend;
    struct err err = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    struct backend_leveldb_options options = {.folder = path, .create = true};
    must(backend_leveldb_open(&backend, &options, &err), &err);
    return backend;
}

/* ---- the floor ---- */

static void floor_batch(struct bench *bench, struct backend *backend, uint64_t *revision,
                        const uint64_t *numbers)
{
    static uint8_t keys[BATCH][2][96];
    static uint8_t values[BATCH][VALUE_SIZE];
    struct backend_op ops[BATCH * 2];
    struct err err = {0};
    int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < BATCH; i++) {
        char text[64];
        struct bytes key = key_of(text, numbers[i]);
        draw_value(bench);
        memcpy(values[i], bench->value, VALUE_SIZE);
        keys[i][0][0] = 'k';
        memcpy(keys[i][0] + 1, key.data, key.size);
        put_be64(keys[i][0] + 1 + key.size, ~++*revision);
        keys[i][1][0] = 'r';
        put_be64(keys[i][1] + 1, *revision);
        memcpy(keys[i][1] + 9, key.data, key.size);
        ops[i * 2] = (struct backend_op){.key = bytes_of(keys[i][0], 9 + key.size),
                                         .value = bytes_of(values[i], VALUE_SIZE)};
        ops[i * 2 + 1] = (struct backend_op){.key = bytes_of(keys[i][1], 9),
                                             .value = bytes_of(keys[i][1] + 9, key.size)};
    }
    bench->excluded_ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    must(backend->ops->write(backend, ops, BATCH * 2, &err), &err);
}

/* ---- the store ---- */

struct subject {
    struct store *store;
    raft_index index;
    kv_time stamp;
};

static void store_entries(struct bench *bench, struct subject *subject, struct entry *entries,
                          const uint64_t *numbers)
{
    int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < BATCH; i++) {
        char text[64];
        draw_value(bench);
        struct kv_op op = {.kind = KV_OP_PUT,
                           .put = {.key = key_of(text, numbers[i]),
                                   .value = bytes_of(bench->value, VALUE_SIZE)}};
        struct entry_request request = {.kind = ENTRY_TXN,
                                        .session = 1,
                                        .number = subject->index + 1,
                                        .lowest_open = subject->index + 1,
                                        .txn = {.success = &op, .success_count = 1}};
        entries[i] = (struct entry){
            .term = 1, .index = ++subject->index, .payload = entry_request_encode(&request)};
        entry_stamp_set(entries[i].payload, subject->stamp += 1000);
    }
    bench->excluded_ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
}

static void store_batch(struct bench *bench, struct subject *subject, const uint64_t *numbers)
{
    struct entry entries[BATCH];
    struct store_result result;
    struct err err = {0};
    store_entries(bench, subject, entries, numbers);
    store_begin(subject->store);
    for (int i = 0; i < BATCH; i++) {
        must(store_apply(subject->store, &entries[i], false, &result, &err), &err);
        if (result.code) {
            fprintf(stderr, "bench_store: refused: %s\n", result.err.text);
            exit(1);
        }
        blob_unref(entries[i].payload);
    }
    must(store_commit(subject->store, &err), &err);
}

static void open_session(struct subject *subject)
{
    struct entry_request request = {.kind = ENTRY_SESSION_OPEN, .number = 5};
    struct entry entry = {
        .term = 1, .index = ++subject->index, .payload = entry_request_encode(&request)};
    struct store_result result;
    struct err err = {0};
    entry_stamp_set(entry.payload, subject->stamp += 1000);
    store_begin(subject->store);
    must(store_apply(subject->store, &entry, false, &result, &err), &err);
    must(store_commit(subject->store, &err), &err);
    blob_unref(entry.payload);
}

/* ---- workloads ---- */

enum order { IN_ORDER, SHUFFLED, HOT, RANDOM };
#define HOT_KEYS 10000

static const char *const order_names[] = {"new keys in order", "new keys shuffled", "10,000 hot keys",
                                          "random keys"};

/* What is new takes a half of the keys each. */
static uint64_t draw_number(struct bench *bench, uint64_t place, enum order order)
{
    uint64_t half = bench->keys / 2;
    if (order == IN_ORDER)
        return place;
    if (order == SHUFFLED)
        return half + place * 7368787 % half;
    return rand_below(&bench->rand, order == HOT ? HOT_KEYS : bench->keys);
}

struct cost {
    double at_floor, of_store;
};

static void run(struct bench *bench, struct backend *floor, uint64_t *revision,
                struct subject *subject, enum order order, struct cost *cost)
{
    uint64_t numbers[BATCH], count = order < HOT ? bench->keys / 2 : bench->puts;
    char name[64];
    struct span span = span_start(bench);
    count -= count % BATCH;
    for (uint64_t done = 0; done < count; done += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            numbers[i] = draw_number(bench, done + i, order);
        if (floor)
            floor_batch(bench, floor, revision, numbers);
        else
            store_batch(bench, subject, numbers);
    }
    snprintf(name, sizeof(name), "%s: %s", floor ? "floor" : "store", order_names[order]);
    double cpu = span_end(bench, span, name, count);
    if (floor)
        cost[order].at_floor = cpu;
    else
        cost[order].of_store = cpu;
}

static void run_reads(struct bench *bench, struct subject *subject, uint64_t count)
{
    struct arena arena = {0};
    struct err err = {0};
    struct span span = span_start(bench);
    for (uint64_t i = 0; i < count; i++) {
        char text[64];
        struct kv_range range = {.key = key_of(text, rand_below(&bench->rand, bench->keys))};
        struct kv_range_result result;
        kv_rev revision;
        must(store_range(subject->store, &range, &arena, &result, &revision, &err), &err);
        CHECK(result.count == 1);
        arena_clear(&arena);
    }
    span_end(bench, span, "range of one key", count);
    arena_release(&arena);
}

static void run_lookups(struct bench *bench, struct subject *subject, uint64_t count)
{
    struct arena arena = {0};
    struct err err = {0};
    struct span span = span_start(bench);
    for (uint64_t i = 0; i < count; i++) {
        char text[64];
        struct bytes key = key_of(text, rand_below(&bench->rand, bench->keys));
        struct kv_lookup lookup = {.directory = bytes_of(key.data, 10),
                                   .name = bytes_of(key.data + 10, key.size - 10)};
        struct kv_name name;
        kv_rev revision;
        must(store_lookup(subject->store, &lookup, &arena, &name, &revision, &err), &err);
        arena_clear(&arena);
    }
    span_end(bench, span, "lookup", count);
    arena_release(&arena);
}

static void print_memory(const char *when)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "RssAnon", 7) == 0)
            printf("%s: %s", when, line);
    if (file)
        fclose(file);
}

int main(int argc, char **argv)
{
    struct bench bench = {.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
                          .puts = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000};
    char folder[400], command[512];
    uint64_t revision = 0;
    struct err err = {0};
    rand_init(&bench.rand, 1);
    snprintf(folder, sizeof(folder), "%s/bench-store-XXXXXX", argc > 3 ? argv[3] : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    bench.puts -= bench.puts % BATCH;

    struct cost cost[RANDOM + 1];
    struct backend *floor = open_backend(folder, "floor");
    for (enum order order = IN_ORDER; order <= RANDOM; order++)
        run(&bench, floor, &revision, NULL, order, cost);
    backend_close(floor);
    print_memory("floor, closed");

    struct store_options options = {
        .backend = open_backend(folder, "store"), .cluster_id = 1, .member_id = 1, .create = true};
    struct subject subject = {.stamp = 1};
    must(store_open(&subject.store, &options, &err), &err);
    open_session(&subject);
    for (enum order order = IN_ORDER; order <= RANDOM; order++) {
        run(&bench, NULL, NULL, &subject, order, cost);
        if (order == SHUFFLED)
            print_memory("store");
    }
    run_reads(&bench, &subject, bench.puts / 4);
    run_lookups(&bench, &subject, bench.puts / 4);
    print_memory("store");
    store_close(subject.store);
    for (enum order order = IN_ORDER; order <= RANDOM; order++)
        printf("%-28s %8.2f times the floor\n", order_names[order],
               cost[order].of_store / cost[order].at_floor);
    snprintf(command, sizeof(command), "rm -rf -- '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
