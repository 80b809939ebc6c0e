/* Puts through one member in this process: proposal, log, flush, apply, answer; no file and no socket.
 *
 * usage: bench_member FOLDER [CLIENTS|keys ..]
 *
 * For 1, 64 and 1000 clients, each with one put of 256 B in flight over 10,000 keys. Beside each block
 * of ours runs a block of the floor: the rows of the same puts written to a LevelDB alone, 64 puts a
 * batch, sync=false. CPU is that of the whole process, the clients and LevelDB's own thread included, on
 * either side; each block is counted until the process has come to rest, so that what LevelDB compacts
 * later is paid by the side that wrote it. "keys" puts a million small keys, without a floor beside them, so that the memory which
 * remains is the member's.
 *
 * BENCH_QUICK=1 takes few; BENCH_SCALE=N multiplies their number.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster/loop_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/bench/bench.h"
#include "tests/bench/floor_leveldb.h"

#define VALUE_SIZE 256
#define KEYS 10000
#define FLOOR_BATCH 64
#define SMALL_VALUE_SIZE 16
#define CLIENTS_MAX 1000
#define KEYS_SAMPLED 64         /* of so many small keys the time of one is kept */
#define REST_SLICE_NS 2000000   /* at rest: so long, REST_SLICES times in a row, next to no CPU */
#define REST_CPU_NS 100000
#define REST_SLICES 50          /* above what it takes to sync a table, when LevelDB seems at rest too */
#define REST_SLICES_MAX 5000

struct client {
    struct kv_request request;
    struct kv_op op;
    struct bench *bench;
    char key[64];
    int64_t sent_ns;
};

/* One row of the report. */
struct stage {
    long clients, blocks, block;        /* puts in a block */
    bool is_keys;                       /* new small keys instead of the 10,000 */
    bool is_silent;                     /* to warm up: segments are made, pages are mapped */
};

struct bench {
    struct member *member;
    struct floor *floor;
    struct rand rand;
    struct client clients[CLIENTS_MAX];
    uint8_t value[VALUE_SIZE];
    struct stage stages[5];
    size_t stage_count, stage;
    long block, sent, answered;         /* of the running stage and block */
    int64_t block_wall_ns, block_cpu_ns;
    uint64_t block_flushes, revision, next_key;
    struct samples ours, alone;
    long resident_kib;                  /* before the stage */
    bool has_failed;
};

static int64_t process_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* LevelDB's thread, which both sides share, has nothing left to do. */
static void wait_for_rest(void)
{
    const struct timespec slice = {.tv_nsec = REST_SLICE_NS};
    int64_t last = process_cpu_ns();
    for (int i = 0, quiet = 0; quiet < REST_SLICES && i < REST_SLICES_MAX; i++) {
        nanosleep(&slice, NULL);
        int64_t now = process_cpu_ns();
        quiet = now - last < REST_CPU_NS ? quiet + 1 : 0;
        last = now;
    }
}

static uint64_t flushes(struct bench *bench)
{
    struct kv_status status;
    kv_status_get(member_kv(bench->member), &status);
    return status.flushes;
}

static const struct stage *stage_of(const struct bench *bench)
{
    return &bench->stages[bench->stage];
}

static void choose_key(struct bench *bench, char *key, size_t size)
{
    if (stage_of(bench)->is_keys)
        snprintf(key, size, "/small/%08" PRIu64, bench->next_key++);
    else
        snprintf(key, size, "/bench/%08" PRIu64, rand_below(&bench->rand, KEYS));
}

static void on_answered(struct kv_request *request, enum err_code code);

static void send_put(struct bench *bench, struct client *client)
{
    choose_key(bench, client->key, sizeof(client->key));
    client->op = (struct kv_op){
        .kind = KV_OP_PUT,
        .put = {.key = bytes_of_text(client->key),
                .value = bytes_of(bench->value,
                                  stage_of(bench)->is_keys ? SMALL_VALUE_SIZE : VALUE_SIZE)}};
    client->request = (struct kv_request){
        .kind = KV_TXN, .txn = {.success = &client->op, .success_count = 1}, .done = on_answered};
    client->sent_ns = bench_now_ns();
    bench->sent++;
    kv_submit(member_kv(bench->member), &client->request);
}

static void start_block(struct bench *bench)
{
    const struct stage *stage = stage_of(bench);
    bench->sent = bench->answered = 0;
    bench->block_flushes = flushes(bench);
    bench->block_wall_ns = bench_now_ns();
    bench->block_cpu_ns = process_cpu_ns();
    for (long i = 0; i < stage->clients && i < stage->block; i++)
        send_put(bench, &bench->clients[i]);
}

static void run_floor_block(struct bench *bench)
{
    const struct stage *stage = stage_of(bench);
    struct samples *alone = &bench->alone;
    char key[64];
    int64_t begin = bench_now_ns(), cpu = process_cpu_ns(), last = begin;
    for (long i = 0; i < stage->block; i++) {
        snprintf(key, sizeof(key), "/bench/%08" PRIu64, rand_below(&bench->rand, KEYS));
        floor_put(bench->floor, key, ++bench->revision, bench->value, VALUE_SIZE, FLOOR_BATCH);
        int64_t now = bench_now_ns();
        samples_add(alone, now - last);
        last = now;
    }
    alone->wall_ns += bench_now_ns() - begin;
    wait_for_rest();
    alone->cpu_ns += process_cpu_ns() - cpu;
    alone->operations += (uint64_t)stage->block;
}

static void print_stage(struct bench *bench)
{
    const struct stage *stage = stage_of(bench);
    char name[32];
    snprintf(name, sizeof(name), stage->is_keys ? "keys-%ld" : "put-%ld",
             stage->is_keys ? stage->block * stage->blocks : stage->clients);
    double ours = samples_cpu_us(&bench->ours), alone = samples_cpu_us(&bench->alone);
    printf("%-12s p50 %8.1f us  p99 %8.1f us %8.0f/s  cpu %6.2f us  flushes %.3f | ", name,
           samples_at(&bench->ours, 0.5), samples_at(&bench->ours, 0.99),
           samples_rate(&bench->ours), ours, samples_flushes(&bench->ours));
    if (stage->is_keys)
        printf("resident %ld KiB, %ld KiB before\n", bench_resident_kib(0), bench->resident_kib);
    else
        printf("leveldb %8.0f/s  cpu %5.2f us | cpu ours/leveldb %.2f (%.2f/%.2f us)\n",
               samples_rate(&bench->alone), alone, alone > 0 ? ours / alone : 0, ours, alone);
    fflush(stdout);
}

static void next_stage(struct bench *bench)
{
    if (!stage_of(bench)->is_silent)
        print_stage(bench);
    samples_release(&bench->ours);
    samples_release(&bench->alone);
    bench->block = 0;
    bench->resident_kib = bench_resident_kib(0);
    if (++bench->stage < bench->stage_count)
        start_block(bench);
    else
        member_stop(bench->member);
}

static void end_block(struct bench *bench)
{
    const struct stage *stage = stage_of(bench);
    bench->ours.wall_ns += bench_now_ns() - bench->block_wall_ns;
    wait_for_rest();
    bench->ours.cpu_ns += process_cpu_ns() - bench->block_cpu_ns;
    bench->ours.flushes += flushes(bench) - bench->block_flushes;
    bench->ours.operations += (uint64_t)stage->block;
    if (!stage->is_keys)
        run_floor_block(bench);
    if (++bench->block < stage->blocks)
        start_block(bench);
    else
        next_stage(bench);
}

static void on_answered(struct kv_request *request, enum err_code code)
{
    struct client *client = container_of(request, struct client, request);
    struct bench *bench = client->bench;
    if (code != ERR_OK && !bench->has_failed) {
        fprintf(stderr, "put failed: %s\n", request->err.text);
        bench->has_failed = true;
        member_stop(bench->member);
    }
    if (!stage_of(bench)->is_keys || bench->answered % KEYS_SAMPLED == 0)
        samples_add(&bench->ours, bench_now_ns() - client->sent_ns);
    kv_request_release(request);
    if (bench->has_failed)
        return;
    if (bench->sent < stage_of(bench)->block)
        send_put(bench, client);
    if (++bench->answered == stage_of(bench)->block)
        end_block(bench);
}

static void begin(void *context) { start_block(context); }

static void choose_stages(struct bench *bench, int count, char **names)
{
    bool is_quick = bench_setting("BENCH_QUICK", 0) != 0;
    long scale = is_quick ? 1 : 5 * bench_setting("BENCH_SCALE", 1);
    const struct stage all[] = {
        {1, 4 * scale, 1000, false, false},
        {64, 4 * scale, 5000, false, false},
        {1000, 4 * scale, 10000, false, false},
        {1000, is_quick ? 5 : 100, 10000, true, false},
    };
    static const char *const all_names[] = {"1", "64", "1000", "keys"};
    if (count != 1 || strcmp(names[0], "keys"))
        bench->stages[bench->stage_count++] = (struct stage){64, 1, 5000, false, true};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        for (int n = 0; n < count || (count == 0 && n == 0); n++)
            if (count == 0 || !strcmp(names[n], all_names[i])) {
                bench->stages[bench->stage_count++] = all[i];
                break;
            }
}

static int run(struct bench *bench, const char *folder)
{
    struct err err = {0};
    char *path = mem_xformat("%s/member", folder), *floor_path = mem_xformat("%s/floor", folder);
    struct member_options options = {.data_path = path};
    if (!bench->stages[0].is_keys)
        bench->floor = floor_open(floor_path);
    enum err_code code = member_open(&bench->member, &options, &err);
    if (code == ERR_OK) {
        bench->resident_kib = bench_resident_kib(0);
        member_post(bench->member, begin, bench);
        code = member_run(bench->member, &err);
        struct err *close_err = code == ERR_OK ? &err : NULL;
        enum err_code close_code = member_close(bench->member, close_err);
        code = code == ERR_OK ? close_code : code;
    }
    if (code != ERR_OK)
        fprintf(stderr, "bench_member: %s\n", err.text);
    floor_close(bench->floor);
    samples_release(&bench->ours);
    samples_release(&bench->alone);
    free(path);
    free(floor_path);
    return code == ERR_OK && !bench->has_failed ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [1|64|1000|keys ..]\n", argv[0]);
        return 2;
    }
    struct bench *bench = mem_xzalloc(sizeof(*bench));
    rand_init(&bench->rand, 1);
    for (size_t i = 0; i < sizeof(bench->value); i++)       /* half of it compresses */
        bench->value[i] = i % 2 ? 'x' : (uint8_t)rand_u32(&bench->rand);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        bench->clients[i].bench = bench;
    choose_stages(bench, argc - 2, argv + 2);
    printf("%d cores, values of %d bytes, floor of %d puts a batch\n", bench_cores(), VALUE_SIZE,
           FLOOR_BATCH);
    int status = bench->stage_count ? run(bench, argv[1]) : 2;
    free(bench);
    return status;
}
